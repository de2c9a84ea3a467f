"""What happened while an update's steps were collected: episodes that ended, and the mean of each reward term."""

from __future__ import annotations

from functools import partial
from statistics import fmean
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from knuckle.policy.learned.curriculum import Curriculum
from knuckle.policy.learned.reverse_curriculum import ReverseCurriculum
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_goals import GIVEN


class Tally(BaseCallback):
    """Counts episodes of ``world`` into ``curriculum``, those that began in the midst of an expert's into ``reverse``,
    and keeps figures of the update at hand."""

    def __init__(self, world: BatchWorld, curriculum: Curriculum, reverse: ReverseCurriculum) -> None:
        super().__init__()
        self.world, self.curriculum, self.reverse = world, curriculum, reverse
        self.clear()

    def clear(self) -> None:
        """Begin an update."""
        self.episodes: list[dict[str, Any]] = []
        self.drops = 0
        self.terms: dict[str, list[float]] = {}

    def _on_step(self) -> bool:
        for name, values in self.world.info.items():
            if name.startswith("reward_"):
                self.terms.setdefault(name, []).append(float(values.mean()))
        self.drops += int(self.world.info["dropped"].sum())
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episodes.append(info["episode"])
                chosen = self.reverse.add if info["rung"] == GIVEN else partial(self.curriculum.add, info["rung"])
                chosen(bool(info["is_success"]))
        return True

    def figures(self) -> dict[str, float]:
        """Figures of the update, by name."""
        figures = {name: fmean(values) for name, values in self.terms.items()}
        figures["episodes"] = float(len(self.episodes))
        if self.episodes:
            figures["episode_return"] = fmean(episode["r"] for episode in self.episodes)
            figures["episode_s"] = fmean(episode["t"] for episode in self.episodes)
            figures["episode_goals"] = fmean(episode["goals"] for episode in self.episodes)
            figures["dropped"] = self.drops / len(self.episodes)
        return figures
