"""Chunks to learn from: observations, and the postures that a planner then went for, relative to where the hand was.

What a planner does follows from a plan that lasts about a second. A single action of it has forgotten the plan; the
next second of actions is the plan, as it was carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.cloning.observed_scene import scene_of
from knuckle.policy.cloning.row_config import RowConfig
from knuckle.policy.cloning.rows import at_home, require_sound, smoothed_targets, stuck
from knuckle.policy.collect.recorder import Episode

BEYOND = 0.5
"""What a posture beyond an episode's end counts: there the last one is kept."""


@dataclass(frozen=True)
class ChunkRows:
    """``observations`` (n, width), ``chunks`` (n, length, dof) in the largest step from the posture at the beginning,
    what each posture ``counts`` (n, length), 0 to 1, and the ``episode`` (n,) of each row."""

    observations: NDArray[np.float32]
    chunks: NDArray[np.float32]
    counts: NDArray[np.float32]
    episode: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.episode)

    def some(self, chosen: NDArray[np.bool_]) -> ChunkRows:
        """The rows where ``chosen`` (n,)."""
        return ChunkRows(self.observations[chosen], self.chunks[chosen], self.counts[chosen], self.episode[chosen])


def chunk_rows(
    episodes: Sequence[Episode], hand: HandSpec, config: RowConfig, *, length: int, smooth_steps: float
) -> ChunkRows:
    """A row for every step of ``episodes`` that is not left out by ``config``: stuck stretches, and what a learner did
    before the planner took over. From a letting go on a chunk counts nothing.

    InputError for an episode with numbers that are not finite or of another width, or where nothing is left.
    """
    parts = []
    for k, episode in enumerate(episodes):
        require_sound(episode, hand)
        if len(episode.actions):
            parts.append(_of_episode(episode, k, hand, config, length, smooth_steps))
    rows = ChunkRows(*(np.concatenate(columns) for columns in zip(*parts, strict=True))) if parts else None
    if rows is None or not len(rows):
        raise InputError("no step of the episodes is left", where="cloning", right="more episodes, or drop_stuck=False")
    return rows


def _of_episode(
    episode: Episode, number: int, hand: HandSpec, config: RowConfig, length: int, smooth_steps: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    steps, chart, scene = len(episode.actions), ActionMap(hand), scene_of(hand, episode.observations)
    home = at_home(hand, scene, episode.actions)
    targets = chart.target(scene.q[:-1], chart.smooth(episode.actions, scene.previous[:-1]))
    postures = smoothed_targets(targets, home, smooth_steps)
    ahead = np.arange(steps)[:, None] + np.arange(length)
    there = np.minimum(ahead, steps - 1)
    chunks = (postures[there] - scene.q[:-1, None]) / chart.step_rad
    counts = np.where(ahead < steps, 1.0, BEYOND) * (1.0 if episode.facts["succeeded"] else config.failed_weight)
    keep = ~stuck(home, config.stuck_steps) if config.drop_stuck else np.ones(steps, dtype=bool)
    if config.drop_stuck:
        counts = counts * (np.cumsum(home[there], axis=1) == 0)
    keep[: episode.facts.get("taken_over_at", 0)] = False
    return (
        np.asarray(episode.observations[:-1][keep], dtype=np.float32),
        np.asarray(chunks[keep], dtype=np.float32),
        np.asarray(counts[keep], dtype=np.float32),
        np.full(int(keep.sum()), number, dtype=np.int64),
    )
