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
from knuckle.sim.renderer import Renderer, choose_renderer
from knuckle.sim.scene import VIDEO_CAMERA
from knuckle.sim.video import VideoWriter
from knuckle.sim.world import SimWorld

WIDTH, HEIGHT, INSET, BAR = 640, 480, 4, 10
REACHED_RAD = 0.4


def film_episode(task: ReorientTask, start: Start, policy: Policy, path: Path) -> EpisodeScore:
    """Play ``start`` of ``task`` with ``policy`` and save an MP4 at the control rate, drawn by EGL or by rays."""
    chosen = choose_renderer("auto", pinhole(WIDTH, HEIGHT), samples=4)
    try:
        with VideoWriter(path, round(policy.spec.rate_hz)) as video:

            def watch(world: SimWorld, goal: Goal, angle: float) -> None:
                video.add(episode_frame(chosen.renderer, world, goal.quaternion, angle))

            return task.play(start, policy, watch)
    finally:
        chosen.renderer.close()


def episode_frame(renderer: Renderer, world: SimWorld, goal: np.ndarray, angle: float) -> NDArray[np.uint8]:
    """The scene now, the object at its ``goal`` (w x y z) in the upper right, the ``angle`` left (rad) as a bar."""
    _, scene, state = world.snapshot()
    frame = renderer.colour(scene, state, VIDEO_CAMERA).copy()
    wanted = state.copy()
    block = slice(1 + scene.object_q.start + 3, 1 + scene.object_q.stop)
    wanted[block] = goal
    wanted[1 + scene.object_q.start + 2] += 0.02
    inset = renderer.colour(scene, wanted, VIDEO_CAMERA)[::INSET, ::INSET]
    frame[8 : 8 + inset.shape[0], -8 - inset.shape[1] : -8] = inset
    length = round(frame.shape[1] * min(angle / np.pi, 1.0))
    colour = (70, 180, 90) if angle <= REACHED_RAD else (220, 140, 60)
    frame[-BAR:] = 40
    frame[-BAR:, :length] = colour
    return frame
