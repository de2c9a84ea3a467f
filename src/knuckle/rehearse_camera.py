"""`knuckle calibrate camera`, and its rehearsal, in which driver, virtual servos, virtual camera and simulator meet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.hand_eye.calibrate_camera import CameraOptions, settings_of
from knuckle.hardware.hand_eye.calibrate_camera import calibrate_camera as calibrate
from knuckle.hardware.hand_eye.marker import MarkerConfig, marker_image
from knuckle.hardware.hand_eye.postures import tip_pose, tip_postures
from knuckle.hardware.hand_eye.stage import OpenedHand, Stage
from knuckle.hardware.realsense.driver import RealSenseCamera
from knuckle.hardware.realsense.settings import CameraSettings, size_of
from knuckle.hardware.spec.contracts import ColourImage, DepthFrame, Extrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, camera_extrinsics, pinhole
from knuckle.hardware.virtual.camera import VirtualCamera
from knuckle.rehearsal import START_NS, rehearsed_hand
from knuckle.sim.depth_noise import DepthNoise, add_noise
from knuckle.sim.free_hand import FreeHand
from knuckle.sim.marked_hand import Eye, MarkedHand, Plate

BESIDE_M = (0.015, 0.0, 0.0)
"""A D415's colour camera in its depth camera."""
BESIDE_RAD = (0.004, -0.003, 0.002)
OFF_M = 0.02
"""How far the plate stands off the fingertip's pad, so that the finger does not hide it."""
CELLS, BORDER = 8, 1
"""Of a printed marker: cells of its side, and how many of them are white border at each end."""
SAMPLES = 50
GREY_NOISE = 3.0
SCALE_M = 0.001


def calibrate_camera(argv: list[str]) -> int:
    """Run the command; port "virtual" rehearses it. Raises as the command does."""
    return calibrate(argv, rehearsed)


@contextlib.contextmanager
def rehearsed(options: CameraOptions, spec: HandSpec, place: Extrinsics | None = None) -> Iterator[Stage]:
    """A simulated hand that wears the marker, under a virtual camera at ``place`` (where the hand's own stands).

    DeviceError where no OpenGL draws here.
    """
    settings = replace(settings_of(options), serial="")
    stage = RehearsalStage(options, spec, settings, place or camera_extrinsics(spec))
    try:
        yield stage
    finally:
        stage.close()


class RehearsalStage:
    """A stage without a device. The hand's time passes when it is told to, and the camera takes images then."""

    def __init__(self, options: CameraOptions, spec: HandSpec, settings: CameraSettings, place: Extrinsics) -> None:
        self.truth: Extrinsics | None = place
        self._spec, self._plant, self._time = spec, FreeHand(spec, START_NS), [lambda: START_NS]
        marker = MarkerConfig(options.marker_id, options.marker_side)
        plate = worn_plate(spec, options.finger, marker, place)
        self._view = MarkedView(spec, plate, settings, place, self._joints, self._now_ns, options.seed)
        try:
            self._virtual = VirtualCamera(self._view)
            self.camera = RealSenseCamera(settings, virtual=self._virtual, now_ns=self._now_ns)
        except BaseException:
            self._view.close()
            raise

    def hand(self) -> AbstractContextManager[OpenedHand]:
        """The real driver over virtual servos."""
        return self._hand()

    def expose(self) -> bool:
        """Show the camera the hand as it is now."""
        self._virtual.expose()
        return True

    def close(self) -> None:
        """Close the camera and free the renderers."""
        self.camera.close()
        self._view.close()

    @contextlib.contextmanager
    def _hand(self) -> Iterator[OpenedHand]:
        with rehearsed_hand(self._spec, self._plant) as (raw, now_ns, wait_until):
            self._time[0] = now_ns
            yield raw, now_ns, wait_until

    def _joints(self) -> Array:
        return self._plant.joint_state()[0]

    def _now_ns(self) -> int:
        return self._time[0]()


class MarkedView:
    """A FrameSource: the marked hand at the ``joints`` that it has then, in depth and colour, with a camera's noise.

    ``place`` is that of the depth camera; the colour camera stands beside it as in a D415.
    """

    def __init__(
        self,
        spec: HandSpec,
        plate: Plate,
        settings: CameraSettings,
        place: Extrinsics,
        joints: Callable[[], Array],
        now_ns: Callable[[], int],
        seed: int,
    ) -> None:
        self._joints, self._now_ns, self._rng = joints, now_ns, np.random.default_rng(seed)
        self._depth_pinhole, self._pinhole = pinhole(*settings.depth_size), pinhole(*size_of(settings.colour_mode))
        self._turned = rotations.exp(BESIDE_RAD)
        position = np.array(place.position) + rotations.rotate(place.quaternion, BESIDE_M)
        quaternion = rotations.multiply(place.quaternion, self._turned)
        x, y, z = (float(v) for v in position)
        w, i, j, k = (float(v) for v in quaternion)
        colour = Eye(Extrinsics((x, y, z), (w, i, j, k)), self._pinhole)
        self._marked = MarkedHand(spec, plate, depth=Eye(place, self._depth_pinhole), colour=colour)
        self._counter = 0

    def render(self) -> DepthFrame:
        """The hand as it is now."""
        q, rng = self._joints(), self._rng
        depth = add_noise(self._marked.depth(q), self._depth_pinhole, DepthNoise(), rng)
        clean = self._marked.colour(q).astype(np.float32)
        grainy = np.clip(clean + GREY_NOISE * rng.standard_normal(clean.shape, np.float32), 0, 255)
        w, i, j, k = (float(v) for v in self._turned)
        self._counter += 1
        return DepthFrame(
            stamp_ns=self._now_ns(),
            counter=self._counter,
            depth=np.round(depth / SCALE_M).clip(0, 65_535).astype(np.uint16),
            scale_m=SCALE_M,
            intrinsics=self._depth_pinhole,
            frame=OPTICAL_FRAME,
            colour=ColourImage(grainy.astype(np.uint8), self._pinhole, "", BESIDE_M, (w, i, j, k)),
        )

    def close(self) -> None:
        """Free the renderers."""
        self._marked.close()


def worn_plate(spec: HandSpec, finger: int, marker: MarkerConfig, place: Extrinsics) -> Plate:
    """The printed marker before the pad of tip ``finger``, facing ``place`` in the middle of its postures."""
    tip = spec.tips[finger]
    rng = np.random.default_rng(0)
    middle = np.mean(tip_postures(spec, finger, SAMPLES, rng), axis=0)
    position, quaternion = tip_pose(spec, finger, middle)
    pad = rotations.rotate(quaternion, tip.position) + position
    out = np.array(place.position) - pad
    out /= np.linalg.norm(out)
    # Upright for the camera, whose y points down.
    right = np.cross(-rotations.to_matrix(place.quaternion)[:, 1], out)
    right /= np.linalg.norm(right)
    facing = rotations.from_matrix(np.stack([right, np.cross(out, right), out], axis=1))
    back = rotations.conjugate(quaternion)
    return Plate(
        link=tip.link,
        image=marker_image(marker, CELLS),
        side=marker.marker_side * CELLS / (CELLS - 2 * BORDER),
        position=np.array(tip.position) + rotations.rotate(back, out) * (tip.radius + OFF_M),
        quaternion=rotations.multiply(back, facing),
    )
