"""The postures in which the marker is looked at, and where its fingertip is in each."""

from __future__ import annotations

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import link_poses

SHARE = 0.6
"""Of each joint's range, about its middle between home and zero: far from stops, and from the palm."""


def tip_postures(spec: HandSpec, finger: int, n: int, rng: np.random.Generator) -> list[Array]:
    """``n`` postures (dof,) in which the joints of tip ``finger`` alone move, spread evenly; the others stay home.

    Ordered so that each is near the last. InputError where the hand has no such tip.
    """
    if not 0 <= finger < len(spec.tips):
        raise InputError(f"no fingertip {finger}", where="finger", right=f"0 to {len(spec.tips) - 1}")
    columns = moving_joints(spec, finger)
    # One in each of n equal slices of every joint's range, shuffled: no two postures share a slice.
    cells = np.stack([rng.permutation(n) for _ in columns], axis=1) + rng.uniform(size=(n, len(columns)))
    postures = np.tile(spec.home, (n, 1))
    for share, k in zip(cells.T / n, columns, strict=True):
        joint = spec.joints[k]
        centre = float(np.clip(0.5 * joint.home, joint.lower, joint.upper))
        reach = 0.5 * SHARE * (joint.upper - joint.lower)
        low, high = max(joint.lower, centre - reach), min(joint.upper, centre + reach)
        postures[:, k] = low + share * (high - low)
    return _in_order(list(postures), spec.home)


def moving_joints(spec: HandSpec, finger: int) -> list[int]:
    """Columns of the joints between the base and tip ``finger``, root first."""
    links = {link.name: link for link in spec.links}
    names: list[str] = []
    link = links[spec.tips[finger].link]
    while link.parent is not None:
        if link.joint is not None:
            names.insert(0, link.joint)
        link = links[link.parent]
    return [spec.joint_names.index(name) for name in names]


def tip_pose(spec: HandSpec, finger: int, q: Array) -> tuple[Array, Array]:
    """The tip's link in hand_base at joint angles ``q`` (dof,): position (3,) m and quaternion (4,) w x y z."""
    positions, quaternions = link_poses(spec, q)
    index = spec.link_names.index(spec.tips[finger].link)
    return positions[index], quaternions[index]


def _in_order(postures: list[Array], begin: Array) -> list[Array]:
    """The nearest first, and so on: the hand goes about in small steps."""
    ordered, here = [], begin
    while postures:
        nearest = min(range(len(postures)), key=lambda k: float(np.abs(postures[k] - here).max()))
        here = postures.pop(nearest)
        ordered.append(here)
    return ordered
