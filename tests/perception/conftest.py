"""A synthetic scene with a known answer for every pixel: the hand, a ball and the table, seen by sphere tracing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.contracts import DepthFrame, Extrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import link_poses
from knuckle.hardware.spec.mounts import paper_extrinsics, pinhole
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.hardware.spec.primitive_distance import signed_distance
from knuckle.perception.cloud import Cloud, CloudBuilder

BALL, BALL_RADIUS, TABLE_Z, FAR = np.array([0.0, 0.0, 0.165]), 0.045, 0.22, 2.0


@dataclass(frozen=True)
class Scene:
    """What was rendered: ``seen`` is, for each pixel, 0 nothing, 1 table, 2 ball, 3 + i link i."""

    spec: HandSpec
    extrinsics: Extrinsics
    q: Array
    frame: DepthFrame
    seen: NDArray[np.int64]


def distances(spec: HandSpec, q: Array, points: Array) -> Array:
    """Distance (n, 2 + links) of points to the table, the ball and each link: the oracle, without any shortcut."""
    positions, quaternions = link_poses(spec, q)
    columns = [TABLE_Z - points[:, 2], np.linalg.norm(points - BALL, axis=1) - BALL_RADIUS]
    for i, link in enumerate(spec.links):
        local = rotations.rotate(rotations.conjugate(quaternions[i]), points - positions[i])
        columns.append(np.min([signed_distance(p, local) for p in link.primitives], axis=0))
    return np.stack(columns, axis=1)


@pytest.fixture(scope="session")
def scene() -> Scene:
    spec, extrinsics, camera = hand_spec("dclaw3"), paper_extrinsics(), pinhole(160, 90)
    q = spec.home + 0.1 * np.sin(np.arange(spec.dof))
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    optical = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    length = np.linalg.norm(optical.reshape(-1, 3), axis=1)
    rays = rotations.rotate(np.array(extrinsics.quaternion), optical.reshape(-1, 3) / length[:, None])
    along, active = np.zeros(len(rays)), np.arange(len(rays))
    for _ in range(80):
        points = np.array(extrinsics.position) + along[active, None] * rays[active]
        step = distances(spec, q, points).min(axis=1)
        along[active] += np.minimum(step, 0.2)
        active = active[(step > 1e-5) & (along[active] < FAR)]
    points = np.array(extrinsics.position) + along[:, None] * rays
    exact = distances(spec, q, points)
    hit = exact.min(axis=1) < 1e-3
    seen = np.where(hit, 1 + exact.argmin(axis=1), 0).reshape(camera.height, camera.width)
    depth = np.where(hit, np.round(1e4 * along / length), 0).astype(np.uint16).reshape(camera.height, camera.width)
    return Scene(spec, extrinsics, q, DepthFrame(1_000, 0, depth, 1e-4, camera, "camera_depth_optical_frame"), seen)


Film = Callable[..., list[Cloud]]
"""``film(thing, poses)``: the clouds of an object carried through ``poses``, 12 a second, beside a resting hand."""


@pytest.fixture(scope="session")
def film() -> Iterator[Film]:
    """Clouds of kinematic scenes, rendered by the simulated camera with its noise."""
    from knuckle.sim.depth import SimDepthCamera
    from knuckle.sim.depth_noise import DepthNoise
    from knuckle.sim.scene import EXECUTION_DT_S, build_scene
    from knuckle.sim.world import SimWorld

    spec = hand_spec("dclaw3")
    camera = SimDepthCamera(SimWorld(spec, "duck"), noise=DepthNoise())
    builder = CloudBuilder(spec, paper_extrinsics())
    still = np.zeros(3)

    def shoot(thing: ObjectShape, poses: Sequence[tuple[Array, Array]], q: Array = spec.home) -> list[Cloud]:
        # Every film has the same noise, whichever was made before it.
        camera._rng = np.random.default_rng(0)
        seen = build_scene(spec, thing, EXECUTION_DT_S, iterations=1)
        clouds = []
        for k, (position, quaternion) in enumerate(poses):
            state = seen.physics_state(q, np.zeros(spec.dof), position, quaternion, still, still)
            frame = camera.render_of((round(k * 1e9 / 12.0), seen, state))
            clouds.append(builder.build(frame, q))
        return clouds

    yield shoot
    camera.close()
