"""Forward kinematics of a HandSpec in the hand_base frame, over any leading batch axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec


def link_poses(spec: HandSpec, q: ArrayLike) -> tuple[Array, Array]:
    """Positions (..., links, 3) in m and quaternions (..., links, 4) of every link for angles ``q`` (..., dof)."""
    angles = np.asarray(q, dtype=np.float64)
    if angles.shape[-1:] != (spec.dof,):
        raise InputError(f"{angles.shape} joint angles", where=f"hand {spec.name}", right=f"(..., {spec.dof})")
    batch = angles.shape[:-1]
    positions = np.zeros((*batch, len(spec.links), 3))
    quaternions = np.zeros((*batch, len(spec.links), 4))
    index = {name: i for i, name in enumerate(spec.link_names)}
    column = {name: i for i, name in enumerate(spec.joint_names)}
    for i, link in enumerate(spec.links):
        local = np.broadcast_to(np.array(link.quaternion), (*batch, 4))
        if link.joint is not None:
            k = column[link.joint]
            turn = rotations.from_axis_angle(np.array(spec.joints[k].axis), angles[..., k])
            local = rotations.multiply(local, turn)
        if link.parent is None:
            positions[..., i, :], quaternions[..., i, :] = link.position, local
            continue
        p = index[link.parent]
        offset = rotations.rotate(quaternions[..., p, :], np.array(link.position))
        positions[..., i, :] = positions[..., p, :] + offset
        quaternions[..., i, :] = rotations.multiply(quaternions[..., p, :], local)
    return positions, quaternions


def tip_positions(spec: HandSpec, q: ArrayLike) -> Array:
    """Fingertip centres (..., tips, 3) in m, hand_base frame."""
    positions, quaternions = link_poses(spec, q)
    tips = []
    for tip in spec.tips:
        i = spec.link_names.index(tip.link)
        tips.append(positions[..., i, :] + rotations.rotate(quaternions[..., i, :], np.array(tip.position)))
    return np.stack(tips, axis=-2)


def base_to_world(spec: HandSpec, points: ArrayLike) -> Array:
    """Points (..., 3) of hand_base in the world frame."""
    return np.asarray(rotations.rotate(np.array(spec.mount_quaternion), points) + np.array(spec.mount_position))


def world_to_base(spec: HandSpec, points: ArrayLike) -> Array:
    """Points (..., 3) of the world in the hand_base frame."""
    shifted = np.asarray(points, dtype=np.float64) - np.array(spec.mount_position)
    return rotations.rotate(rotations.conjugate(np.array(spec.mount_quaternion)), shifted)
