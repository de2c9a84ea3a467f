"""A run of offline learning in its folder: goes on after a kill, leaves its last policy.

run.json                 what is learned from and how
checkpoint.safetensors   all that the next step follows from
metrics.jsonl            a line of figures each time they are noted
tensorboard/             the same for TensorBoard, where `knuckle train offline` learns
policy/                  the policy as of the last step, with its card: card.json, policy.onnx
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError
from knuckle.core.figures import write_text
from knuckle.policy.learned.run_folder import CHECKPOINT, CONFIG, RunFolder
from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.iql import IqlConfig
from knuckle.policy.offline.learner import Figures
from knuckle.policy.offline.learners import settings_of
from knuckle.policy.offline.ppo_exchange import begin_with
from knuckle.policy.offline.prepare import AUTO, prepared, unit_transitions
from knuckle.policy.offline_data.actor_weights import ActorWeights
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.environments import task_of
from knuckle.policy.offline_data.learned_weights import learned_weights


@dataclass(frozen=True)
class OfflinePlan:
    """What is learned: a ``learner`` with ``settings`` (text that differs from its defaults), for ``steps``, from data
    whose rewards and observations are scaled by a rule (`prepare`)."""

    learner: str
    settings: dict[str, str]
    steps: int
    seed: int
    rewards: str = AUTO
    observations: str = AUTO


class OfflineRun:
    """The run of ``plan`` on ``data`` in ``path``; it begins with the policy of the agent in the zip ``begin`` if one
    is given. InputError where something else is in there, or nothing fits."""

    def __init__(self, plan: OfflinePlan, data: Dataset, path: Path, *, begin: Path | None = None) -> None:
        self.plan, self.folder = plan, RunFolder(path)
        self.data = prepared(data, plan.learner, rewards=plan.rewards, observations=plan.observations)
        settings = settings_of(plan.learner, plan.settings)
        if isinstance(settings, IqlConfig) and "cosine_steps" not in plan.settings:
            settings = settings_of(plan.learner, plan.settings | {"cosine_steps": str(plan.steps)})
        self.fit = Fit(plan.learner, settings, unit_transitions(self.data), seed=plan.seed)
        if begin is not None:
            begin_with(self.fit.learner, self.data, begin)
        self._require_same()
        self.folder.lock()
        if (before := self.folder.checkpoint()) is not None:
            self.fit.restore(*before, where=str(path / CHECKPOINT))
        self.history = self.folder.cut(self.fit.steps)

    def learn(
        self,
        *,
        log_every: int,
        keep_every: int,
        noted: Callable[[Figures], object] = lambda row: None,
    ) -> None:
        """Learn until the plan's steps are done; the checkpoint is written every ``keep_every`` and at the end.

        Each row of figures, with its step as ``updates``, is ``noted``.
        """
        used = time.process_time() - (self.history[-1]["cpu_s"] if self.history else 0.0)

        def note(step: int, figures: Figures) -> None:
            row = {"updates": float(step), "cpu_s": time.process_time() - used} | figures
            self.folder.note(row)
            self.history.append(row)
            noted(row)

        while self.fit.steps < self.plan.steps:
            until = min((self.fit.steps // keep_every + 1) * keep_every, self.plan.steps)
            self.fit.run(until, log_every=log_every, noted=note)
            self.folder.keep(*self.fit.capture())

    def actor(self) -> ActorWeights:
        """The policy as it is now, in the units of its task."""
        return learned_weights(self.fit.learner, self.data)

    def export(self, *, rate_hz: float = 0.0) -> bool:
        """Leave the policy with its card in the run's folder: for the task that the data are of, or, where they are
        episodes of a hand, as that hand's policy; else, if ``rate_hz`` says how often it acts, for a task called as the
        data. False where none of these is known; RunError where the export differs."""
        from knuckle.policy.offline_data.actor_export import export_actor
        from knuckle.policy.offline_data.hand_export import export_hand_policy, hand_of

        task, hand = task_of(self.data.environment), hand_of(self.data.environment)
        seen = self.data.episodes[0].observations[:256]
        if self.data.scale is not None:
            seen = seen * self.data.scale.std + self.data.scale.mean
        facts = asdict(self.plan) | {"steps_done": self.fit.steps, "environment": self.data.environment}
        told: dict[str, Any] = {
            "name": self.plan.learner,
            "observed": seen,
            "data": f"{self.data.name}: {self.data.steps} steps in {len(self.data.episodes)} episodes",
            "licence": "that of the data",
            "training": facts | {"versions": {name: version(name) for name in ("knuckle", "torch")}},
            "seed": self.plan.seed,
        }
        if hand is not None:
            export_hand_policy(self.folder.policy, hand, self.actor(), **told)
        elif task is not None:
            env = task.make()
            rate_hz = 1.0 / float(env.unwrapped.dt)
            env.close()
            export_actor(self.folder.policy, self.actor(), task=task.name, rate_hz=rate_hz, **told)
        elif rate_hz > 0.0:
            export_actor(self.folder.policy, self.actor(), task=self.data.name, rate_hz=rate_hz, **told)
        return hand is not None or task is not None or rate_hz > 0.0

    def _require_same(self) -> None:
        """Note what is learned; InputError where the folder holds a run of something else."""
        path = self.folder.path / CONFIG
        facts: dict[str, Any] = asdict(self.plan) | {
            "data": self.data.name,
            "data_steps": self.data.steps,
            "data_episodes": len(self.data.episodes),
            "environment": self.data.environment,
            "reward_rule": self.data.reward_rule,
            "all_settings": asdict(self.fit.settings),
        }
        if not path.is_file():
            write_text(path, json.dumps(facts, indent=2) + "\n")
            return
        try:
            here = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError("the settings cannot be read", where=str(path), right="another --run") from error
        for name, value in facts.items():
            if here.get(name) != value:
                what = f"the run here has {name} {here.get(name)}, not {value}"
                raise InputError(what, where=str(self.folder.path), right="the same, or another --run")
