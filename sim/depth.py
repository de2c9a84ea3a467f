"""The simulated depth camera: the world as the paper's D415 would see it, uint16 millimetres."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import validate
from knuckle.hardware.spec.contracts import DepthFrame, Extrinsics, Intrinsics
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.kinematics import world_to_base
from knuckle.hardware.spec.mounts import DEPTH_MAX_M, OPTICAL_FRAME, camera_extrinsics, pinhole
from knuckle.sim.depth_noise import DepthNoise, add_noise
from knuckle.sim.intruder import draw_ball
from knuckle.sim.renderer import choose_renderer
from knuckle.sim.scene import Scene
from knuckle.sim.world import SimWorld

SCALE_M = 0.001


class SimDepthCamera:
    """A DepthCamera (and a FrameSource) of ``world``. It never waits: each read shows the world as it is then.

    ``source`` is ``auto``, ``egl`` or ``rays``; InputError for another name. ``noise`` is off where None, and seeded.
    """

    def __init__(
        self,
        world: SimWorld,
        *,
        source: str = "auto",
        intrinsics: Intrinsics | None = None,
        noise: DepthNoise | None = None,
        seed: int = 0,
    ) -> None:
        self._world = world
        self._intrinsics = intrinsics if intrinsics is not None else pinhole()
        self._noise = validate(noise, where="depth noise") if noise is not None else None
        self._rng = np.random.default_rng(seed)
        self._chosen = choose_renderer(source, self._intrinsics)
        self._counter = 0
        self._lock = Lock()

    @property
    def source(self) -> str:
        """What draws: ``egl`` or ``rays``."""
        return self._chosen.source

    @property
    def reason(self) -> str:
        """One line: why that source."""
        return self._chosen.reason

    @property
    def intrinsics(self) -> Intrinsics:
        """The pinhole."""
        return self._intrinsics

    @property
    def extrinsics(self) -> Extrinsics:
        """The optical frame's pose in hand_base."""
        return camera_extrinsics(self._world.spec)

    def read(self, timeout_s: float) -> DepthFrame:
        """The world now. ``timeout_s`` is not needed: a frame is always there."""
        return self.render()

    def render(self) -> DepthFrame:
        """The world now, stamped with its time; 0 beyond 1.5 m and where nothing is."""
        return self.render_of(self._world.snapshot())

    def render_of(self, snapshot: tuple[int, Scene, Array]) -> DepthFrame:
        """The world as it was at a ``snapshot`` of it."""
        stamp_ns, scene, state = snapshot
        with self._lock:
            depth = self._chosen.renderer.depth(scene, state)
            depth = self._with_intruder(depth, stamp_ns)
            depth[depth >= DEPTH_MAX_M] = 0.0
            if self._noise is not None:
                depth = add_noise(depth, self._intrinsics, self._noise, self._rng)
                depth[depth >= DEPTH_MAX_M] = 0.0
            self._counter += 1
            return DepthFrame(
                stamp_ns=stamp_ns,
                counter=self._counter,
                depth=np.round(depth / SCALE_M).astype(np.uint16),
                scale_m=SCALE_M,
                intrinsics=self._intrinsics,
                frame=OPTICAL_FRAME,
            )

    def _with_intruder(self, depth: NDArray[np.float32], stamp_ns: int) -> NDArray[np.float32]:
        intruder = self._world.intruder
        place = None if intruder is None else intruder.position(stamp_ns)
        if intruder is None or place is None:
            return depth
        centre = world_to_base(self._world.spec, place)
        return draw_ball(depth, centre, intruder.config.radius, self._intrinsics, self.extrinsics)

    def close(self) -> None:
        """Free the renderer."""
        self._chosen.renderer.close()
