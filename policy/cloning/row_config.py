"""How labels are made of a planner's episodes: the settings, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class RowConfig:
    """Which steps are learned from, what their labels are, and how much each counts."""

    smooth_steps: float = setting(1.0, "deviation of the smoothing of absolute targets", low=0.0, high=10.0, unit="1")
    drop_stuck: bool = setting(True, "leave out the home posture of a stuck hand, and the steps before it")
    stuck_steps: int = setting(15, "steps before a regrasp that count as stuck", low=0, high=200)
    temperature: float = setting(
        0.15, "rad of progress more that make a step e times as weighty, 0: all alike", low=0.0
    )
    progress_steps: int = setting(12, "steps ahead over which progress is taken", low=1, high=200)
    heaviest: float = setting(4.0, "most that a step may weigh, the mean being 1", low=1.0, high=1000.0)
    failed_weight: float = setting(0.5, "factor of steps of episodes that failed", low=0.0, high=1.0)
    hindsight: int = setting(0, "further copies of a step, with a goal that was then reached", low=0, high=20)
    beyond: float = setting(0.5, "share of those whose goal lies further about the same axis", low=0.0, high=1.0)
    hindsight_weight: float = setting(0.5, "factor of their weight", low=0.0, high=10.0)
    hindsight_steps: int = setting(30, "steps ahead at most at which such a goal was reached", low=1, high=200)
