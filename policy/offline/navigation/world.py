"""A point that walks in the unit square, and recordings of it on two ways to the goal.

An action (2,), -1 to 1, is a step of `STEP` at most along each axis; process noise is added; walls stop the point at
the border. Every step costs 1 until the point is within `RADIUS` of `GOAL`, where the task ends. Half of the recordings
go round the corner below, the other half take a longer way above. Nobody was ever elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.policy.offline.transitions import Transitions

Floats = NDArray[np.float64]

START, GOAL, RADIUS, STEP = (0.1, 0.1), (0.9, 0.9), 0.08, 0.1
SHORT_WAY = ((0.9, 0.1), GOAL)
LONG_WAY = ((0.1, 0.9), (0.5, 0.5), GOAL)
LIMIT = 60
"""Steps after which a walk has failed."""
EPISODES, SPEEDS, SHAKE = 60, (0.5, 1.0), 0.3
"""Recordings; their speeds, of the largest step, and the deviation of the noise on their actions, of the same."""
TURNED = 0.07
"""A recorded walk makes for the next waypoint from this distance on."""


def recorded_walks(seed: int, episodes: int = EPISODES) -> Transitions:
    """Walks on both ways in turn, with noise on their actions and none in the world."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[Floats, Floats, Floats, bool, int]] = []
    for k in range(episodes):
        way, speed = list((SHORT_WAY, LONG_WAY)[k % 2]), rng.uniform(*SPEEDS)
        at = np.clip(np.array(START) + 0.02 * rng.standard_normal(2), 0.0, 1.0)
        done = False
        while not done:
            ahead = np.array(way[0]) - at
            if len(way) > 1 and np.linalg.norm(ahead) < TURNED:
                del way[0]
                continue
            wanted = speed * ahead / max(float(np.linalg.norm(ahead)), STEP)
            action = np.clip(wanted + SHAKE * speed * rng.standard_normal(2), -1.0, 1.0)
            after = np.clip(at + STEP * action, 0.0, 1.0)
            done = bool(np.linalg.norm(after - np.array(GOAL)) < RADIUS)
            rows.append((at, action, after, done, k))
            at = after
    seen, acted, followed, ended, episode = zip(*rows, strict=True)
    return Transitions(
        observations=np.array(seen, dtype=np.float32),
        actions=np.array(acted, dtype=np.float32),
        rewards=np.full(len(rows), -1.0, dtype=np.float32),
        next_observations=np.array(followed, dtype=np.float32),
        terminated=np.array(ended, dtype=np.bool_),
        truncated=np.zeros(len(rows), dtype=np.bool_),
        episode=np.array(episode, dtype=np.int64),
    )


@dataclass(frozen=True)
class Walks:
    """N walks of a policy: which reached the goal (N,), after how many steps (N,), and where they were, (T, N, 2)."""

    reached: NDArray[np.bool_]
    steps: NDArray[np.int64]
    paths: Floats

    @property
    def success(self) -> float:
        """The share that reached the goal."""
        return float(self.reached.mean())

    @property
    def mean_steps(self) -> float:
        """The mean steps of those that did; NaN where none did."""
        return float(self.steps[self.reached].mean()) if self.reached.any() else float("nan")


def walk(act: Callable[[Floats], Floats], *, noise: float, count: int, rng: np.random.Generator) -> Walks:
    """``count`` walks from the start by ``act`` (N, 2) -> (N, 2), with process noise of deviation ``noise`` a step."""
    at = np.clip(np.array(START) + 0.02 * rng.standard_normal((count, 2)), 0.0, 1.0)
    reached, steps, paths = np.zeros(count, dtype=np.bool_), np.full(count, LIMIT, dtype=np.int64), [at]
    for k in range(LIMIT):
        moved = np.clip(at + STEP * act(at) + noise * rng.standard_normal((count, 2)), 0.0, 1.0)
        at = np.where(reached[:, None], at, moved)
        paths.append(at)
        arrived = (np.linalg.norm(at - np.array(GOAL), axis=1) < RADIUS) & ~reached
        steps[arrived], reached = k + 1, reached | arrived
    return Walks(reached, steps, np.array(paths))


def plane(cells: int) -> Floats:
    """The centres of ``cells`` by ``cells`` squares of the plane (cells^2, 2), row by row from below."""
    axis = (np.arange(cells) + 0.5) / cells
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def unseen(points: Floats, transitions: Transitions, distance: float = 0.15) -> NDArray[np.bool_]:
    """Which of ``points`` (N, 2) lie farther than ``distance`` from everything that was recorded."""
    apart = np.linalg.norm(points[:, None] - transitions.observations[None].astype(np.float64), axis=2)
    return np.asarray(apart.min(axis=1) > distance)
