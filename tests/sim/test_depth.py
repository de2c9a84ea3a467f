"""The depth camera: two sources that agree, geometry against the spec, fallback without OpenGL, noise."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Thread

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.spec.contracts import DepthCamera, DepthFrame
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import paper_extrinsics, pinhole
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.depth_noise import DepthNoise, add_noise
from knuckle.sim.intruder import Intruder, IntruderConfig
from knuckle.sim.renderer import choose_renderer
from knuckle.sim.view import WorldView
from knuckle.sim.world import SimWorld

HAND = hand_spec("dclaw3")


def egl_works() -> bool:
    try:
        choose_renderer("egl", pinhole(8, 8)).renderer.close()
    except DeviceError:
        return False
    return True


NEEDS_EGL = pytest.mark.skipif(not egl_works(), reason="no EGL on this machine")


def points_in_world(frame: DepthFrame) -> np.ndarray:
    """All measured pixels as points of the world, by the contracts alone."""
    v, u = np.nonzero(frame.depth)
    z = frame.depth[v, u] * frame.scale_m
    k = frame.intrinsics
    optical = np.stack([(u - k.cx) / k.fx * z, (v - k.cy) / k.fy * z, z], axis=1)
    base = paper_extrinsics().to_base(optical)
    return np.asarray(rotations.rotate(np.array(HAND.mount_quaternion), base) + np.array(HAND.mount_position))


@pytest.mark.parametrize("source", ["rays", pytest.param("egl", marks=NEEDS_EGL)])
def test_a_frame_lies_on_the_table_or_above_it_where_the_object_is(source: str) -> None:
    world = SimWorld(HAND, "truck", seed=1)
    camera = SimDepthCamera(world, source=source)
    assert isinstance(camera, DepthCamera)
    frame = camera.read(0.1)
    camera.close()
    assert frame.depth.shape == (180, 320)
    assert frame.depth.dtype == np.uint16
    assert frame.depth.max() <= 1500
    points = points_in_world(frame)
    assert points[:, 2].min() > -0.003
    assert (np.abs(points[:, 2]) < 0.002).mean() > 0.4
    truth = world.object_truth()
    local = rotations.rotate(rotations.conjugate(truth.quaternion), points - truth.position)
    on_object = np.abs(world.scene.thing.distance(local)) < 0.0015
    assert on_object.sum() > 200


@NEEDS_EGL
@pytest.mark.gl
@pytest.mark.parametrize("name", ["truck", "bunny"])
@pytest.mark.parametrize("size", [(320, 180), (200, 150)])
def test_both_sources_measure_the_same(name: str, size: tuple[int, int]) -> None:
    world = SimWorld(HAND, name, seed=3)
    intrinsics = pinhole(*size)
    frames = []
    for source in ("egl", "rays"):
        camera = SimDepthCamera(world, source=source, intrinsics=intrinsics)
        frames.append(camera.render().depth.astype(np.int64))
        camera.close()
    both = (frames[0] > 0) & (frames[1] > 0)
    difference = np.abs(frames[0] - frames[1])[both]
    assert np.median(difference) < 2.0
    assert (difference > 5).mean() < 0.005
    assert ((frames[0] > 0) != (frames[1] > 0)).mean() < 0.005


def test_frames_are_counted_and_stamped_with_the_worlds_time() -> None:
    world = SimWorld(HAND, "duck")
    camera = SimDepthCamera(world, source="rays", intrinsics=pinhole(32, 18))
    first = camera.read(0.0)
    world.advance(100_000_000)
    second = camera.read(0.0)
    assert (first.counter, second.counter) == (1, 2)
    assert (first.stamp_ns, second.stamp_ns) == (0, 100_000_000)
    assert first.frame == "camera_depth_optical_frame"


def test_another_object_shows_in_the_next_frame() -> None:
    world = SimWorld(HAND, "duck", seed=1)
    camera = SimDepthCamera(world, intrinsics=pinhole(160, 90))
    before = camera.render().depth
    world.reset(1, "truck")
    assert (camera.render().depth != before).sum() > 50
    camera.close()


def test_reads_from_several_threads_agree() -> None:
    world = SimWorld(HAND, "duck", seed=1)
    camera = SimDepthCamera(world, intrinsics=pinhole(160, 90))
    frames: list[np.ndarray] = []
    threads = [Thread(target=lambda: frames.append(camera.read(1.0).depth)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    camera.close()
    assert len(frames) == 4
    assert all((frame == frames[0]).all() for frame in frames)


BROKEN = {
    "no EGL library or vendor": {"__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent", "MUJOCO_EGL_DEVICE_ID": "99"},
    "OpenGL switched off": {"MUJOCO_GL": "off"},
    "PyOpenGL bound elsewhere": {"PYOPENGL_PLATFORM": "glx"},
    "a platform that is broken": {"MUJOCO_GL": "osmesa", "PYOPENGL_PLATFORM": "osmesa"},
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_without_opengl_rays_are_cast_and_the_reason_is_one_line(case: str) -> None:
    script = """
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import pinhole
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.view import WorldView
from knuckle.sim.world import SimWorld
world = SimWorld(hand_spec("dclaw3"), "duck")
camera = SimDepthCamera(world, intrinsics=pinhole(64, 36))
assert camera.read(0.1).depth.any()
assert WorldView(world, width=64, height=48).frame().std() > 5
print(camera.source, camera.reason, sep="|")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **BROKEN[case]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    source, reason = ran.stdout.strip().split("|")
    assert source == "rays"
    assert len(reason) > 10


def test_egl_asked_for_by_name_and_absent_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knuckle.sim.depth_egl.GL_WISH", "off")
    with pytest.raises(DeviceError, match="MUJOCO_GL switches OpenGL off"):
        choose_renderer("egl", pinhole())
    assert choose_renderer("auto", pinhole()).source == "rays"


def test_an_unknown_source_is_an_error_that_lists_them() -> None:
    with pytest.raises(InputError, match=r"unknown depth source 'elg'; did you mean 'egl'\? known: auto, egl, rays"):
        SimDepthCamera(SimWorld(HAND, "duck"), source="elg")


@pytest.mark.parametrize("source", ["rays", pytest.param("egl", marks=NEEDS_EGL)])
def test_the_colour_view_shows_the_object_in_its_colour(source: str) -> None:
    world = SimWorld(HAND, "letter_j", seed=0)
    view = WorldView(world, width=160, height=120, source=source)
    image = view.frame().astype(np.int64)
    view.close()
    assert image.shape == (120, 160, 3)
    blue = (image[..., 2] > 1.5 * image[..., 0]) & (image[..., 2] > 60)
    assert blue.sum() > 60


@pytest.mark.parametrize("source", ["rays", pytest.param("egl", marks=NEEDS_EGL)])
def test_the_colour_view_shows_an_intruder_while_it_is_there_and_is_the_same_again_after_it(source: str) -> None:
    world = SimWorld(HAND, "duck", seed=0)
    view = WorldView(world, width=160, height=120, source=source)
    before = view.frame().astype(np.int64)
    config = IntruderConfig(begin=0.25, end=0.22, speed=5.0, radius=0.05)
    world.intruder = Intruder(world.spec, world.now_ns, np.random.default_rng(0), config)
    with_ball = view.frame().astype(np.int64)
    # A place far below the table: hidden, as everything under it is.
    world.intruder = Intruder(world.spec, world.now_ns, np.random.default_rng(0), config)
    world.intruder._foot[2] = -0.5
    hidden = view.frame()
    world.intruder = None
    after = view.frame()
    view.close()
    changed = np.abs(with_ball - before).sum(axis=2) > 30
    assert 20 < changed.sum() < 0.25 * changed.size
    yellow = (with_ball[..., 1] > 1.5 * with_ball[..., 2]) & (with_ball[..., 0] > 1.5 * with_ball[..., 2])
    assert (yellow & changed).sum() > 0.7 * changed.sum()
    np.testing.assert_array_equal(hidden, before)
    np.testing.assert_array_equal(after, before)


def test_noise_is_seeded_steps_in_disparity_and_grows_with_distance() -> None:
    intrinsics = pinhole()
    near, far = np.full((180, 320), 0.4, np.float32), np.full((180, 320), 1.2, np.float32)
    quiet = DepthNoise(sigma=0.0)
    stepped = add_noise(np.linspace(0.4, 1.2, 57600, dtype=np.float32).reshape(180, 320), intrinsics, quiet, rng(0))
    disparity = intrinsics.fx * 4.0 * 0.055 / stepped.astype(np.float64)
    np.testing.assert_allclose(disparity * 32.0, np.round(disparity * 32.0), atol=1e-2)
    noise = DepthNoise()
    spread = [float(add_noise(z, intrinsics, noise, rng(1)).std()) for z in (near, far)]
    assert spread[1] / spread[0] == pytest.approx(9.0, rel=0.1)
    assert (add_noise(near, intrinsics, noise, rng(2)) == add_noise(near, intrinsics, noise, rng(2))).all()


def test_noise_makes_holes_along_edges_only() -> None:
    z = np.full((60, 80), 0.9, np.float32)
    z[:, 40:] = 0.5
    z[0, 0] = 0.0
    holes = add_noise(z, pinhole(80, 60), DepthNoise(edge_dropout=1.0), rng(0)) == 0.0
    assert holes[:, 39:41].all()
    assert holes[0, 0]
    assert not holes[3:, :39].any()
    assert not holes[:, 41:].any()


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
