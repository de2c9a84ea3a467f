"""One goal from start to verdict: policy, action map, limits and check, the same in a node and in an evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, Policy, SceneState
from knuckle.policy.reorient_score import SCORE_DELAY_S
from knuckle.policy.stillness import Stillness, goal_angle, stillness
from knuckle.sim.world import is_dropped


@dataclass(frozen=True)
class Verdict:
    """How a goal ended.

    ``outcome``: succeeded, missed (done was declared but the check failed), timed_out or dropped. ``angle`` rad at the
    check, ``duration`` s from the goal's start (or the table's removal) to done, drop or the limit, not below 0;
    ``stillness`` at the check.
    """

    outcome: str
    angle: float
    duration: float
    declared_done: bool
    stillness: Stillness


@dataclass(frozen=True)
class RunnerStep:
    """What one control step asks for: ``target`` (dof,) rad, the ``angle`` left (NaN without a goal), the verdict."""

    target: Array
    angle: float
    verdict: Verdict | None


class ReorientRunner:
    """Runs a policy at the control rate. Without a goal it keeps the posture."""

    def __init__(self, hand: HandSpec, policy: Policy) -> None:
        self.hand, self.policy, self.chart = hand, policy, ActionMap(hand)
        self.goal: Goal | None = None
        self.target: Array | None = None

    def start(self, goal: Goal, state: SceneState, *, given_ns: int | None = None) -> None:
        """Begin ``goal`` from ``state``. Raises InputError for a goal the policy cannot take.

        ``given_ns`` is when the goal was given, where that is earlier: time counts from there.
        """
        self.policy.reset(goal)
        self.goal = goal
        self.smoothed = np.zeros(self.hand.dof)
        self.start_position = state.position.copy()
        self.start_ns = (state.stamp_ns if given_ns is None else given_ns) + round(goal.head_start_s * 1e9)
        self.check_at_ns: int | None = None
        self.declared_done = False

    def cancel(self) -> None:
        """Drop the goal and keep the posture."""
        self.goal = None

    def step(self, state: SceneState, truth: SceneState | None = None) -> RunnerStep:
        """The target for this control step; with the verdict the goal is over and the posture is kept.

        The policy sees ``state``; the verdict and the angle are those of ``truth``, where somebody knows it.
        """
        judged = state if truth is None else truth
        if self.goal is None:
            self.target = state.q.copy() if self.target is None else self.target
            return RunnerStep(self.target, float("nan"), None)
        angle = goal_angle(judged, self.goal.quaternion)
        verdict = self._verdict(judged, angle)
        if verdict is not None:
            self.goal = None
        elif self.check_at_ns is None:
            self._act(state, self.goal)
        target = state.q.copy() if self.target is None else self.target
        self.target = target
        return RunnerStep(target, angle, verdict)

    def _act(self, state: SceneState, goal: Goal) -> None:
        """One action of the policy; done or the limit freezes the target and sets the time of the check."""
        action, done_probability = self.policy.act(state)
        self.smoothed = self.chart.smooth(action, self.smoothed)
        elapsed = (state.stamp_ns - self.start_ns) * 1e-9
        self.declared_done = done_probability >= 0.5 and elapsed >= 0.0
        if self.declared_done or elapsed >= goal.time_limit_s:
            self.done_ns = state.stamp_ns
            self.check_at_ns = state.stamp_ns + round(SCORE_DELAY_S * 1e9)
            self.target = state.q.copy() if self.target is None else self.target
            return
        self.target = self.chart.target(state.q, self.smoothed)

    def _verdict(self, state: SceneState, angle: float) -> Verdict | None:
        assert self.goal is not None
        rest = stillness(state, self.smoothed)
        in_air = math.isfinite(self.goal.table_s) and state.stamp_ns > self.start_ns
        if is_dropped(self.hand, state.q, state.position, self.start_position, in_air=in_air):
            return self._end("dropped", state.stamp_ns, angle, rest)
        if self.check_at_ns is None or state.stamp_ns < self.check_at_ns:
            return None
        reached = angle <= self.goal.tolerance_rad and rest.still
        outcome = "succeeded" if reached else "missed" if self.declared_done else "timed_out"
        return self._end(outcome, self.done_ns, angle, rest)

    def _end(self, outcome: str, at_ns: int, angle: float, rest: Stillness) -> Verdict:
        duration = max(at_ns - self.start_ns, 0) * 1e-9
        return Verdict(outcome, angle, duration, self.declared_done, rest)
