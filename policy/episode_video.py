"""A film of one episode: the scene, the goal as an inset, and a bar for the angle that is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.mounts import pinhole
from knuckle.policy.contract import Policy
from knuckle.policy.reorient_episode import Start, run_episode
from knuckle.policy.reorient_score import EpisodeScore
from knuckle.sim.renderer import Renderer, choose_renderer
from knuckle.sim.scene import VIDEO_CAMERA
from knuckle.sim.video import VideoWriter
from knuckle.sim.world import SimWorld

WIDTH, HEIGHT, INSET, BAR = 640, 480, 4, 10
REACHED_RAD = 0.4


def film_episode(hand: HandSpec, policy: Policy, start: Start, path: Path) -> EpisodeScore:
    """Play ``start`` with ``policy`` and save an MP4 at the control rate; EGL where it works, else ray casting."""
    chosen = choose_renderer("auto", pinhole(WIDTH, HEIGHT), samples=4)
    try:
        with VideoWriter(path, round(hand.control_rate_hz)) as video:

            def watch(world: SimWorld, angle: float) -> None:
                video.add(_frame(chosen.renderer, world, start.quaternion, angle))

            return run_episode(hand, policy, start, watch=watch)
    finally:
        chosen.renderer.close()


def _frame(renderer: Renderer, world: SimWorld, goal: np.ndarray, angle: float) -> NDArray[np.uint8]:
    """The scene now, the object at its goal in the upper right corner, the angle left as a bar at the foot."""
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
