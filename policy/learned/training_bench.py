"""How fast PPO steps its worlds while it learns, beside the same worlds under random actions, in turns on one machine.

The machine's other work then falls on both. The worlds beside it are as `knuckle bench sim` steps its own: random
actions, episodes begun anew as they end. Needs extra ``learn``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from knuckle.policy.learned.train_config import Training
from knuckle.policy.learned.trainer import Trainer
from knuckle.sim.bench import Cost
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.sb3_env import ReorientVecEnv


@dataclass(frozen=True)
class Turn:
    """An update and as many steps of worlds alone: costs of ``training`` as a whole, of its ``update`` after the
    collecting, and of the worlds ``alone``; ``world_s`` of the training's time went into its worlds; the ``load``."""

    training: Cost
    update: Cost
    alone: Cost
    world_s: float
    load: float


def run_bench(
    training: Training,
    *,
    warm_up: int,
    repeats: int,
    cache_folder: Path | None = None,
    said: Callable[[str], None] = lambda line: None,
) -> list[Turn]:
    """``repeats`` turns, after ``warm_up`` updates that are not timed: a policy that does nothing yet touches little,
    and its worlds are cheap."""
    faults = Path(tempfile.gettempdir()) / "knuckle-bench-faults"
    trainer = Trainer(training, fault_folder=faults, cache_folder=cache_folder)
    config = replace(trainer.worlds.world.config, seed=training.seed + 1)
    env = ReorientVecEnv(
        BatchWorld(trainer.hand, training.objects, config, cache_folder=cache_folder, fault_folder=faults)
    )
    rng, turns = np.random.default_rng(training.seed), []
    try:
        env.reset()
        _alone(env, rng, training.ppo.steps)
        for _ in range(warm_up):
            trainer.update()
        for k in range(repeats):
            turns.append(_turn(trainer, env, rng))
            share = turns[-1].training.rate / turns[-1].alone.rate
            said(f"repeat {k + 1} of {repeats}: {turns[-1].training.rate:.0f} steps/s, {share:.0%}")
    finally:
        env.close()
        trainer.close()
    return turns


def figures_of(turns: list[Turn]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Medians and ranges over the turns; a share is taken within each turn."""
    series = {
        "training_share_of_sim": [turn.training.rate / turn.alone.rate for turn in turns],
        "cpu_training_share_of_sim": [turn.training.cpu_rate / turn.alone.cpu_rate for turn in turns],
        "sim_steps_per_s": [turn.alone.rate for turn in turns],
        "training_steps_per_s": [turn.training.rate for turn in turns],
        "training_world_steps_per_s": [turn.training.steps / turn.world_s for turn in turns],
        "world_share_of_training": [turn.world_s / turn.training.wall_s for turn in turns],
        "update_share_of_training": [turn.update.wall_s / turn.training.wall_s for turn in turns],
        "sim_cpu_s_per_million": [1e6 / turn.alone.cpu_rate for turn in turns],
        "training_cpu_s_per_million": [1e6 / turn.training.cpu_rate for turn in turns],
        "update_cpu_s_per_million": [1e6 / turn.update.cpu_rate for turn in turns],
        "load_1min": [turn.load for turn in turns],
    }
    figures = {name: float(median(values)) for name, values in series.items()}
    return figures, {name: (min(values), max(values)) for name, values in series.items()}


def _turn(trainer: Trainer, env: ReorientVecEnv, rng: np.random.Generator) -> Turn:
    load, world_s, learned = psutil.getloadavg()[0], trainer.worlds.seconds, trainer.model.learned
    begun, used = time.perf_counter(), time.process_time()
    trainer.update()
    steps = trainer.training.batch
    whole = Cost(steps, time.perf_counter() - begun, time.process_time() - used)
    after = trainer.model.learned
    update = Cost(steps, after[0] - learned[0], after[1] - learned[1])
    return Turn(whole, update, _alone(env, rng, trainer.training.ppo.steps), trainer.worlds.seconds - world_s, load)


def _alone(env: ReorientVecEnv, rng: np.random.Generator, steps: int) -> Cost:
    """The cost of ``steps`` control steps of all worlds under random actions."""
    shape = (steps, env.num_envs, env.world.hand.dof)
    actions = rng.uniform(-1.0, 1.0, shape).astype(np.float32)
    begun, used = time.perf_counter(), time.process_time()
    for action in actions:
        env.step(action)
    return Cost(steps * env.num_envs, time.perf_counter() - begun, time.process_time() - used)
