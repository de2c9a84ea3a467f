"""`knuckle calibrate camera`: where the camera stands over the hand, by a marker on a fingertip."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from knuckle.core import rotations
from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.hardware.hand_eye.hand_eye import HandEye, View, solve
from knuckle.hardware.hand_eye.marker import MarkerConfig
from knuckle.hardware.hand_eye.session import SessionConfig
from knuckle.hardware.hand_eye.stage import RealStage, Stage
from knuckle.hardware.realsense.driver import RealSenseCamera
from knuckle.hardware.realsense.settings import CameraSettings
from knuckle.hardware.spec.contracts import ColourImage, Extrinsics, Intrinsics
from knuckle.hardware.spec.extrinsics_file import CameraPlace, save
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.mounts import OPTICAL_FRAME

if TYPE_CHECKING:
    from knuckle.hardware.hand_eye.looking import MarkerWatch

WHERE = "knuckle calibrate camera"
EXPOSED_S = 2.0
"""How long an image is waited for that a virtual camera was asked to take."""
METHOD = "dual quaternions (Daniilidis 1999), then least squares over the marker's corners"


@dataclass(frozen=True)
class CameraOptions(MarkerConfig, SessionConfig):
    """Find where the camera stands over the hand, and write it to a file that perception reads.

    Fix a printed ArUco marker (dictionary 4x4_50) with its white border to a stiff plate on one fingertip, so that the
    camera sees it. The finger goes slowly about some postures; --plan-only says which, and moves nothing. Port
    "virtual" rehearses all of it with virtual servos and a virtual camera over a simulated hand that wears the marker.
    """

    port: str = setting("", "port of the servos' adapter, or virtual; empty for the only one connected")
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


Rehearsed = Callable[[CameraOptions, HandSpec], AbstractContextManager[Stage]]
"""Makes the stage of a rehearsal."""


def calibrate_camera(argv: list[str], rehearsed: Rehearsed) -> int:
    """Run the command. Raises InputError, DeviceError, CommandRefused or RunError in one line."""
    options = parse_arguments(CameraOptions, argv, WHERE)
    from knuckle.core.figures import require_writable
    from knuckle.hardware.calibrate_commands import VIRTUAL, agree
    from knuckle.hardware.hand_eye.looking import MarkerWatch
    from knuckle.hardware.hand_eye.marker import opencv
    from knuckle.hardware.hand_eye.postures import tip_postures
    from knuckle.hardware.spec.hands import hand_spec

    spec, rng = hand_spec(options.hand, where="--hand"), np.random.default_rng(options.seed)
    postures = tip_postures(spec, options.finger, options.postures, rng)
    if options.plan_only:
        print("\n".join(plan(options, spec)))
        return 0
    if options.out:
        require_writable(Path(options.out), what="the camera's place")
    opencv()
    rehearsal = options.port == VIRTUAL
    with (rehearsed if rehearsal else _real)(options, spec) as stage:
        watch = MarkerWatch(stage.camera, MarkerConfig(options.marker_id, options.marker_side))
        try:
            agree(plan(options, spec), yes=options.yes or rehearsal)
            views = _views(options, spec, postures, stage, watch)
        finally:
            watch.close()
        found = solve(views, _pinhole(watch.image), options.marker_side, rng)
        place, truth = place_of(found, views, watch.image, spec.name, stage.camera.status().serial), stage.truth
    path = Path(options.out or f"camera_{place.hand}_{place.camera}.json")
    save(place, path)
    print("\n".join([*told(place, truth), f"written to {path}: --set perception.camera_file={path}"]))
    return 0


def settings_of(options: CameraOptions) -> CameraSettings:
    """How the camera is opened: with colour, which shows the marker."""
    return CameraSettings(serial=options.serial, colour=True, colour_mode=options.colour_mode, decimation=1)


@contextlib.contextmanager
def _real(options: CameraOptions, spec: HandSpec) -> Iterator[Stage]:
    camera = RealSenseCamera(settings_of(options))
    try:
        yield RealStage(spec, camera, options.port, options.calibration)
    finally:
        camera.close()


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


def told(place: CameraPlace, truth: Extrinsics | None = None) -> list[str]:
    """The result, as lines, and how far it is from the ``truth`` where that is known."""
    x, y, z = place.position
    lines = [
        f"camera {place.camera} at {x:.4f}, {y:.4f}, {z:.4f} m of hand_base, known to {place.sigma_mm:.1f} mm and "
        f"{place.sigma_deg:.2f} degrees (one deviation)",
        f"{place.used} of {place.views} views used, corners within {place.residual_px:.2f} px",
    ]
    if truth is not None:
        mm = 1e3 * float(np.linalg.norm(np.array(place.position) - truth.position))
        degrees = float(np.degrees(rotations.angle_between(place.quaternion, truth.quaternion)))
        lines.append(f"it really stands {mm:.1f} mm and {degrees:.2f} degrees from there")
    return lines


def _views(
    options: CameraOptions, spec: HandSpec, postures: Sequence[Array], stage: Stage, watch: MarkerWatch
) -> list[View]:
    """The hand opened, led about and closed, torque off at the end."""
    from knuckle.hardware.hand_eye.session import look_about
    from knuckle.hardware.safety.guarded_hand import GuardedHand
    from knuckle.hardware.safety.latch import StopLatch

    session = SessionConfig(**{f.name: getattr(options, f.name) for f in dataclasses.fields(SessionConfig)})

    def look() -> Array | None:
        seen = watch.images
        if stage.expose():
            watch.wait_for_image(seen, EXPOSED_S)
        return watch.look()

    with stage.hand() as (raw, now_ns, wait_until):
        guarded = GuardedHand(raw, StopLatch(_latch_file(spec.name)), mint=lambda: os.urandom(8).hex())
        try:
            return look_about(
                guarded,
                options.finger,
                postures,
                look,
                now_ns=now_ns,
                wait_until=wait_until,
                config=session,
                said=print,
            )
        finally:
            guarded.release(WHERE)


def _pinhole(image: ColourImage | None) -> Intrinsics:
    if image is None:
        raise InputError("the camera gave no colour image", where=WHERE, right="a D415 or D435, which have colour")
    return image.intrinsics


def _latch_file(hand: str) -> Path:
    """The latch of the hand's own driver: who stopped the hand stopped it for this command too."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "knuckle" / f"stop_{hand}_{os.environ.get('ROS_DOMAIN_ID', '0')}.json"
