"""Learning in hindsight as it is watched in the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from knuckle.policy.learned.progress_view import ProgressView


class HindsightView(ProgressView):
    """`ProgressView` with the figures of critics and anchor in the place of PPO's."""

    def change(self, row: Mapping[str, float]) -> str:
        """What the learner did."""
        return f"critics' loss {row['critic_loss']:.3f}, worth {row['worth']:.2f}, anchor {row['anchor']:.2f}"
