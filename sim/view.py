"""A colour view of the world, for video and for the eye."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.mounts import pinhole
from knuckle.sim.renderer import choose_renderer
from knuckle.sim.scene import VIDEO_CAMERA
from knuckle.sim.world import SimWorld


class WorldView:
    """Frames of ``world`` from beside the hand, by EGL or else by rays; ``source`` and ``reason`` say which and why."""

    def __init__(self, world: SimWorld, *, width: int = 640, height: int = 480, source: str = "auto") -> None:
        self._world = world
        self._chosen = choose_renderer(source, pinhole(width, height), samples=4)
        self.source, self.reason = self._chosen.source, self._chosen.reason

    def frame(self) -> NDArray[np.uint8]:
        """The world now, and an intruder that is under way, red green blue (height, width, 3)."""
        stamp_ns, scene, state = self._world.snapshot()
        intruder = self._world.intruder
        ball = None if intruder is None else intruder.ball(stamp_ns)
        return self._chosen.renderer.colour(scene, state, VIDEO_CAMERA, ball)

    def close(self) -> None:
        """Free the renderer."""
        self._chosen.renderer.close()
