"""What is learned from: observations, the postures that a planner went for in them, and how much each counts.

A planner's action is noise around what it wants: it samples, and it is relative to where the hand happens to be. What
it wants is smoother: the absolute target. So labels are absolute targets, smoothed over neighbouring steps, and the
action that a learner should have taken follows from them where the hand is. A step counts by what came of it: the
progress of the angle over the next second, against what is usual at that angle. What a state does not show, namely that
the planner had been stuck for a second and lets go of everything, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.cloning.observed_scene import ObservedScene, scene_of, with_goals
from knuckle.policy.cloning.row_config import RowConfig
from knuckle.policy.collect.recorder import Episode
from knuckle.sim.reorient.observation import ReorientObservation

HOME_TOLERANCE = 1e-3
"""An action this near to the one that goes home (of the largest step) is taken for that."""
ANGLE_BINS = np.array([0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8])


@dataclass(frozen=True)
class Rows:
    """``observations`` (n, width), the ``actions`` (n, dof) to learn in them, ``weights`` (n,), and the ``episode``
    (n,) that each comes from, so that whole episodes can be held back."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    weights: NDArray[np.float32]
    episode: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.weights)

    def some(self, chosen: NDArray[np.bool_]) -> Rows:
        """The rows where ``chosen`` (n,)."""
        return Rows(self.observations[chosen], self.actions[chosen], self.weights[chosen], self.episode[chosen])


def rows_of(episodes: Sequence[Episode], hand: HandSpec, config: RowConfig, rng: np.random.Generator) -> Rows:
    """The rows of ``episodes`` of a planner with ``hand``; their mean weight is 1.

    InputError for an episode with numbers that are not finite, or of another width.
    """
    for episode in episodes:
        require_sound(episode, hand)
    scenes = [scene_of(hand, episode.observations) for episode in episodes]
    usual = _usual_progress(episodes, config)
    parts = []
    for k, (episode, scene) in enumerate(zip(episodes, scenes, strict=True)):
        steps, chart = len(episode.actions), ActionMap(hand)
        if not steps:
            continue
        home = at_home(hand, scene, episode.actions)
        targets = chart.target(scene.q[:-1], chart.smooth(episode.actions, scene.previous[:-1]))
        labels = smoothed_targets(targets, home, config.smooth_steps)
        actions = chart.towards(scene.q[:-1], labels, scene.previous[:-1])
        keep = ~stuck(home, config.stuck_steps) if config.drop_stuck else np.ones(steps, dtype=bool)
        # What a learner did before the planner took over is no label.
        keep[: episode.facts.get("taken_over_at", 0)] = False
        weights = _weights(episode, usual, config) * keep
        seen = np.asarray(episode.observations[:-1], dtype=np.float64)
        parts.append(_rows(seen, actions, weights, k))
        ahead = _hindsight(episode, scene, hand, config, rng)
        # What is reached in hindsight was reached whatever was meant, but never by letting go.
        parts += [_rows(copy, actions, config.hindsight_weight * reached * ~home, k) for copy, reached in ahead]
    rows = joined(parts)
    rows = rows.some(rows.weights > 0.0)
    return Rows(rows.observations, rows.actions, rows.weights / rows.weights.mean(), rows.episode)


def require_sound(episode: Episode, hand: HandSpec) -> None:
    """InputError where ``episode`` cannot be learned from."""
    where, build = f"episode {episode.facts.get('episode')}", ReorientObservation(hand)
    right = f"episodes of {hand.name}, finite; delete its file and collect again"
    shapes = episode.observations.shape[1:], episode.actions.shape[1:]
    if shapes != ((build.width,), (hand.dof,)):
        raise InputError(f"observations and actions of width {shapes[0]} and {shapes[1]}", where=where, right=right)
    bad = np.argwhere(~np.isfinite(episode.observations))
    if len(bad):
        step, column = (int(k) for k in bad[0])
        what = f"{build.columns[column][0]} of step {step} is {episode.observations[step, column]}"
        raise InputError(what, where=where, right=right)
    if not np.isfinite(episode.actions).all():
        raise InputError("an action is not finite", where=where, right=right)


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows of ``parts`` in turn, episodes by the numbers that they have."""
    fields = ("observations", "actions", "weights", "episode")
    return Rows(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def at_home(hand: HandSpec, scene: ObservedScene, actions: ArrayLike) -> NDArray[np.bool_]:
    """In which steps (T,) the planner had let go and went for the home posture; ``scene`` is of T+1 observations."""
    homeward = ActionMap(hand).towards(scene.q[:-1], hand.home, scene.previous[:-1])
    return np.asarray(np.abs(homeward - np.asarray(actions)).max(axis=1) < HOME_TOLERANCE)


def stuck(home: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Steps (T,) at home, and the ``steps`` before each time the hand let go."""
    out = home.copy()
    for at in np.flatnonzero(home & ~np.concatenate([[False], home[:-1]])):
        out[max(at - steps, 0) : at] = True
    return out


def smoothed_targets(targets: Array, home: NDArray[np.bool_], deviation: float) -> Array:
    """``targets`` (T, dof) averaged over neighbours by a Gaussian of ``deviation`` steps; never over a letting go."""
    if deviation <= 0.0:
        return targets.copy()
    steps = np.arange(len(targets))
    kernel = np.exp(-0.5 * ((steps[:, None] - steps[None]) / deviation) ** 2)
    stretch = np.cumsum(np.concatenate([[False], home[1:] != home[:-1]]))
    kernel *= stretch[:, None] == stretch[None]
    return np.asarray(kernel @ targets / kernel.sum(axis=1, keepdims=True))


def progress(angles: ArrayLike, steps: int) -> Array:
    """By how much the angle (T+1,) has fallen ``steps`` later, or at the end, for each of the T steps, rad."""
    left = np.asarray(angles, dtype=np.float64)
    later = np.minimum(np.arange(len(left) - 1) + steps, len(left) - 1)
    return np.asarray(left[:-1] - left[later])


def _usual_progress(episodes: Sequence[Episode], config: RowConfig) -> Array:
    """The mean progress in each bin of the angle."""
    gains = np.concatenate([progress(episode.angles, config.progress_steps) for episode in episodes])
    bins = np.concatenate([np.digitize(episode.angles[:-1], ANGLE_BINS) for episode in episodes])
    n = np.bincount(bins, minlength=len(ANGLE_BINS) + 1)
    return np.asarray(np.bincount(bins, gains, minlength=len(ANGLE_BINS) + 1) / np.maximum(n, 1))


def _weights(episode: Episode, usual: Array, config: RowConfig) -> Array:
    factor = 1.0 if episode.facts["succeeded"] else config.failed_weight
    if config.temperature == 0.0:
        return np.full(len(episode.actions), factor)
    angles = episode.angles
    gain = progress(angles, config.progress_steps) - usual[np.digitize(angles[:-1], ANGLE_BINS)]
    return np.asarray(factor * np.minimum(np.exp(gain / config.temperature), config.heaviest))


def _hindsight(
    episode: Episode, scene: ObservedScene, hand: HandSpec, config: RowConfig, rng: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Copies of the observations with goals that the steps turned out to lead towards, and how much each step counts.

    The object turned from here to where it was some steps later, about one axis; what did that is right for every goal
    that lies as far or further about this axis. It counts by how far the object turned, for where it hardly moved the
    actions were for something else.
    """
    steps, out = len(episode.actions), []
    for _ in range(config.hindsight):
        later = np.minimum(np.arange(steps) + rng.integers(4, max(config.hindsight_steps, 4) + 1, steps), steps)
        here = scene.quaternion[:-1]
        turn = rotations.log(rotations.multiply(scene.quaternion[later], rotations.conjugate(here)))
        angle = np.linalg.norm(turn, axis=1)
        beyond = angle + (rng.random(steps) < config.beyond) * rng.random(steps) * np.maximum(np.pi - angle, 0.0)
        goals = rotations.multiply(rotations.exp(turn * (beyond / np.maximum(angle, 1e-6))[:, None]), here)
        copies = with_goals(hand, episode.observations[:-1], rotations.normalize(goals))
        out.append((copies, np.clip((angle - 0.1) / 0.5, 0.0, 1.0)))
    return out


def _rows(observations: Array, actions: Array, weights: Array, episode: int) -> Rows:
    return Rows(
        np.asarray(observations, dtype=np.float32),
        np.asarray(actions, dtype=np.float32),
        np.asarray(weights, dtype=np.float32),
        np.full(len(weights), episode, dtype=np.int64),
    )
