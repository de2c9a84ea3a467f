"""How reorientation is scored: curve, drops, times and intervals over episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
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
    ``perceived`` is how well the object was seen, where the controller had to see it.
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
    figures["cpu_s_per_episode"] = sum(s.cpu for s in scores) / n
    figures |= perception_figures([s.perceived for s in scores if s.perceived is not None])
    figures["real_time_factor"] = sum(s.duration for s in scores) / max(sum(s.wall for s in scores), 1e-9)
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
