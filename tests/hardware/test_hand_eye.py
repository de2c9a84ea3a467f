"""Hand-eye calibration recovers a known camera from rendered, noisy views of a marker on a fingertip."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from knuckle.cli import main
from knuckle.core import rotations
from knuckle.core.errors import CommandRefused, InputError, RunError
from knuckle.hardware.hand_eye.calibrate_camera import place_of
from knuckle.hardware.hand_eye.hand_eye import HandEye, View, solve
from knuckle.hardware.hand_eye.lens import normalised
from knuckle.hardware.hand_eye.marker import MarkerConfig, MarkerFinder, corners_of, marker_image
from knuckle.hardware.hand_eye.postures import tip_pose, tip_postures
from knuckle.hardware.hand_eye.session import SessionConfig, look_about
from knuckle.hardware.spec import extrinsics_file
from knuckle.hardware.spec.contracts import ColourImage, Extrinsics, Intrinsics
from knuckle.hardware.spec.extrinsics_file import CameraPlace
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import camera_extrinsics, paper_extrinsics, pinhole
from knuckle.perception.pipeline import PerceptionConfig

pytest.importorskip("cv2", reason="OpenCV is not installed: pip install 'knuckle[calibrate]'")

HAND = hand_spec("dclaw3")
MARKER = MarkerConfig()
FINGER = 1
K = pinhole(1280, 720)
VIEWS = 40
# The plate on the tip's link: before the finger, facing away from the palm's axis, and not quite straight.
PLATE_P = np.array([0.014, 0.002, 0.055])
PLATE_Q = rotations.multiply(
    rotations.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), rotations.exp([0.05, -0.08, 0.1])
)


def true_camera(rng: np.random.Generator) -> Extrinsics:
    """The paper's place, moved by centimetres and turned by degrees."""
    place = paper_extrinsics()
    x, y, z = (float(v) for v in np.array(place.position) + rng.uniform(-0.03, 0.03, 3))
    turned = rotations.multiply(np.array(place.quaternion), rotations.exp(rng.uniform(-0.05, 0.05, 3)))
    w, i, j, k = (float(v) for v in turned)
    return Extrinsics((x, y, z), (w, i, j, k))


def errors(found: HandEye, true: Extrinsics) -> tuple[float, float]:
    """Millimetres and degrees between two places."""
    mm = 1e3 * float(np.linalg.norm(np.array(found.camera.position) - true.position))
    return mm, float(np.degrees(rotations.angle_between(found.camera.quaternion, true.quaternion)))


def projected(true: Extrinsics, q: np.ndarray, k: Intrinsics) -> np.ndarray:
    """The marker's corners in pixels, by the contracts alone."""
    position, quaternion = tip_pose(HAND, FINGER, q)
    on_tip = rotations.rotate(PLATE_Q, corners_of(MARKER.marker_side)) + PLATE_P
    in_base = rotations.rotate(quaternion, on_tip) + position
    seen = rotations.rotate(rotations.conjugate(true.quaternion), in_base - np.array(true.position))
    return np.asarray(seen[:, :2] / seen[:, 2:] * (k.fx, k.fy) + (k.cx, k.cy))


def views_of(true: Extrinsics, rng: np.random.Generator, *, pixel: float = 0.1, joint: float = 0.002) -> list[View]:
    views = []
    for q in tip_postures(HAND, FINGER, VIEWS, rng):
        corners = projected(true, q, K) + rng.normal(0.0, pixel, (4, 2))
        views.append(View(*tip_pose(HAND, FINGER, q + rng.normal(0.0, joint, HAND.dof)), corners))
    return views


class Studio:
    """The hand with the plate on its fingertip, drawn as a camera at ``true`` sees it."""

    def __init__(self, true: Extrinsics) -> None:
        from knuckle.sim.marked_hand import Eye, MarkedHand, Plate

        image = marker_image(MARKER)
        side = MARKER.marker_side * image.shape[0] / (image.shape[0] - 2 * 16)
        plate = Plate(HAND.tips[FINGER].link, image, side, PLATE_P, PLATE_Q)
        self._marked = MarkedHand(HAND, plate, depth=Eye(true, pinhole(8, 8)), colour=Eye(true, K))

    def picture(self, q: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What the camera sees at joint angles ``q``, with noise of 3 grey levels."""
        clean = self._marked.colour(q).astype(float)
        return np.clip(clean + rng.normal(0.0, 3.0, clean.shape), 0, 255).astype(np.uint8)

    def close(self) -> None:
        self._marked.close()


def egl_works() -> bool:
    from knuckle.core.errors import DeviceError
    from knuckle.sim.renderer import choose_renderer

    try:
        choose_renderer("egl", pinhole(8, 8)).renderer.close()
    except DeviceError:
        return False
    return True


@pytest.mark.gl
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_a_camera_is_found_from_rendered_noisy_views(seed: int) -> None:
    if not egl_works():
        pytest.skip("no EGL on this machine")
    rng = np.random.default_rng(seed)
    true = true_camera(rng)
    studio, finder, views = Studio(true), MarkerFinder(MARKER), []
    for q in tip_postures(HAND, FINGER, VIEWS, rng):
        corners = finder.find(studio.picture(q, rng))
        if corners is not None:
            assert np.abs(corners - projected(true, q, K)).max() < 2.5
            views.append(View(*tip_pose(HAND, FINGER, q + rng.normal(0.0, 0.002, HAND.dof)), corners))
    studio.close()
    assert len(views) > VIEWS // 2
    # Two fingers mistaken, and one posture that was not reached.
    for k in (3, 7, 11):
        views[k] = dataclasses.replace(views[k], position=views[k].position + rng.uniform(-0.02, 0.02, 3))
    found = solve(views, K, MARKER.marker_side, rng)
    mm, deg = errors(found, true)
    print(f"seed {seed}: {mm:.2f} mm, {deg:.3f} degrees, {found.used.sum()} of {len(views)} views used")
    assert mm < 4.0
    assert deg < 0.5
    assert mm < 1e3 * 6.0 * found.sigma_m
    assert not found.used[[3, 7, 11]].all()
    assert np.linalg.norm(found.marker_position - PLATE_P) < 0.003


@pytest.mark.parametrize("seed", range(4))
def test_without_noise_the_camera_and_the_marker_are_found_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = true_camera(rng)
    found = solve(views_of(true, rng, pixel=0.0, joint=0.0), K, MARKER.marker_side, rng)
    mm, deg = errors(found, true)
    assert mm < 1e-3
    assert deg < 1e-3
    assert found.used.all()
    assert np.allclose(found.marker_position, PLATE_P, atol=1e-6)


def test_views_that_turn_about_one_axis_are_refused() -> None:
    rng = np.random.default_rng(0)
    true, columns = true_camera(rng), [4, 5]
    views = []
    for _ in range(20):
        q = HAND.home.copy()
        q[columns] += rng.uniform(-0.4, 0.4, 2)
        views.append(View(*tip_pose(HAND, FINGER, q), projected(true, q, K)))
    with pytest.raises(RunError, match="two axes"):
        solve(views, K, MARKER.marker_side, rng)


def test_views_that_do_not_agree_and_too_few_are_refused() -> None:
    rng = np.random.default_rng(0)
    views = views_of(true_camera(rng), rng)
    with pytest.raises(RunError, match="7 views of the marker; at least 8"):
        solve(views[:7], K, MARKER.marker_side, rng)
    mixed = [dataclasses.replace(a, corners=b.corners) for a, b in zip(views, views[::-1], strict=True)]
    with pytest.raises(RunError, match="views agree|known to"):
        solve(mixed, K, MARKER.marker_side, rng)


def test_postures_keep_to_the_limits_and_move_one_finger_alone() -> None:
    postures = np.array(tip_postures(HAND, FINGER, 60, np.random.default_rng(0)))
    lower, upper = np.array([j.lower for j in HAND.joints]), np.array([j.upper for j in HAND.joints])
    assert (postures >= lower).all() and (postures <= upper).all()
    still = [k for k in range(HAND.dof) if k not in (3, 4, 5)]
    assert np.array_equal(postures[:, still], np.tile(HAND.home[still], (60, 1)))
    assert (np.ptp(postures[:, 3:6], axis=0) > 0.8).all()
    with pytest.raises(InputError, match="no fingertip 3; 0 to 2"):
        tip_postures(HAND, 3, 10, np.random.default_rng(0))


@pytest.mark.parametrize("lens", ["plumb_bob", "inverse_brown_conrady"])
def test_lenses_are_undone(lens: str) -> None:
    bent = dataclasses.replace(K, distortion=lens, coefficients=(0.1, -0.05, 0.001, -0.002, 0.01))
    pixels = np.random.default_rng(0).uniform([100, 100], [1180, 620], (50, 2))
    rays = normalised(pixels, bent)
    x, y = (rays if lens == "plumb_bob" else (pixels - (K.cx, K.cy)) / (K.fx, K.fy)).T
    k1, k2, p1, p2, k3 = bent.coefficients
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    there = np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)], 1
    )
    back = there * (K.fx, K.fy) + (K.cx, K.cy)
    assert np.allclose(back if lens == "plumb_bob" else there, pixels if lens == "plumb_bob" else rays, atol=1e-6)


PLACE = CameraPlace(
    hand="dclaw3",
    camera="825312070001",
    frame="camera_depth_optical_frame",
    position=(0.57, 0.03, -0.04),
    quaternion=(0.6, 0.4, -0.4, -(0.32**0.5)),
    residual_px=0.4,
    sigma_mm=1.0,
    sigma_deg=0.1,
    views=40,
    used=38,
    method="test",
)


def test_a_place_is_read_back_for_its_own_hand_and_camera_alone(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    w, x, y, z = (float(v) for v in rotations.normalize(PLACE.quaternion))
    place = dataclasses.replace(PLACE, quaternion=(w, x, y, z))
    extrinsics_file.save(place, path)
    assert extrinsics_file.load(path, hand="dclaw3", camera="825312070001") == place
    with pytest.raises(InputError, match="the camera's place over a dclaw3, not a leap"):
        extrinsics_file.load(path, hand="leap")
    with pytest.raises(InputError, match="the place of camera 825312070001, not 1"):
        extrinsics_file.load(path, hand="dclaw3", camera="1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "schema none"),
        ('{"schema": 9}', "schema 9; schema 1"),
        ('{"schema": 1, "position": [0, 0]}', "malformed"),
        ('{"schema": 1, "position": [0, 0, 0], "quaternion": [1, 1, 1, 1]}', "quaternion"),
    ],
)
def test_a_malformed_place_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "camera.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        extrinsics_file.load(path, hand="dclaw3")
    with pytest.raises(InputError, match="cannot be read"):
        extrinsics_file.load(tmp_path / "none.json", hand="dclaw3")


class Looked:
    """A hand that wears the marker, under a camera whose view of it is computed from where the joints really are."""

    def __init__(self, rig: object, true: Extrinsics, hidden: int = 10**9) -> None:
        self.rig, self.true, self.looks, self.hidden = rig, true, 0, hidden
        self.rng = np.random.default_rng(5)
        self.speeds: list[float] = []
        self._last: np.ndarray | None = None

    def wait_until(self, to_ns: int) -> None:
        before, q = self.rig.now, self.rig.raw.q.copy()  # type: ignore[attr-defined]
        while self.rig.now < to_ns:  # type: ignore[attr-defined]
            self.rig.run()  # type: ignore[attr-defined]
        self.speeds.append(float(np.abs(self.rig.raw.q - q).max() / max(1, self.rig.now - before) * 1e9))  # type: ignore[attr-defined]

    def look(self) -> np.ndarray | None:
        self.looks += 1
        if self.looks > self.hidden:
            return None
        return projected(self.true, self.rig.raw.q, K) + self.rng.normal(0.0, 0.1, (4, 2))  # type: ignore[attr-defined]


def test_a_session_goes_about_slowly_and_gives_views_from_which_the_camera_is_found(rig: object) -> None:
    rng = np.random.default_rng(1)
    looked = Looked(rig, true_camera(rng))
    said: list[str] = []
    looked.wait_until(50_000_000)
    views = look_about(
        rig.hand,  # type: ignore[attr-defined]
        FINGER,
        tip_postures(HAND, FINGER, 14, rng),
        looked.look,
        now_ns=lambda: rig.now,  # type: ignore[attr-defined]
        wait_until=looked.wait_until,
        config=SessionConfig(speed=0.8, settle_s=0.1, looks=3),
        said=said.append,
    )
    assert len(views) == 14
    assert said[-1] == "posture 14 of 14: marker seen"
    assert max(looked.speeds) <= 1.05 * 0.8
    assert rig.hand.status().state.name == "HOLD"  # type: ignore[attr-defined]
    found = solve(views, K, MARKER.marker_side, rng)
    mm, deg = errors(found, looked.true)
    assert mm < 1.0 and deg < 0.1


def test_a_session_that_is_stopped_says_so_and_moves_no_more(rig: object) -> None:
    rng = np.random.default_rng(1)
    looked = Looked(rig, true_camera(rng))
    looked.wait_until(50_000_000)

    def stop_at_last() -> np.ndarray | None:
        if looked.looks == 4:
            rig.hand.emergency_stop("test")  # type: ignore[attr-defined]
        return looked.look()

    with pytest.raises(CommandRefused):
        look_about(
            rig.hand,  # type: ignore[attr-defined]
            FINGER,
            tip_postures(HAND, FINGER, 14, rng),
            stop_at_last,
            now_ns=lambda: rig.now,  # type: ignore[attr-defined]
            wait_until=looked.wait_until,
        )
    assert rig.hand.status().latched  # type: ignore[attr-defined]


def test_the_place_that_is_written_is_that_of_the_depth_camera() -> None:
    rng = np.random.default_rng(2)
    depth = true_camera(rng)
    aside, turned = np.array([0.015, 0.001, 0.002]), rotations.exp([0.01, 0.02, -0.01])
    position = np.array(depth.position) + rotations.rotate(depth.quaternion, aside)
    x, y, z = (float(v) for v in position)
    w, i, j, k = (float(v) for v in rotations.multiply(depth.quaternion, turned))
    colour = Extrinsics((x, y, z), (w, i, j, k))
    found = solve(views_of(colour, rng, pixel=0.0, joint=0.0), K, MARKER.marker_side, rng)
    image = ColourImage(np.zeros((1, 1, 3), np.uint8), K, "", tuple(aside), tuple(turned))
    place = place_of(found, [], image, "dclaw3", "1")
    assert np.allclose(place.position, depth.position, atol=1e-6)
    assert float(rotations.angle_between(place.quaternion, depth.quaternion)) < 1e-6


def test_the_command_says_what_it_would_do_before_anything_moves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "camera", "--plan-only"]) == 0
    said = capsys.readouterr().out
    assert "joint_f2_0, joint_f2_1, joint_f2_2" in said
    assert "40 postures, at 0.4 rad/s at most" in said
    assert "black square 24 mm" in said
    assert main(["calibrate", "camera", "--finger", "7"]) == 2
    assert "no fingertip 7; 0 to 2" in capsys.readouterr().err
    assert main(["calibrate", "camera", "--yes"]) == 1
    assert "no RealSense camera is connected" in capsys.readouterr().err


@pytest.mark.gl
@pytest.mark.timeout(600)
def test_the_command_finds_a_virtual_camera_over_a_virtual_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From beginning to end: driver and servos, the camera's process with the library in it, OpenCV, solver, file."""
    if not all(find_spec(name) for name in ("pyrealsense2", "dynamixel_sdk")):
        pytest.skip("pyrealsense2 or dynamixel-sdk is not installed: pip install 'knuckle[hand]'")
    if not egl_works():
        pytest.skip("no EGL on this machine")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = tmp_path / "camera.json"
    brief = ["--postures", "14", "--looks", "1", "--settle-s", "0.4", "--speed", "1.0", "--out", str(path)]
    assert main(["calibrate", "camera", "--port", "virtual", *brief]) == 0
    said = capsys.readouterr().out
    assert said.count("marker seen") >= 10
    assert "it really stands" in said
    true, found = camera_extrinsics(HAND), extrinsics_file.load(path, hand="dclaw3", camera="virtual")
    assert 1e3 * np.linalg.norm(np.array(found.position) - true.position) < 5.0
    assert np.degrees(rotations.angle_between(found.quaternion, true.quaternion)) < 0.5
    assert found.sigma_mm < 5.0
    assert PerceptionConfig(camera_file=str(path)).extrinsics().position == found.position


def test_perception_takes_the_written_place_for_its_own_hand_alone(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    extrinsics_file.save(PLACE, path)
    config = PerceptionConfig(camera_file=str(path))
    found = config.extrinsics()
    assert found.position == PLACE.position
    assert float(rotations.angle_between(found.quaternion, rotations.normalize(PLACE.quaternion))) < 1e-9
    resolved = config.resolved()
    assert isinstance(resolved, PerceptionConfig)
    assert (resolved.camera_file, resolved.camera_x, resolved.extrinsics()) == ("", PLACE.position[0], found)
    with pytest.raises(InputError, match="not a leap"):
        dataclasses.replace(config, hand="leap").resolved()
