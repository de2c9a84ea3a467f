"""Collecting and learning, a cycle at a time; all that decides the next cycle can be taken out and put back.

On one thread a run that is put back goes on bit for bit: to the same next loss.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.hindsight.hindsight_batch import draw_batch
from knuckle.policy.hindsight.hindsight_config import Hindsight
from knuckle.policy.hindsight.learner import Learner
from knuckle.policy.hindsight.outcomes import Outcomes
from knuckle.policy.hindsight.planner_episodes import read_planner_episodes
from knuckle.policy.hindsight.replay import NO_EPISODE, Replay
from knuckle.policy.hindsight.turned_scene import TurnedScene
from knuckle.policy.hindsight.warm_policy import read_warm_policy
from knuckle.policy.learned.export import Actor
from knuckle.policy.learned.judge import Judge
from knuckle.policy.learned.train_config import PpoConfig, Training
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_state import capture, restore
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.episode_meter import EpisodeMeter
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

_RUN = "run."
_LEARNER = "learner."
_WORLDS = "worlds."


class HindsightRun:
    """Learns as ``run`` says. The states of worlds that break go to ``fault_folder``.

    InputError in one line for a policy to begin as, or episodes, that cannot be used.
    """

    def __init__(self, run: Hindsight, *, fault_folder: Path, cache_folder: Path | None = None) -> None:
        self.run, config = run, run.config
        self.hand = hand_spec(run.hand, where="--hand")
        torch.set_num_threads(run.threads)
        scene = TurnedScene(HandSymmetry(self.hand))
        self.warm, self.done = read_warm_policy(run.warm, self.hand, config, where="--warm")
        self.planner = read_planner_episodes(run.episodes, self.hand, where="--episodes") if len(run.episodes) else None
        batch = BatchConfig(
            worlds=config.worlds,
            rung=run.rung,
            starts=config.starts,
            held_share=config.held_share,
            physics=config.physics,
            episode_s=config.episode_s,
            cached_starts=config.cached_starts,
            threads=run.threads,
            seed=run.seed,
        )
        reward = run.reward.of_world()
        self.world = BatchWorld(
            self.hand, run.objects, batch, reward=reward, cache_folder=cache_folder, fault_folder=fault_folder
        )
        self.world.goals.share(run.shares)
        judged = PpoConfig(objects=config.objects, judge_worlds=config.judge_worlds)
        training = Training(run.hand, judged, reward, self.done, run.threads, run.seed)
        self.judge = Judge(self.hand, training, batch, cache_folder, fault_folder)
        self.scene = scene
        self.learner = Learner(scene, self.warm, config, run.seed)
        self.replay = Replay(self.world.build, config.ring, config.worlds)
        self.meter, self.outcomes = EpisodeMeter(config.worlds), Outcomes(config.window)
        self._rng = np.random.default_rng(run.seed)
        self._seen = self.world.reset()
        self._episode = np.arange(config.worlds, dtype=np.int64)
        self._noise = self._drawn_noise(config.worlds)
        self.cycles = 0
        self.spent_s = self.cpu_s = 0.0

    @property
    def updates(self) -> int:
        """Updates so far."""
        return self.learner.updates

    @property
    def steps(self) -> int:
        """Control steps of single worlds so far."""
        return self.replay.count * self.run.config.worlds

    def cycle(self) -> dict[str, float]:
        """``cycle`` control steps of all worlds with their updates; the figures. RunError where a loss is no number."""
        config, begun, used = self.run.config, time.perf_counter(), time.process_time()
        learned: list[dict[str, float]] = []
        for _ in range(config.cycle):
            self._collect()
            if self.replay.count < config.first_steps:
                continue
            for _ in range(config.updates):
                batch = draw_batch(self._rng, self.replay, self.planner, self.scene, self.run)
                learned.append(self.learner.update(batch))
        self.cycles += 1
        wall, cpu = time.perf_counter() - begun, time.process_time() - used
        self.spent_s, self.cpu_s = self.spent_s + wall, self.cpu_s + cpu
        new = config.cycle * config.worlds
        figures = {
            "updates": float(self.updates),
            "cycles": float(self.cycles),
            "steps": float(self.steps),
            "spent_s": self.spent_s,
            "cpu_s": self.cpu_s,
            "steps_per_s": new / wall,
            "steps_per_cpu_s": new / cpu,
            "anchor": self.learner.anchor,
        }
        figures |= {name: _mean([row[name] for row in learned]) for name in ("critic_loss", "worth", "actor_loss")}
        figures |= self.outcomes.figures()
        return figures | {"success_newest": figures.get(f"success_{self.run.rung}", math.nan)}

    def _collect(self) -> None:
        """One control step of all worlds, into the replay; the episodes that ended begin anew."""
        world, before = self.world, self._seen
        blur = self._noise * self._rng.standard_normal((len(before), self.hand.dof))
        acts = np.clip(np.clip(self.act(before), -1.0, 1.0) + blur, -1.0, 1.0).astype(np.float32)
        after, reward, fallen, over = world.step(acts)
        broken, success = world.info["broken"], world.info["success"]
        self.replay.add(before, acts, after, fallen, np.where(broken, NO_EPISODE, self._episode))
        self.meter.add(reward, success)
        self._seen, ended = after, np.flatnonzero(fallen | over)
        if not len(ended):
            return
        for k in ended:
            kind = world.kind_of(int(k))
            episode = self.meter.end(int(k), dropped=bool(fallen[k]), broken=bool(broken[k]))
            self.outcomes.add(kind, succeeded=episode.goals > 0, dropped=episode.dropped)
        self._episode[ended] = self._episode.max() + 1 + np.arange(len(ended))
        self._noise[ended] = self._drawn_noise(len(ended))
        self._seen = world.reset(fallen | over)

    def _drawn_noise(self, n: int) -> Array:
        return np.asarray(self._rng.choice(self.run.noises, n)[:, None])

    def act(self, observations: Array) -> Array:
        """The actor's actions (n, dof), without noise and not yet cut, for ``observations`` (n, width)."""
        with torch.no_grad():
            means = self.learner.actor(torch.as_tensor(np.asarray(observations, dtype=np.float32)))
        return np.asarray(means.numpy(), dtype=np.float64)

    def judged(self) -> dict[str, float]:
        """How the policy does without noise on each rung, by five conditions; see `Judge`."""
        begun, used, figures = time.perf_counter(), time.process_time(), dict[str, float]()
        for rung in self.run.shares:
            shares = self.judge.share(self.act, rung)
            figures[f"judged_five_{rung}"] = shares["judged_five"]
            if rung == self.run.rung:
                figures |= shares
        self.spent_s += time.perf_counter() - begun
        self.cpu_s += time.process_time() - used
        return figures

    def actor(self) -> Actor:
        """The actor as it is now, to be exported."""
        layers = [
            (part.weight.detach().numpy().astype(np.float64), part.bias.detach().numpy().astype(np.float64))
            for part in self.learner.actor.linear()
        ]
        return Actor(self.warm.normaliser, layers, self.act, self.scene.symmetry)

    def observed(self) -> Array:
        """Observations (worlds, width) as the worlds last gave them."""
        return np.asarray(self._seen, dtype=np.float64)

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays by name and facts for JSON, from which `restore` goes on, but for the replay; taken between cycles."""
        if not self.cycles:
            raise RunError("nothing has been learned yet", where="training", right="a cycle before a checkpoint")
        learner, learner_facts = self.learner.capture()
        worlds, world_facts = capture(self.world, self.meter)
        arrays = {f"{_LEARNER}{name}": value for name, value in learner.items()}
        arrays |= {f"{_WORLDS}{name}": value for name, value in worlds.items()}
        own = {"seen": self._seen, "episode": self._episode, "noise": self._noise}
        arrays |= {f"{_RUN}{name}": value.copy() for name, value in own.items()}
        return arrays, {
            "cycles": self.cycles,
            "spent_s": self.spent_s,
            "cpu_s": self.cpu_s,
            "count": self.replay.count,
            "planner": self._planner_mark(),
            "learner": learner_facts,
            "worlds": world_facts,
            "rng": self._rng.bit_generator.state,
            "outcomes": self.outcomes.facts(),
        }

    def restore(self, arrays: dict[str, Any], facts: dict[str, Any], replay: dict[str, Any], *, where: str) -> None:
        """Go on where `capture` was called, with the replay's arrays of then. InputError where they do not fit, or the
        planner's episodes are other ones."""
        if facts.get("planner") != self._planner_mark():
            what = "the planner's episodes are not those that the run began with"
            raise InputError(what, where="--episodes", right="the same collections, or another --run")
        try:
            self.learner.restore(_part(arrays, _LEARNER), facts["learner"])
            restore(self.world, self.meter, _part(arrays, _WORLDS), facts["worlds"])
            own = _part(arrays, _RUN)
            self._seen, self._episode = own["seen"].copy(), own["episode"].copy()
            self._noise = own["noise"].copy()
            self._rng.bit_generator.state = facts["rng"]
            self.outcomes.restore(facts["outcomes"])
            self.replay.restore(replay, int(facts["count"]))
            self.cycles, self.spent_s, self.cpu_s = facts["cycles"], facts["spent_s"], facts["cpu_s"]
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            what = f"the checkpoint does not fit ({' '.join(str(error).split())[:120]})"
            raise InputError(what, where=where, right="the settings and the version that it was made with") from error

    def close(self) -> None:
        """End the worlds' threads."""
        self.world.close()
        self.judge.close()

    def _planner_mark(self) -> int:
        return self.planner.mark if self.planner is not None else 0


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return fmean(known) if known else math.nan
