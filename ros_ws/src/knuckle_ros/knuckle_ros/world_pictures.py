"""Pictures of the simulated world, drawn in a thread of its own so that the world does not wait for one."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.scene import Scene
from knuckle.sim.world import STEPS_PER_S
from knuckle_ros.paced_world import PacedWorld


class WorldPictures:
    """Calls ``take(frame, seconds it took)`` with a picture of ``world`` at ``rate`` Hz of its time.

    Pictures stand on whole periods since the world's start: at the control rate they are of the control cycles, and
    have the stamps of their joint states. Where one is due before the last is drawn, the last is given up (``missed``).
    """

    def __init__(
        self, world: PacedWorld, camera: SimDepthCamera, rate: float, take: Callable[[DepthFrame, float], None]
    ) -> None:
        self._world, self._camera, self._rate, self._take = world, camera, rate, take
        self.missed = 0
        self.failure: Exception | None = None
        self._frame = 0
        self._taken: deque[tuple[int, Scene, Array]] = deque(maxlen=1)
        self._wanted = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="camera")
        self._thread.start()
        world.add_cycle(self._cycle)

    def close(self) -> None:
        """End the thread and free the renderer."""
        self._world.remove_cycle(self._cycle)
        self._stopping = True
        self._wanted.set()
        self._thread.join()
        self._camera.close()

    def _cycle(self, now_ns: int, step: int) -> None:
        """In the world's thread: take down the world when a picture is due."""
        frame = math.floor(step * self._rate / STEPS_PER_S + 1e-9)
        if frame == self._frame:
            return
        self._frame = frame
        self.missed += len(self._taken)
        self._taken.append(self._world.sim.snapshot())
        self._wanted.set()

    def _run(self) -> None:
        try:
            while self._wanted.wait() and not self._stopping:
                self._wanted.clear()
                if self._taken:
                    began = time.monotonic()
                    frame = self._camera.render_of(self._taken.pop())
                    self._take(frame, time.monotonic() - began)
        except Exception as error:
            # Raised again in the executor's thread.
            self.failure = error
