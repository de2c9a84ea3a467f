"""A film of one episode: the scene, the goal as an inset, and a bar for the angle that is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.mounts import pinhole
from knuckle.policy.contract import Goal, Policy
from knuckle.policy.reorient_episode import Start
from knuckle.policy.reorient_score import EpisodeScore
from knuckle.policy.reorient_task import ReorientTask
from knuckle.sim.renderer import choose_renderer
from knuckle.sim.scene import VIDEO_CAMERA
from knuckle.sim.video import VideoWriter
from knuckle.sim.world import SimWorld

SIZES = {"egl": (640, 480), "rays": (320, 240)}
"""Width and height by renderer: without OpenGL every pixel is a ray."""
INSET, BAR = 4, 10
REACHED_RAD = 0.4


class EpisodePainter:
    """Draws the frames of an episode. ``source`` as `choose_renderer` takes it; `close` it when done."""

    def __init__(self, source: str = "auto", *, sizes: dict[str, tuple[int, int]] = SIZES) -> None:
        self._scene = choose_renderer(source, pinhole(*sizes["egl"]), samples=4)
        self.source = self._scene.source
        width, height = sizes[self.source]
        if self.source != "egl":
            self._scene = choose_renderer(self.source, pinhole(width, height))
        # The goal is drawn small by a renderer of its own: a whole second picture would cost as much as the first.
        self._goal = choose_renderer(self.source, pinhole(width // INSET, height // INSET))

    def frame(self, world: SimWorld, goal: Goal, angle: float) -> NDArray[np.uint8]:
        """The scene now, the object at its goal in the upper right corner, the ``angle`` left (rad) as a bar."""
        _, scene, state = world.snapshot()
        frame = self._scene.renderer.colour(scene, state, VIDEO_CAMERA).copy()
        wanted = state.copy()
        wanted[1 + scene.object_q.start + 3 : 1 + scene.object_q.stop] = goal.quaternion
        wanted[1 + scene.object_q.start + 2] += 0.02
        inset = self._goal.renderer.colour(scene, wanted, VIDEO_CAMERA)
        frame[8 : 8 + inset.shape[0], -8 - inset.shape[1] : -8] = inset
        length = round(frame.shape[1] * min(angle / np.pi, 1.0))
        frame[-BAR:] = 40
        frame[-BAR:, :length] = (70, 180, 90) if angle <= REACHED_RAD else (220, 140, 60)
        return frame

    def close(self) -> None:
        """Free the renderers."""
        self._scene.renderer.close()
        self._goal.renderer.close()


def film_episode(task: ReorientTask, start: Start, policy: Policy, path: Path) -> EpisodeScore:
    """Play ``start`` of ``task`` with ``policy`` and save an MP4 at the control rate, drawn by EGL or by rays."""
    painter = EpisodePainter()
    try:
        with VideoWriter(path, round(policy.spec.rate_hz)) as video:

            def watch(world: SimWorld, goal: Goal, angle: float) -> None:
                video.add(painter.frame(world, goal, angle))

            return task.play(start, policy, watch)
    finally:
        painter.close()
