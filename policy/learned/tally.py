"""What happened while an update's steps were collected: episodes that ended, and the mean of each reward term."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from knuckle.policy.learned.curriculum import Curriculum
from knuckle.policy.learned.reverse_curriculum import ReverseCurriculum
from knuckle.sim.reorient.batch_world import HELD, BatchWorld
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
        self.held: list[tuple[bool, float]] = []
        self.terms: dict[str, list[float]] = {}

    def _on_step(self) -> bool:
        for name, values in self.world.info.items():
            if name.startswith("reward_"):
                self.terms.setdefault(name, []).append(float(values.mean()))
        self.drops += int(self.world.info["dropped"].sum())
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episodes.append(info["episode"])
                self._count(info["rung"], info["episode"], bool(info["is_success"]))
        return True

    def _count(self, kind: str, episode: dict[str, Any], succeeded: bool) -> None:
        """Count an episode of a rung or of another ``kind`` where that belongs."""
        if kind == GIVEN:
            self.reverse.add(succeeded)
        elif kind == HELD:
            self.held.append((succeeded, float(episode["t"])))
        else:
            self.curriculum.add(kind, succeeded)

    def figures(self) -> dict[str, float]:
        """Figures of the update, by name."""
        figures = {name: fmean(values) for name, values in self.terms.items()}
        figures["episodes"] = float(len(self.episodes))
        if self.episodes:
            figures["episode_return"] = fmean(episode["r"] for episode in self.episodes)
            figures["episode_s"] = fmean(episode["t"] for episode in self.episodes)
            figures["episode_goals"] = fmean(episode["goals"] for episode in self.episodes)
            figures["dropped"] = self.drops / len(self.episodes)
        if self.held:
            figures["success_held"] = fmean(won for won, _ in self.held)
            figures["held_s"] = fmean(seconds for _, seconds in self.held)
        return figures
