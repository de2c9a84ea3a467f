"""Perception as a whole, fed as the bus feeds it: what is believed, what is refused, and that order does not matter."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from knuckle.core.errors import ConfigError, InputError
from knuckle.perception.cloud import CloudBuilder
from knuckle.perception.depth_image import DepthImage, intrinsics_of
from knuckle.perception.pipeline import Perception, PerceptionConfig

MS = 1_000_000


def image_of(scene: Any, stamp_ns: int) -> DepthImage:
    mm = np.round(scene.frame.depth * 0.1).astype("<u2")
    height, width = mm.shape
    return DepthImage(stamp_ns, "camera", "16UC1", width, height, 2 * width, False, mm.tobytes())


def feed(perception: Perception, scene: Any, image: DepthImage, ms: float = 50.0) -> list[Any]:
    """The image, its camera_info, and joint states around it."""
    names, q = scene.spec.joint_names, scene.q.tolist()
    perception.on_joint_state(image.stamp_ns - round(ms * MS), names, q)
    perception.on_camera_info(image.stamp_ns, scene.frame.intrinsics)
    perception.on_image(image)
    return perception.on_joint_state(image.stamp_ns + round(ms * MS), names, q)


def test_the_pipeline_gives_what_the_builder_gives(scene: Any) -> None:
    image = image_of(scene, 10**9)
    (cloud,) = feed(Perception(), scene, image)
    depth = np.round(scene.frame.depth * 0.1).astype(np.uint16)
    frame = replace(scene.frame, stamp_ns=10**9, depth=depth, scale_m=0.001)
    wanted = CloudBuilder(scene.spec, scene.extrinsics).build(frame, scene.q)
    assert cloud.stamp_ns == 10**9
    assert len(cloud.points) > 1000
    assert np.allclose(cloud.points, wanted.points, atol=1e-5)
    assert (cloud.label != wanted.label).mean() < 0.001


def test_arrival_order_between_topics_changes_no_bit(scene: Any) -> None:
    names, results = scene.spec.joint_names, []
    for seed in range(4):
        joints = [(10**9 + 9 * MS * k, (scene.q + 0.01 * k).tolist()) for k in range(12)]
        stamps = [10**9 + 30 * MS * k + 1 for k in range(3)]
        queues: list[list[Any]] = [joints, [image_of(scene, s) for s in stamps], list(stamps)]
        rng, perception, got = random.Random(seed), Perception(PerceptionConfig(late_s=10.0)), []
        while any(queues):
            k = rng.choice([i for i in range(3) if queues[i]])
            item = queues[k].pop(0)
            if k == 0:
                got += perception.on_joint_state(item[0], names, item[1])
            elif k == 1:
                got += perception.on_image(item)
            else:
                got += perception.on_camera_info(item, scene.frame.intrinsics)
        results.append([(c.stamp_ns, c.packed().tobytes()) for c in got])
    assert len(results[0]) == 3
    assert all(r == results[0] for r in results)


def test_joint_states_are_mapped_by_name(scene: Any) -> None:
    image, order = image_of(scene, 10**9), list(reversed(range(scene.spec.dof)))
    straight, mixed = Perception(), Perception()
    (wanted,) = feed(straight, scene, image)
    names = ["elbow", *(scene.spec.joint_names[k] for k in order)]
    q = [9.0, *(float(scene.q[k]) for k in order)]
    mixed.on_joint_state(10**9 - 50 * MS, names, q)
    mixed.on_camera_info(10**9, scene.frame.intrinsics)
    mixed.on_image(image)
    (cloud,) = mixed.on_joint_state(10**9 + 50 * MS, names, q)
    assert cloud.packed().tobytes() == wanted.packed().tobytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoding": "32FC1"}, "32FC1"),
        ({"data": b"\0" * 28800}, "every pixel is zero"),
        ({"data": b"\1\1"}, "2 bytes in rows"),
        ({"step": 2}, "rows of 2"),
        ({"width": 80, "step": 160}, "size 80x90"),
    ],
)
def test_a_bad_image_is_dropped_counted_and_named(scene: Any, change: dict[str, Any], named: str) -> None:
    perception = Perception()
    assert feed(perception, scene, replace(image_of(scene, 10**9), **change)) == []
    assert perception.counts.bad_image == perception.dropped == 1
    assert named in perception.last_problem
    assert len(feed(perception, scene, image_of(scene, 2 * 10**9))) == 1


@pytest.mark.parametrize(
    ("names", "q", "named"),
    [
        (["joint_f1_0"], [0.0], "no joint_f1_1"),
        ([f"joint_f{f}_{k}" for f in (1, 2, 3) for k in range(3)], [float("nan")] * 9, "not finite"),
        ([f"joint_f{f}_{k}" for f in (1, 2, 3) for k in range(3)], [0.0] * 8, "not one position"),
        (["joint_f1_0"] + [f"joint_f{f}_{k}" for f in (1, 2, 3) for k in range(3)], [0.0] * 10, "doubled"),
    ],
)
def test_a_bad_joint_state_never_reaches_a_cloud(names: list[str], q: list[float], named: str) -> None:
    perception = Perception()
    assert perception.on_joint_state(1, names, q) == []
    assert perception.counts.bad_joint_state == 1
    assert named in perception.last_problem


def test_images_without_their_camera_info_are_counted(scene: Any) -> None:
    perception = Perception(PerceptionConfig(waiting=2))
    for k in range(5):
        perception.on_image(image_of(scene, 10**9 + k))
    assert perception.counts.no_camera_info == perception.dropped == 3


@pytest.mark.parametrize("info_first", [True, False])
def test_a_camera_that_becomes_another_one_is_refused_and_named(scene: Any, info_first: bool) -> None:
    perception = Perception()
    assert len(feed(perception, scene, image_of(scene, 10**9))) == 1
    other = replace(scene.frame.intrinsics, fx=2.0 * scene.frame.intrinsics.fx)
    for n in range(2, 5):
        calls = [
            lambda n=n: perception.on_camera_info(n * 10**9, other),
            lambda n=n: perception.on_image(image_of(scene, n * 10**9)),
        ]
        assert all(call() == [] for call in (calls if info_first else calls[::-1]))
        assert perception.on_joint_state(n * 10**9, scene.spec.joint_names, scene.q.tolist()) == []
    assert "fx was" in perception.last_problem and "restart perception" in perception.last_problem
    assert (perception.counts.bad_camera_info, perception.counts.no_camera_info, perception.dropped) == (3, 3, 3)
    assert len(feed(perception, scene, image_of(scene, 6 * 10**9))) == 1


def test_padded_rows_and_big_endian_bytes_are_read_as_they_are(scene: Any) -> None:
    plain = image_of(scene, 10**9)
    mm = np.frombuffer(plain.data, dtype="<u2").reshape(plain.height, plain.width)
    padded = np.zeros((plain.height, plain.width + 6), dtype=">u2")
    padded[:, : plain.width] = mm
    odd = replace(plain, step=2 * plain.width + 12, big_endian=True, data=padded.tobytes())
    (wanted,), (cloud,) = feed(Perception(), scene, plain), feed(Perception(), scene, odd)
    assert cloud.packed().tobytes() == wanted.packed().tobytes()


def test_intrinsics_come_from_p_or_else_k_and_must_be_sound() -> None:
    k = [100.0, 0, 50, 0, 101.0, 40, 0, 0, 1]
    p = [90.0, 0, 51, 0, 0, 91.0, 41, 0, 0, 0, 1, 0]
    assert intrinsics_of(100, 80, k, p).fx == 90.0
    assert intrinsics_of(100, 80, k, [0.0] * 12).cy == 40.0
    with pytest.raises(InputError, match="positive focal lengths"):
        intrinsics_of(100, 80, [0.0] * 9, [0.0] * 12)


def test_a_bad_configuration_is_refused_by_its_key() -> None:
    with pytest.raises(InputError, match="camera_qw"):
        Perception(PerceptionConfig(camera_qw=0.0, camera_qx=0.0, camera_qy=0.0, camera_qz=0.0))
    with pytest.raises(InputError, match="dclaw3"):
        Perception(PerceptionConfig(hand="dclaw"))
    with pytest.raises(ConfigError, match=r"perception\.voxel_m"):
        Perception(PerceptionConfig(voxel_m=0.0))
