"""`knuckle calibrate camera`: where the camera stands over the hand, by a marker on a fingertip."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knuckle.core import rotations
from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.hardware.hand_eye.hand_eye import HandEye, View, solve
from knuckle.hardware.hand_eye.marker import MarkerConfig
from knuckle.hardware.hand_eye.session import SessionConfig
from knuckle.hardware.spec.contracts import ColourImage, Intrinsics
from knuckle.hardware.spec.extrinsics_file import CameraPlace, save
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.mounts import OPTICAL_FRAME

WHERE = "knuckle calibrate camera"
METHOD = "dual quaternions (Daniilidis 1999), then least squares over the marker's corners"


@dataclass(frozen=True)
class CameraOptions(MarkerConfig, SessionConfig):
    """Find where the camera stands over the hand, and write it to a file that perception reads.

    Fix a printed ArUco marker (dictionary 4x4_50) with its white border to a stiff plate on one fingertip, so that the
    camera sees it. The finger goes slowly about some postures; --plan-only says which, and moves nothing.
    """

    port: str = setting("", "port of the servos' adapter; empty for the only one connected")
    hand: str = setting("dclaw3", "which hand it is")
    finger: int = setting(1, "fingertip that wears the marker, from 0", low=0, high=15)
    postures: int = setting(40, "postures to look at", low=10, high=500)
    serial: str = setting("", "serial number of the camera; empty where there is one alone")
    colour_mode: str = setting("1280x720", "columns x rows of the colour image", choices=("1280x720", "640x480"))
    calibration: str = setting("", "calibration file of the hand; empty for the user's own")
    out: str = setting("", "file to write; empty for camera_HAND_SERIAL.json here")
    seed: int = setting(0, "seed of the postures", low=0, high=2**31 - 1)
    plan_only: bool = setting(False, "say what would be done")
    yes: bool = setting(False, "do not ask")


def calibrate_camera(argv: list[str]) -> int:
    """Run the command. Raises InputError, DeviceError, CommandRefused or RunError in one line."""
    options = parse_arguments(CameraOptions, argv, WHERE)
    from knuckle.core.figures import require_writable
    from knuckle.hardware.calibrate_commands import VIRTUAL, agree
    from knuckle.hardware.hand_eye.looking import MarkerWatch
    from knuckle.hardware.hand_eye.marker import opencv
    from knuckle.hardware.hand_eye.postures import tip_postures
    from knuckle.hardware.realsense.driver import RealSenseCamera
    from knuckle.hardware.realsense.settings import CameraSettings
    from knuckle.hardware.spec.hands import hand_spec

    spec, rng = hand_spec(options.hand, where="--hand"), np.random.default_rng(options.seed)
    postures = tip_postures(spec, options.finger, options.postures, rng)
    if options.plan_only:
        print("\n".join(plan(options, spec)))
        return 0
    if options.port == VIRTUAL:
        raise InputError("virtual servos wear no marker", where="--port", right="--plan-only says what would be done")
    if options.out:
        require_writable(Path(options.out), what="the camera's place")
    opencv()
    settings = CameraSettings(serial=options.serial, colour=True, colour_mode=options.colour_mode, decimation=1)
    camera = RealSenseCamera(settings)
    try:
        watch = MarkerWatch(camera, MarkerConfig(options.marker_id, options.marker_side))
        try:
            agree(plan(options, spec), yes=options.yes)
            views = _views(options, spec, postures, watch.look)
        finally:
            watch.close()
        found = solve(views, _pinhole(watch.image), options.marker_side, rng)
        place = place_of(found, views, watch.image, spec.name, camera.status().serial)
    finally:
        camera.close()
    path = Path(options.out or f"camera_{place.hand}_{place.camera}.json")
    save(place, path)
    print("\n".join([*told(place), f"written to {path}: --set perception.camera_file={path}"]))
    return 0


def plan(options: CameraOptions, spec: HandSpec) -> list[str]:
    """What is about to happen, as lines."""
    from knuckle.hardware.hand_eye.postures import SHARE, moving_joints

    tip = spec.tips[options.finger]
    names = ", ".join(spec.joint_names[k] for k in moving_joints(spec, options.finger))
    marker = f"marker {options.marker_id} of dictionary 4x4_50, black square {1e3 * options.marker_side:g} mm"
    return [
        f"The finger of {tip.name} ({names}) will go about {options.postures} postures, at {options.speed:g} rad/s at "
        f"most and within {100 * SHARE:.0f}% of its joints' ranges; the other fingers go to their home posture.",
        f"It must wear {marker}, on a stiff plate that the camera sees and that meets nothing.",
        "Nothing may be in the hand. To stop: power off, or Ctrl-C (the hand then holds, and lets go).",
    ]


def place_of(found: HandEye, views: Sequence[View], image: ColourImage | None, hand: str, camera: str) -> CameraPlace:
    """What is written. The colour camera saw the marker; the place is that of the depth camera beside it."""
    position, quaternion = np.array(found.camera.position), np.array(found.camera.quaternion)
    if image is not None:
        # The colour camera stands at (position, quaternion) in the depth camera: go back from it.
        quaternion = rotations.multiply(quaternion, rotations.conjugate(image.quaternion))
        position = position - rotations.rotate(quaternion, np.array(image.position))
    x, y, z = (float(v) for v in position)
    w, i, j, k = (float(v) for v in rotations.normalize(quaternion))
    return CameraPlace(
        hand=hand,
        camera=camera,
        frame=OPTICAL_FRAME,
        position=(x, y, z),
        quaternion=(w, i, j, k),
        residual_px=found.residual_px,
        sigma_mm=1e3 * found.sigma_m,
        sigma_deg=float(np.degrees(found.sigma_rad)),
        views=len(views),
        used=int(found.used.sum()),
        method=METHOD,
    )


def told(place: CameraPlace) -> list[str]:
    """The result, as lines."""
    x, y, z = place.position
    return [
        f"camera {place.camera} at {x:.4f}, {y:.4f}, {z:.4f} m of hand_base, known to {place.sigma_mm:.1f} mm and "
        f"{place.sigma_deg:.2f} degrees (one deviation)",
        f"{place.used} of {place.views} views used, corners within {place.residual_px:.2f} px",
    ]


def _views(
    options: CameraOptions, spec: HandSpec, postures: Sequence[Array], look: Callable[[], Array | None]
) -> list[View]:
    """The hand opened, led about and closed, torque off at the end."""
    from knuckle.hardware.calibrate_commands import servo_port
    from knuckle.hardware.dynamixel.open_hand import open_hand
    from knuckle.hardware.hand_eye.session import look_about
    from knuckle.hardware.safety.guarded_hand import GuardedHand
    from knuckle.hardware.safety.latch import StopLatch

    session = SessionConfig(**{f.name: getattr(options, f.name) for f in dataclasses.fields(SessionConfig)})
    with servo_port(options.port, spec.name) as port:
        raw = open_hand(spec, port, calibration=Path(options.calibration) if options.calibration else None)
        try:
            guarded = GuardedHand(raw, StopLatch(_latch_file(spec.name)), mint=lambda: os.urandom(8).hex())
            try:
                return look_about(
                    guarded,
                    options.finger,
                    postures,
                    look,
                    now_ns=time.monotonic_ns,
                    wait_until=lambda to_ns: time.sleep(max(0.0, (to_ns - time.monotonic_ns()) * 1e-9)),
                    config=session,
                    said=print,
                )
            finally:
                guarded.release(WHERE)
        finally:
            raw.close()


def _pinhole(image: ColourImage | None) -> Intrinsics:
    if image is None:
        raise InputError("the camera gave no colour image", where=WHERE, right="a D415 or D435, which have colour")
    return image.intrinsics


def _latch_file(hand: str) -> Path:
    """The latch of the hand's own driver: who stopped the hand stopped it for this command too."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "knuckle" / f"stop_{hand}_{os.environ.get('ROS_DOMAIN_ID', '0')}.json"
