"""Fingertips from joints, all fingers and any batch at once: poses, velocities and the positions' Jacobian.

`kinematics.py` walks every link of any hand and is the oracle of this file; here is what training, planning and
observing call many times a second. Computed from joint angles and rates of one moment: a simulator's sensors lag its
state by a step, and a real hand has no such sensors.

    x_tip = p_k + R_k r_k (k: any joint of the finger),  J_k = a_k x (x_tip - p_k),  v = J dq,  w = sum_k a_k dq_k
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Link

Frame = Literal["hand_base", "world"]


class TipKinematics:
    """The fingertips of ``hand`` in ``frame``; G fingers of K joints each. Angles ``q`` (..., dof) in the spec's order.

    ``joints`` (G, K) says which joint is which finger's k-th. InputError for fingers of different numbers of joints.
    """

    def __init__(self, hand: HandSpec, frame: Frame = "hand_base") -> None:
        chains = [_chain(hand, tip.link) for tip in hand.tips]
        if len({len(chain) for chain in chains}) != 1:
            lengths = ", ".join(f"{tip.name} {len(chain)}" for tip, chain in zip(hand.tips, chains, strict=True))
            raise InputError(f"fingers of {lengths} joints", where=f"hand {hand.name}", right="as many in each finger")
        self.hand, self.frame = hand, frame
        columns = {name: k for k, name in enumerate(hand.joint_names)}
        self.joints: NDArray[np.intp] = np.array([[columns[link.joint or ""] for link in chain] for chain in chains])
        turned = np.array([[link.quaternion for link in chain] for chain in chains])
        self._axes = np.array([hand.joints[k].axis for k in self.joints.ravel()]).reshape(*self.joints.shape, 3)
        self._offsets = np.array([[link.position for link in chain] for chain in chains])
        base, root = np.array(hand.links[0].quaternion), np.array(hand.links[0].position)
        if frame == "world":
            mount = np.array(hand.mount_quaternion)
            root = np.array(hand.mount_position) + rotations.rotate(mount, root)
            base = rotations.multiply(mount, base)
        turned[:, 0] = rotations.multiply(base, turned[:, 0])
        self._offsets[:, 0] = root + rotations.rotate(base, self._offsets[:, 0])
        # A joint turned by t: cos(t/2) * still + sin(t/2) * turning.
        turning = rotations.multiply(turned, np.concatenate([np.zeros((*self.joints.shape, 1)), self._axes], axis=-1))
        # Component first, batch last: every operation then runs over long contiguous blocks.
        self._still, self._turning = _rows(turned), _rows(turning)
        self._root = _rows(self._offsets)[0]
        self._axis_parts = [_parts(axis) for axis in _rows(self._axes)]
        tip_rows = np.array([tip.position for tip in hand.tips]).T[..., None]
        self._next_parts = [_parts(offset) for offset in (*_rows(self._offsets)[1:], tip_rows)]

    def poses(self, q: ArrayLike) -> tuple[Array, Array]:
        """Positions (..., G, 3) in m and quaternions (..., G, 4), w x y z, of the tips' links at their centres."""
        angles, batch = self._flat(q)
        tip, quaternion, _ = self._walk(angles, with_jacobian=False)
        return _unrows(tip, batch), _unrows(quaternion, batch)

    def links(self, q: ArrayLike) -> tuple[Array, Array]:
        """Positions (..., G, K, 3) in m and rotation matrices (..., G, K, 3, 3) of the frames of the fingers' links,
        from the first joint's to the tip's."""
        angles, batch = self._flat(q)
        # The first joints do not move, so their place stands there once for the whole batch.
        whole = np.zeros(angles.shape[1:])
        walked = [(pivot + whole, columns.all()) for pivot, _, columns in self._links(angles)]
        position, matrix = (np.stack(parts) for parts in zip(*walked, strict=True))
        places = (*batch, *self.joints.shape)
        position = np.ascontiguousarray(position.transpose(3, 2, 0, 1)).reshape(*places, 3)
        return position, np.ascontiguousarray(matrix.transpose(4, 3, 0, 2, 1)).reshape(*places, 3, 3)

    def twists(self, q: ArrayLike, dq: ArrayLike) -> tuple[Array, Array]:
        """Linear velocities (..., G, 3) in m/s of the tips' centres and angular velocities (..., G, 3) in rad/s."""
        angles, batch = self._flat(q)
        _, _, (jacobian, axes) = self._walk(angles, with_jacobian=True)
        linear, angular = _twist(jacobian, axes, self._flat(dq)[0])
        return _unrows(linear, batch), _unrows(angular, batch)

    def jacobian(self, q: ArrayLike) -> Array:
        """Derivatives (..., G, 3, K) in m/rad of each tip's position by the joints of its own finger."""
        angles, batch = self._flat(q)
        _, _, (jacobian, _) = self._walk(angles, with_jacobian=True)
        return np.ascontiguousarray(np.moveaxis(jacobian, (3, 2, 1, 0), (0, 1, 2, 3))).reshape(
            *batch, len(self.hand.tips), 3, self.joints.shape[1]
        )

    def rows(self, q: Array, dq: Array) -> Array:
        """Tip states (G, 13, N) for joint angles and rates given as rows (dof, N): position, quaternion, velocities.

        The layout for those who go on computing over the batch; `states` is the same in the usual order.
        """
        tip, quaternion, (jacobian, axes) = self._walk(q[self.joints.T], with_jacobian=True)
        linear, angular = _twist(jacobian, axes, dq[self.joints.T])
        return np.concatenate([tip, quaternion, linear, angular]).swapaxes(0, 1)

    def states(self, q: ArrayLike, dq: ArrayLike) -> Array:
        """Tip states (..., G, 13): position 3, quaternion 4, linear velocity 3, angular velocity 3."""
        angles, rates = np.asarray(q, dtype=np.float64), np.asarray(dq, dtype=np.float64)
        flat = self.rows(self._checked(angles).reshape(-1, self.hand.dof).T, rates.reshape(-1, self.hand.dof).T)
        return _unrows(flat.swapaxes(0, 1), angles.shape[:-1])

    def _walk(self, angles: Array, *, with_jacobian: bool) -> tuple[Array, Array, tuple[Array, Array]]:
        """Tip (3, G, N), quaternion (4, G, N), and Jacobian and axes (K, 3, G, N) of angles (K, G, N)."""
        walked = list(self._links(angles))
        pivot, quaternion, columns = walked[-1]
        tip = pivot + columns.times(self._next_parts[-1])
        count, fingers, n = angles.shape
        axes, pivots = np.empty((2, count if with_jacobian else 0, 3, fingers, n))
        if not with_jacobian:
            return tip, quaternion, (axes, axes)
        for k, (pivot, _, columns) in enumerate(walked):
            axes[k], pivots[k] = columns.times(self._axis_parts[k]), pivot
        arm = tip - pivots
        jacobian = np.empty_like(arm)
        for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
            np.multiply(axes[:, j], arm[:, k], out=jacobian[:, i])
            jacobian[:, i] -= axes[:, k] * arm[:, j]
        return tip, quaternion, (jacobian, axes)

    def _links(self, angles: Array) -> Iterator[tuple[Array, Array, _Columns]]:
        """Of each link of the fingers in turn the position (3, G, N or 1), the quaternion (4, G, N) and its columns."""
        half = 0.5 * angles
        cosines, sines = np.cos(half), np.sin(half)
        pivot: Array = self._root
        quaternion = np.empty((4, *angles.shape[1:]))
        for k in range(len(angles)):
            local = cosines[k] * self._still[k]
            local += sines[k] * self._turning[k]
            quaternion = local if k == 0 else _product(quaternion, local)
            columns = _Columns(quaternion)
            yield pivot, quaternion, columns
            if k + 1 < len(angles):
                pivot = pivot + columns.times(self._next_parts[k])

    def _flat(self, q: ArrayLike) -> tuple[Array, tuple[int, ...]]:
        """Angles or rates as (K, G, N), and the batch axes."""
        values = self._checked(np.asarray(q, dtype=np.float64))
        return values.reshape(-1, self.hand.dof).T[self.joints.T], values.shape[:-1]

    def _checked(self, q: Array) -> Array:
        if q.shape[-1:] != (self.hand.dof,):
            raise InputError(f"{q.shape} joint values", where=f"hand {self.hand.name}", right=f"(..., {self.hand.dof})")
        return q


def _chain(hand: HandSpec, name: str) -> list[Link]:
    """The links from the base, itself left out, to the link ``name``."""
    links = {link.name: link for link in hand.links}
    chain: list[Link] = []
    link = links[name]
    while link.parent is not None:
        chain.insert(0, link)
        link = links[link.parent]
    return chain


def _rows(constants: Array) -> Array:
    """(G, K, c) as (K, c, G, 1)."""
    return np.ascontiguousarray(np.moveaxis(constants, 0, -1))[..., None]


def _unrows(rows: Array, batch: tuple[int, ...]) -> Array:
    """(c, G, N) as (..., G, c)."""
    return np.ascontiguousarray(rows.T).reshape(*batch, rows.shape[1], rows.shape[0])


def _twist(jacobian: Array, axes: Array, rates: Array) -> tuple[Array, Array]:
    """Velocities (3, G, N) each of Jacobian and axes (K, 3, G, N) and rates (K, G, N)."""
    return np.asarray((jacobian * rates[:, None]).sum(axis=0)), np.asarray((axes * rates[:, None]).sum(axis=0))


def _parts(vector: Array) -> list[tuple[int, Array]]:
    """The components of a constant vector (3, G, 1) that are not zero for all fingers."""
    return [(j, vector[j]) for j in range(3) if vector[j].any()]


def _product(a: Array, b: Array) -> Array:
    """Hamilton product of (4, ...) by (4, ...)."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    out = np.empty_like(a)
    out[0] = aw * bw - ax * bx - ay * by - az * bz
    out[1] = aw * bx + ax * bw + ay * bz - az * by
    out[2] = aw * by - ax * bz + ay * bw + az * bx
    out[3] = aw * bz + ax * by - ay * bx + az * bw
    return out


class _Columns:
    """Columns (3, ...) of the rotation matrices of ``q`` (4, ...), computed as they are asked for."""

    def __init__(self, q: Array) -> None:
        self._q, self._double = q, q + q
        self._known: dict[int, Array] = {}

    def times(self, parts: list[tuple[int, Array]]) -> Array:
        """The vector whose components are ``parts``, turned."""
        if not parts:
            return np.zeros_like(self._q[1:])
        result: Array = self._column(parts[0][0]) * parts[0][1]
        for j, value in parts[1:]:
            result += self._column(j) * value
        return result

    def all(self) -> Array:
        """All three (3, 3, ...), the column first."""
        return np.stack([self._column(j) for j in range(3)])

    def _column(self, j: int) -> Array:
        if j not in self._known:
            w, own = self._q[0], self._double[1 + j]
            k, m = (j + 1) % 3, (j + 2) % 3
            # R_jj = 1 - 2 (q_k^2 + q_m^2), R_kj = 2 (q_j q_k + w q_m), R_mj = 2 (q_j q_m - w q_k)
            column = self._q[1:] * own
            column[k] += self._double[1 + m] * w
            column[m] -= self._double[1 + k] * w
            column[j] = 1.0 - self._double[1 + k] * self._q[1 + k]
            column[j] -= self._double[1 + m] * self._q[1 + m]
            self._known[j] = column
        return self._known[j]
