"""How reorientation is scored: curve, drops, times and intervals over episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from knuckle.core.figures import wilson

if TYPE_CHECKING:
    from knuckle.policy.perceived_state import PerceptionTally

THRESHOLDS = (0.1, 0.2, 0.4, 0.8)
TIME_LIMIT_S = 15.0
SCORE_DELAY_S = 0.5


@dataclass(frozen=True)
class EpisodeScore:
    """One episode: angles in rad, times in seconds.

    ``final_angle`` is the angle 0.5 s after done was declared or the limit was reached; it counts only when ``still``
    (the four conditions of stillness, then) and not ``dropped``. ``duration`` is the simulated time until the end (in
    the air from the table's removal), ``wall`` the time it took and ``cpu`` the processor's, of this process.
    ``perceived`` is how well the object was seen, where the controller had to see it. ``later`` are the goals that were
    given in the same episode after the first, each where the one before it had ended.
    """

    object_name: str
    start_angle: float
    final_angle: float
    declared_done: bool
    still: bool
    dropped: bool
    duration: float
    wall: float
    cpu: float = 0.0
    perceived: PerceptionTally | None = None
    later: tuple[EpisodeScore, ...] = ()

    def succeeded(self, threshold: float) -> bool:
        """Whether the final angle counts and is within ``threshold`` rad."""
        return self.still and not self.dropped and self.final_angle <= threshold


def figures_of(scores: list[EpisodeScore]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The protocol's figures and their Wilson intervals.

    ``median_time_s`` is over successes at 0.4 rad, NaN where there is none; ``median_time_all_s`` counts a failure as
    the limit.
    """
    n = len(scores)
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for threshold in THRESHOLDS:
        name = f"success_{threshold:g}".replace(".", "p")
        hits = sum(s.succeeded(threshold) for s in scores)
        figures[name], intervals[name] = hits / n, wilson(hits, n)
    drops = sum(s.dropped for s in scores)
    figures["drop_rate"], intervals["drop_rate"] = drops / n, wilson(drops, n)
    times = [s.duration for s in scores if s.succeeded(0.4)]
    figures["median_time_s"] = median(times) if times else float("nan")
    figures["median_time_all_s"] = median(s.duration if s.succeeded(0.4) else TIME_LIMIT_S for s in scores)
    goals = [goal for score in scores for goal in (score, *score.later)]
    figures["cpu_s_per_episode"] = sum(s.cpu for s in goals) / n
    figures |= perception_figures([s.perceived for s in scores if s.perceived is not None])
    figures["real_time_factor"] = sum(s.duration for s in goals) / max(sum(s.wall for s in goals), 1e-9)
    chained, more = chain_figures(scores)
    return figures | chained, intervals | more


def chain_figures(scores: Sequence[EpisodeScore]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Figures of the goals after each episode's first, within 0.4 rad, and their Wilson intervals; none where there are
    no such goals.

    ``later_success_0p4`` of all of them, ``after_success_0p4`` and ``after_failure_0p4`` by how the goal before ended,
    NaN where there is none; ``later_drop_rate`` of all of them; ``goals_in_a_row`` is how many an episode reaches
    before the first that it does not.
    """
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    if not any(score.later for score in scores):
        return figures, intervals
    reached = [[goal.succeeded(0.4) for goal in (score, *score.later)] for score in scores]
    pairs = [pair for row in reached for pair in pairwise(row)]
    for name, kept in (
        ("later_success_0p4", pairs),
        ("after_success_0p4", [pair for pair in pairs if pair[0]]),
        ("after_failure_0p4", [pair for pair in pairs if not pair[0]]),
    ):
        hits = sum(after for _, after in kept)
        figures[name] = hits / len(kept) if kept else float("nan")
        intervals[name] = wilson(hits, len(kept)) if kept else (0.0, 1.0)
    drops = sum(goal.dropped for score in scores for goal in score.later)
    figures["later_drop_rate"], intervals["later_drop_rate"] = drops / len(pairs), wilson(drops, len(pairs))
    figures["goals_in_a_row"] = sum(row.index(False) if False in row else len(row) for row in reached) / len(reached)
    return figures, intervals


def perception_figures(tallies: Sequence[PerceptionTally]) -> dict[str, float]:
    """How well the object was seen, over all frames of all episodes; nothing where nobody had to see it."""
    if not tallies:
        return {}
    return replace(
        tallies[0],
        **{
            field.name: [entry for tally in tallies for entry in getattr(tally, field.name)]
            for field in fields(tallies[0])
        },
    ).figures()


def angle_histogram(scores: list[EpisodeScore], bins: int = 6) -> list[tuple[float, float, int]]:
    """Starting angles as (low, high, count) over 0 to pi."""
    counts, edges = np.histogram([s.start_angle for s in scores], bins=bins, range=(0.0, np.pi))
    return [(float(a), float(b), int(c)) for a, b, c in zip(edges[:-1], edges[1:], counts, strict=True)]
