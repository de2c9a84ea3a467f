"""How well a policy does without its noise, by all five conditions, on starts that are always the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.learned.train_config import Training
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.success import SUCCESS_ANGLE

SEED = 20_000
"""Added to the run's: the judge's starts and goals are none of those that are learned on."""


class Judge:
    """Plays one episode in each of ``judge_worlds`` worlds, without randomisation.

    Touches nothing that learning goes on from. This is no score: the policy need not say that it is done, and the
    physics are the training's.
    """

    def __init__(
        self, hand: HandSpec, training: Training, config: BatchConfig, cache_folder: Path | None, fault_folder: Path
    ) -> None:
        self.seed = training.seed + SEED
        judged = replace(config, worlds=training.ppo.judge_worlds, randomisation="off", held_share=0.0)
        self.world = BatchWorld(
            hand, training.objects, judged, cache_folder=cache_folder, fault_folder=fault_folder / "judged"
        )

    def share(self, act: Callable[[Array], Array], rung: str) -> dict[str, float]:
        """Shares of episodes on ``rung`` in which ``act`` came within 0.4 rad, met all five conditions, or dropped."""
        world = self.world
        world.seed(self.seed)
        world.goals.share({rung: 1.0})
        seen, n = world.reset(), world.spec.worlds
        running = np.ones(n, dtype=bool)
        crossed, five, dropped = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        for _ in range(world.spec.episode_steps):
            seen, _, left, _ = world.step(np.clip(act(seen), -1.0, 1.0))
            crossed |= running & (world.info["angle"] <= SUCCESS_ANGLE)
            five |= running & world.info["five"]
            dropped |= running & left
            running &= ~(five | dropped | world.info["broken"])
            if not running.any():
                break
        shares = {"judged_crossed": crossed, "judged_five": five, "judged_dropped": dropped}
        return {name: float(hits.mean()) for name, hits in shares.items()}

    def close(self) -> None:
        """End the worlds' threads."""
        self.world.close()
