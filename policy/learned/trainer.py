"""Learning by PPO, one update at a time; all that decides the next update can be taken out and put back.

The randomness of an update follows from the run's seed and the update's number, that of the worlds from their own
generator: no state of a library's generator has to be kept. On one thread a run that is put back goes on bit for bit.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.utils import set_random_seed

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.actor_start import let_actor_learn
from knuckle.policy.learned.adaptive_ppo import AdaptivePpo, TimedVecEnv, normalised, normaliser_of, statistics_of
from knuckle.policy.learned.curriculum import Curriculum
from knuckle.policy.learned.export import Actor
from knuckle.policy.learned.judge import Judge
from knuckle.policy.learned.reverse_curriculum import ReverseCurriculum
from knuckle.policy.learned.shown_episodes import shown_episodes
from knuckle.policy.learned.tally import Tally
from knuckle.policy.learned.train_config import Training
from knuckle.policy.learned.warm_start import begin_with
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_state import capture, restore
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

NEVER = 1 << 30
RIGHT = "a run with a lower rate_high; the last checkpoint is whole"
_LEARNING = ("approx_kl", "clip_fraction", "explained_variance", "std", "value_loss")


class Trainer:
    """Learns as ``training`` says. ``updates`` are done; the states of worlds that break go to ``fault_folder``."""

    def __init__(self, training: Training, *, fault_folder: Path, cache_folder: Path | None = None) -> None:
        self.training, ppo = training, training.ppo
        self.hand = hand_spec(training.hand, where="--hand")
        torch.set_num_threads(1)  # the threads are the worlds': see matrix_threads.py
        self.curriculum = Curriculum(
            training.rungs, promote_at=ppo.promote_at, newest_share=ppo.newest_share, window=ppo.window
        )
        config = BatchConfig(
            worlds=ppo.worlds,
            rung=self.curriculum.newest,
            surface=ppo.surface,
            starts=ppo.starts,
            held_share=ppo.held_share,
            physics=ppo.physics,
            randomisation=ppo.randomisation,
            episode_s=ppo.episode_s,
            cached_starts=ppo.cached_starts,
            threads=training.threads,
            seed=training.seed,
        )
        world = BatchWorld(
            self.hand,
            training.objects,
            config,
            reward=training.reward,
            cache_folder=cache_folder,
            fault_folder=fault_folder,
            shown=shown_episodes(ppo.shown, training.hand, where="--set shown") if ppo.shown else None,
            shown_share=ppo.shown_share,
        )
        self.worlds = TimedVecEnv(world)
        self.judge = Judge(self.hand, training, config, cache_folder, fault_folder)
        self.symmetry = HandSymmetry(self.hand) if ppo.symmetric else None
        self.env = normalised(self.worlds, ppo, self.symmetry)
        set_random_seed(training.seed)
        self.model = AdaptivePpo(self.env, ppo, self.symmetry)
        if ppo.warm_start:
            begin_with(self, ppo.warm_start, where="--set warm_start")
        furthest = world.shown.furthest if world.shown is not None else ppo.shown_steps
        self.reverse = ReverseCurriculum(
            start=ppo.shown_steps, furthest=furthest, promote_at=ppo.shown_at, window=ppo.window
        )
        self.tally = Tally(world, self.curriculum, self.reverse)
        self.updates = 0
        self.spent_s = self.cpu_s = 0.0

    @property
    def steps(self) -> int:
        """Control steps of single worlds so far."""
        return int(self.model.num_timesteps)

    def update(self) -> dict[str, float]:
        """Collect, learn, and climb the curriculum where it is time; the figures of this update.

        RunError where the weights are no longer finite.
        """
        begun, used, world_s = time.perf_counter(), time.process_time(), self.worlds.seconds
        set_random_seed(int(np.random.SeedSequence([self.training.seed, self.updates]).generate_state(1)[0]))
        self.worlds.world.goals.share(self.curriculum.shares())
        if self.worlds.world.shown is not None:
            self.worlds.world.shown.reach = self.reverse.reach
        self.tally.clear()
        self.model.noise.begin()
        self._learn()
        self.updates += 1
        wall, cpu = time.perf_counter() - begun, time.process_time() - used
        self.spent_s, self.cpu_s = self.spent_s + wall, self.cpu_s + cpu
        figures = {
            "updates": float(self.updates),
            "steps": float(self.steps),
            "spent_s": self.spent_s,
            "cpu_s": self.cpu_s,
            "steps_per_s": self.training.batch / wall,
            "steps_per_cpu_s": self.training.batch / cpu,
            "world_share_of_time": (self.worlds.seconds - world_s) / wall,
            "rung": float(self.curriculum.top),
            "rate": self.model.rate,
        }
        figures |= {f"success_{rung}": self.curriculum.success(rung) for rung in self.training.rungs}
        figures["success_newest"] = self.curriculum.success(self.curriculum.newest)
        figures |= self.tally.figures()
        learned = self.model.logger.name_to_value
        figures |= {name: float(learned[f"train/{name}"]) for name in _LEARNING}
        figures |= {"success_shown": self.reverse.success, "shown_steps": float(self.reverse.reach)}
        self.reverse.retreat()
        figures["taken_up"] = float(self.curriculum.climb())
        return figures

    def judged(self) -> dict[str, float]:
        """How the policy does without noise on the newest rung, see `Judge`, and by five conditions on earlier ones."""
        begun, used = time.perf_counter(), time.process_time()
        figures = self.judge.share(self.act, self.curriculum.newest)
        for rung in self.training.rungs[: self.curriculum.top]:
            figures[f"judged_five_{rung}"] = self.judge.share(self.act, rung)["judged_five"]
        figures[f"judged_five_{self.curriculum.newest}"] = figures["judged_five"]
        self.spent_s += time.perf_counter() - begun
        self.cpu_s += time.process_time() - used
        return figures

    def _learn(self) -> None:
        """Collect and learn; RunError where what comes out is not finite."""
        alone, rate = self.updates < self.training.ppo.critic_first, self.model.rate
        let_actor_learn(self.model, not alone)
        try:
            self.model.learn(self.training.batch, callback=self.tally, log_interval=NEVER, reset_num_timesteps=False)
        except ValueError as error:  # torch's, of a distribution whose mean is not finite
            first = str(error).splitlines()[0][:120]
            raise RunError(f"update {self.updates + 1} broke down ({first})", where="training", right=RIGHT) from error
        if alone:  # A policy that stood still says nothing about the rate.
            self.model.rate = rate
        if not all(bool(torch.isfinite(weight).all()) for weight in self.model.policy.parameters()):
            what = f"the weights are not finite after update {self.updates + 1}"
            raise RunError(what, where="training", right=RIGHT)

    def act(self, observations: Array) -> Array:
        """The actor's actions (n, dof), without noise and not yet cut, for ``observations`` (n, width)."""
        scaled = torch.as_tensor(np.asarray(self.env.normalize_obs(np.asarray(observations))))
        with torch.no_grad():
            actions = self.model.policy.get_distribution(scaled).mode()
        return np.asarray(actions.numpy(), dtype=np.float64)

    def actor(self) -> Actor:
        """The actor as it is now, to be exported."""
        return Actor(normaliser_of(self.env), self.model.layers(), self.act, self.symmetry)

    def observed(self) -> Array:
        """Observations (worlds, width) as the worlds last gave them."""
        return np.asarray(self.env.get_original_obs(), dtype=np.float64)

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays by name and facts for JSON, from which `restore` goes on; taken between updates."""
        seen, begun = self.model._last_obs, self.model._last_episode_starts
        if not isinstance(seen, np.ndarray) or begun is None:
            raise RunError("nothing has been learned yet", where="training", right="an update before a checkpoint")
        model, statistics = self.model, statistics_of(self.env)
        arrays = {f"policy.{name}": value.numpy().copy() for name, value in model.policy.state_dict().items()}
        for k, state in model.policy.optimizer.state_dict()["state"].items():
            arrays |= {f"optimiser.{k}.{name}": value.numpy().copy() for name, value in state.items()}
        arrays |= {"normaliser.mean": statistics.mean.copy(), "normaliser.var": statistics.var.copy()}
        arrays |= {"last.seen": seen.copy(), "last.begun": begun.copy()}
        arrays["last.raw"] = self.observed().astype(np.float32)
        worlds, world_facts = capture(self.worlds.world, self.worlds.meter)
        arrays |= {f"worlds.{name}": value for name, value in worlds.items()}
        facts = {
            "updates": self.updates,
            "steps": self.steps,
            "spent_s": self.spent_s,
            "cpu_s": self.cpu_s,
            "rate": model.rate,
            "normaliser_count": float(statistics.count),
            "sb3_updates": model._n_updates,
            "curriculum": self.curriculum.facts(),
            "reverse": self.reverse.facts(),
            "worlds": world_facts,
        }
        return arrays, facts

    def restore(self, arrays: dict[str, Any], facts: dict[str, Any], *, where: str) -> None:
        """Go on where `capture` was called, with the same training. InputError for a state that does not fit."""
        model, statistics = self.model, statistics_of(self.env)
        try:
            self.put_weights(arrays)
            statistics.mean, statistics.var = arrays["normaliser.mean"].copy(), arrays["normaliser.var"].copy()
            statistics.count, model.rate = facts["normaliser_count"], facts["rate"]
            self.env.old_obs = arrays["last.raw"].copy()
            model._last_obs, model._last_episode_starts = arrays["last.seen"].copy(), arrays["last.begun"].copy()
            model.num_timesteps, model._n_updates = facts["steps"], facts["sb3_updates"]
            model.ep_info_buffer, model.ep_success_buffer = None, None
            self.curriculum.restore(facts["curriculum"])
            self.reverse.restore(facts["reverse"])
            self.updates, self.spent_s, self.cpu_s = facts["updates"], facts["spent_s"], facts["cpu_s"]
            worlds = {name.removeprefix("worlds."): value for name, value in arrays.items()}
            restore(self.worlds.world, self.worlds.meter, worlds, facts["worlds"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            what = f"the checkpoint does not fit ({str(error).splitlines()[0][:120]})"
            raise InputError(what, where=where, right="the settings and the version that it was made with") from error

    def put_weights(self, arrays: dict[str, Any]) -> None:
        """Take over weights and Adam's steps, named as by `capture`. KeyError or RuntimeError: they do not fit."""
        policy = self.model.policy
        weights = {name: torch.as_tensor(arrays[f"policy.{name}"].copy()) for name in policy.state_dict()}
        policy.load_state_dict(weights)
        policy.optimizer.load_state_dict(_optimiser(arrays, policy.optimizer.state_dict()))

    def close(self) -> None:
        """End the worlds' threads."""
        self.env.close()
        self.judge.close()


def _optimiser(arrays: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The state of Adam for torch, from its arrays."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in arrays.items():
        kind, _, rest = name.partition(".")
        if kind == "optimiser":
            k, _, part = rest.partition(".")
            state.setdefault(int(k), {})[part] = torch.as_tensor(value.copy())
    return {"state": state, "param_groups": now["param_groups"]}
