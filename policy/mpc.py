"""Sampling MPC: the controller that needs no training. Plans postures by rolled-out samples, 12 times a second."""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.core.config import validate
from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, PolicySpec, SceneState
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.mpc_cost import plan_costs
from knuckle.policy.mpc_proposals import elite_mean, knot_weights, proposals, shifted
from knuckle.policy.planner_model import PlannerModel
from knuckle.policy.stillness import goal_angle, stillness
from knuckle.policy.turning_phase import Phase, TurningPhase
from knuckle.sim.objects import OBJECTS
from knuckle.sim.scene import planner_scene


class SamplingMpc:
    """A Policy that plans. Needs the scene's full state; models hand, object and table as the simulation does."""

    def __init__(self, hand: HandSpec, config: MpcConfig | None = None, seed: int = 0) -> None:
        self.config = validate(config or MpcConfig(), where="mpc")
        self.hand, self.chart = hand, ActionMap(hand)
        self.rng = np.random.default_rng(seed)
        self._weights = knot_weights(self.config)
        self._model: PlannerModel | None = None
        self._object = ""
        self._start(Goal("", rotations.IDENTITY))

    @property
    def spec(self) -> PolicySpec:
        """What this policy is for."""
        return PolicySpec("mpc", self.hand.name, self.hand.joint_names, self.hand.control_rate_hz)

    @property
    def phase(self) -> Phase:
        """What the planner is doing."""
        return self._phase.phase

    def check(self, goal: Goal) -> None:
        """InputError where the goal's object is unknown or its quaternion is not a unit one."""
        rotations.require_unit(goal.quaternion, where="goal orientation")
        if goal.object_name not in OBJECTS:
            raise unknown_name("object", goal.object_name, OBJECTS, where="goal object")

    def reset(self, goal: Goal) -> None:
        """Begin ``goal``."""
        self.check(goal)
        quaternion = rotations.normalize(goal.quaternion)
        if goal.object_name != self._object or self._model is None:
            scene = planner_scene(self.hand, goal.object_name)
            self.close()
            self._model, self._object = PlannerModel(scene, self.chart, self.config.threads), goal.object_name
        self._start(Goal(goal.object_name, quaternion, goal.tolerance_rad, goal.time_limit_s))

    def act(self, state: SceneState) -> tuple[Array, float]:
        """The action (dof,) in [-1, 1], and 1.0 as soon as the goal is reached and everything is still."""
        if self._model is None:
            raise InputError("act was called before reset", where="mpc", right="reset(goal) first")
        angle = goal_angle(state, self.goal.quaternion)
        phase = self._phase.update(angle, stillness(state, self.previous).still)
        if phase is Phase.TURN:
            posture = self._plan(self._model, state)
        elif phase is Phase.REGRASP:
            posture = self.hand.home
            self.plan = np.tile(self.hand.home, (self.config.knots, 1))
        else:
            posture = self.target
        action = self.chart.towards(state.q, posture, self.previous)
        self.previous = self.chart.smooth(action, self.previous)
        self.target = self.chart.target(state.q, self.previous)
        return action, float(self._phase.done(angle))

    def close(self) -> None:
        """End the planner's threads."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def _start(self, goal: Goal) -> None:
        self.goal = goal
        self.previous = np.zeros(self.hand.dof)
        self.target = self.hand.home.copy()
        self.plan = np.tile(self.hand.home, (self.config.knots, 1))
        rate = self.hand.control_rate_hz
        self._phase = TurningPhase(self.config, goal.tolerance_rad, round(goal.time_limit_s * rate), rate)

    def _plan(self, model: PlannerModel, state: SceneState) -> Array:
        """Improve the shifted last plan and return its first posture."""
        self.plan = shifted(self.plan, self.config)
        for _ in range(self.config.iterations):
            candidates = proposals(self.plan, state.q, self.hand, self.config, self.rng)
            postures = np.einsum("tk,nkd->ntd", self._weights, candidates)
            costs = plan_costs(model.roll(state, postures, self.previous), self.goal.quaternion, self.config)
            if not np.isfinite(costs).any():
                raise InputError("no candidate plan could be simulated", where="mpc", right="a finite scene state")
            self.plan = elite_mean(candidates, costs, self.config)
        return np.asarray(self._weights[0] @ self.plan)
