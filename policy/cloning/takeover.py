"""The planner takes over where the learner got to: its answers in the states that the learner leads into.

DAgger asks the expert in the learner's states. A single answer of a sampling planner is noise, and costs as much as a
step of an episode of it; so the planner does not answer once but goes on from there, to the end: its steps are labels
in a row, can be smoothed, and show what comes of them. Only starts that the learner fails are worth that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.collect.recorder import Episode, record_episode
from knuckle.policy.contract import Goal, Policy, PolicySpec, SceneState
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.reorient_task import ReorientTask

AT = "taken_over_at"
"""The fact of an episode that says from which step on the planner acted."""
AFTER_BEST = 12
"""Steps after its best angle until which a learner that got no further may be left alone."""


class Takeover:
    """``learner`` for ``at`` steps, then ``planner`` with what is left of the time. The learner never says done."""

    def __init__(self, learner: Policy, planner: Policy, at: int) -> None:
        self.learner, self.planner, self.at = learner, planner, at
        self._step = 0

    @property
    def spec(self) -> PolicySpec:
        """What the planner is for."""
        return self.planner.spec

    def check(self, goal: Goal) -> None:
        """As the planner does."""
        self.planner.check(goal)

    def reset(self, goal: Goal) -> None:
        """Begin ``goal``, the learner first."""
        self.check(goal)
        self.goal, self._step = goal, 0
        self.learner.reset(goal)

    def act(self, state: SceneState) -> tuple[Array, float]:
        """The answer of whose turn it is."""
        if self._step == self.at:
            gone = self.at / self.planner.spec.rate_hz
            self.planner.reset(replace(self.goal, time_limit_s=max(self.goal.time_limit_s - gone, 1.0)))
        self._step += 1
        if self._step <= self.at:
            return self.learner.act(state)[0], 0.0
        return self.planner.act(state)

    def close(self) -> None:
        """End both."""
        self.learner.close()
        self.planner.close()


@dataclass(frozen=True)
class TakeoverTask:
    """Episodes of ``task``, whose controller is the planner, in which the policy in ``folder`` acts first.

    ``rungs`` are gone through in turn, episode by episode.
    """

    task: ReorientTask
    folder: str
    rungs: tuple[str, ...]

    def record(self, k: int) -> Episode:
        """Episode ``k``: the learner alone, and where it fails the same start again with the planner from a step on
        that is drawn up to a second after the learner's best. Where the learner succeeds, that is the episode, and the
        planner took over at its end."""
        task = replace(self.task, rung=self.rungs[k % len(self.rungs)])
        hand = hand_spec(task.hand, where="--hand")
        start = task.start(k)
        facts = {"episode": k, "rung": task.rung}
        alone = record_episode(task, start, LearnedPolicy(hand, Path(self.folder)), facts)
        if alone.facts["succeeded"] or not len(alone.actions):
            return replace(alone, facts=alone.facts | {AT: len(alone.actions), "learner_succeeded": True})
        rng = np.random.default_rng([task.seed, k])
        at = int(rng.integers(min(int(alone.angles.argmin()) + AFTER_BEST, len(alone.actions)) + 1))
        policy = Takeover(LearnedPolicy(hand, Path(self.folder)), task.policy(k), at)
        episode = record_episode(task, start, policy, facts | {AT: at, "learner_succeeded": False})
        return replace(episode, facts=episode.facts | {"cpu_s": episode.facts["cpu_s"] + alone.facts["cpu_s"]})
