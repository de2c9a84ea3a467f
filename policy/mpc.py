"""Sampling MPC: the controller that needs no training. Plans postures by rolled-out samples, 12 times a second."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from knuckle.core import rotations
from knuckle.core.config import validate
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, PolicySpec, SceneState
from knuckle.policy.goal_check import check_goal
from knuckle.policy.grasp_proposals import GraspProposals
from knuckle.policy.hold_search import grips, hold_costs
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.mpc_cost import Lift, plan_costs
from knuckle.policy.mpc_proposals import elite_mean, knot_weights, proposals, shifted
from knuckle.policy.planner_model import PlannerModel
from knuckle.policy.stillness import goal_angle, stillness
from knuckle.policy.turning_phase import Phase, TurningPhase
from knuckle.sim.scene import EXECUTION_DT_S, planner_scene

# What another grip must gain before the present one is left.
HOLD_MARGIN = 0.02
# Candidates at the end that stay: freezing, and lifting a finger (see `proposals`).
PLAIN_IDEAS = 5


class SamplingMpc:
    """A Policy that plans. Needs the scene's full state; models hand, object and table as the simulation does."""

    def __init__(self, hand: HandSpec, config: MpcConfig | None = None, seed: int = 0) -> None:
        self.config = validate(config or MpcConfig(), where="mpc")
        self.hand, self.chart = hand, ActionMap(hand)
        self.rng = np.random.default_rng(seed)
        self._weights = knot_weights(self.config)
        self._model: PlannerModel | None = None
        self._careful: PlannerModel | None = None
        self._grasps: GraspProposals | None = None
        self._kept: Array = np.zeros((0, self.config.knots, hand.dof))
        self._object = ""
        self.goal = Goal("", rotations.IDENTITY)
        self.plan = self._home_plan()
        self.previous = np.zeros(hand.dof)
        self.target: Array = hand.home.copy()
        self._phase = self._new_phase(self.goal)
        self._aim: Array = rotations.IDENTITY
        self._in_air, self._table_steps = False, 0

    @property
    def spec(self) -> PolicySpec:
        """What this policy is for."""
        return PolicySpec("mpc", self.hand.name, self.hand.joint_names, self.hand.control_rate_hz)

    def check(self, goal: Goal) -> None:
        """InputError where `goal_check` refuses the goal."""
        check_goal(goal)

    def reset(self, goal: Goal) -> None:
        """Begin ``goal``."""
        self.check(goal)
        quaternion = rotations.normalize(goal.quaternion)
        if goal.object_name != self._object or self._model is None:
            self.close()
            self._load(goal.object_name)
        self._start(replace(goal, quaternion=quaternion))

    def act(self, state: SceneState) -> tuple[Array, float]:
        """The action (dof,) in [-1, 1], and 1.0 as soon as the goal is reached and everything is still."""
        if self._model is None or self._careful is None:
            raise InputError("act was called before reset", where="mpc", right="reset(goal) first")
        angle = goal_angle(state, self.goal.quaternion)
        if self._table_steps > 0 and self._in_air:
            return self._answer(state, self._plan(self._model, state)), 0.0
        phase = self._phase.update(angle, stillness(state, self.previous).still)
        if self._phase.detour_over:
            self._aim = self.goal.quaternion
        if phase is Phase.TURN or (phase is Phase.REGRASP and self._in_air):
            if phase is Phase.REGRASP:
                self._aim = self._next_aim(state)
            posture = self._plan(self._model, state)
        elif phase is Phase.REGRASP:
            posture = self.hand.home
            self.plan = self._home_plan()
            self._kept = self._kept[:0]
            self._aim = self._next_aim(state)
        else:
            posture = self._hold(self._careful, state)
        return self._answer(state, posture), float(self._phase.done(angle))

    def _hold(self, model: PlannerModel, state: SceneState) -> Array:
        """The posture of the grip that keeps the object as it is with the least action."""
        tried = grips(self.hand, state.q, self.target, self.config.hold_samples, self.rng)
        postures = np.repeat(tried[:, None], self.config.horizon, axis=1)
        futures = model.roll(state, postures, self.previous, self._table_steps if self._in_air else None)
        costs = hold_costs(futures, self.goal.quaternion, float(state.position[2]))
        best = int(np.argmin(costs))
        # A change that gains next to nothing would only stir what shall be still.
        return np.asarray(tried[best if costs[best] < costs[0] - HOLD_MARGIN else 0])

    def _answer(self, state: SceneState, posture: Array) -> Array:
        """The action towards ``posture``; one more step is over."""
        action = self.chart.towards(state.q, posture, self.previous)
        self.previous = self.chart.smooth(action, self.previous)
        self.target = self.chart.target(state.q, self.previous)
        self._table_steps -= 1
        return action

    def close(self) -> None:
        """End the planner's threads."""
        for model in (self._model, self._careful):
            if model is not None:
                model.close()
        self._model = self._careful = None

    def _load(self, object_name: str) -> None:
        """The models to plan with: a coarse one for turning, one with more weight and the world's step for holding."""
        dt_s = 1.0 / (self.hand.control_rate_hz * self.config.substeps)
        scene = planner_scene(self.hand, object_name, dt_s)
        careful = planner_scene(self.hand, object_name, EXECUTION_DT_S)
        careful.model.opt.gravity[:] *= self.config.hold_gravity
        self._model, self._careful = (PlannerModel(s, self.chart, self.config.threads) for s in (scene, careful))
        self._grasps = GraspProposals(self.hand, scene.thing, self.config.knots)
        self._object = object_name

    def _start(self, goal: Goal) -> None:
        self.goal = goal
        self.previous = np.zeros(self.hand.dof)
        self.target = self.hand.home.copy()
        self.plan = self._home_plan()
        self._phase = self._new_phase(goal)
        self._aim = goal.quaternion
        self._kept = self._kept[:0]
        self._in_air = math.isfinite(goal.table_s)
        self._table_steps = round(goal.head_start_s * self.hand.control_rate_hz)

    def _lift(self) -> Lift | None:
        """What the air asks for: first the grasp, then the turn."""
        if not self._in_air:
            return None
        height = self.hand.mount_position[2] - self.config.below_base
        return Lift(height, turning=0.0 if self._table_steps > 0 else 1.0)

    def _informed(self, candidates: Array, kept: Array, state: SceneState) -> Array:
        """Candidates with some of the noise replaced by grasp-and-turn plans and by the last step's best plans."""
        kept = kept[: len(candidates) // 4]
        candidates[1 : 1 + len(kept)] = kept
        first, last = 1 + len(kept), len(candidates) - PLAIN_IDEAS
        grasps = min(round(self.config.grasp_share * len(candidates)), last - first)
        if grasps > 0 and self._grasps is not None:
            # Taken out evenly, so that small and large noise both stay.
            places = np.linspace(first, last, grasps).round().astype(int)
            candidates[places] = self._grasps.draw(state, self._aim, self.plan, grasps, self.rng)
        return candidates

    def _home_plan(self) -> Array:
        return np.tile(self.hand.home, (self.config.knots, 1))

    def _new_phase(self, goal: Goal) -> TurningPhase:
        rate = self.hand.control_rate_hz
        return TurningPhase(self.config, goal.tolerance_rad, round(goal.time_limit_s * rate), rate)

    def _next_aim(self, state: SceneState) -> Array:
        """What to plan for after a regrasp: the goal, or every other time a detour, a turn by about a right angle."""
        if self._phase.regrasps % 2 == 0 or self.config.detour_steps == 0:
            return self.goal.quaternion
        axis = self.rng.standard_normal(3)
        angle = np.array(self.rng.uniform(1.0, 2.0))
        turn = rotations.from_axis_angle(axis / np.linalg.norm(axis), angle)
        return rotations.multiply(turn, state.quaternion)

    def _plan(self, model: PlannerModel, state: SceneState) -> Array:
        """Improve the shifted last plan and return its first posture."""
        self.plan = shifted(self.plan, self.config)
        fine = goal_angle(state, self.goal.quaternion) < self.config.fine_angle
        share = self.config.fine_share if fine else 1.0
        kept = np.array([shifted(plan, self.config) for plan in self._kept]).reshape(-1, *self.plan.shape)
        for _ in range(self.config.iterations):
            candidates = proposals(self.plan, state.q, self.hand, self.config, self.rng, share)
            candidates = self._informed(candidates, kept, state)
            postures = np.einsum("tk,nkd->ntd", self._weights, candidates)
            futures = model.roll(state, postures, self.previous, self._table_steps if self._in_air else None)
            costs = plan_costs(futures, self._aim, self.config, self._lift())
            if not np.isfinite(costs).any():
                raise InputError("no candidate plan could be simulated", where="mpc", right="a finite scene state")
            self.plan = elite_mean(candidates, costs, self.config)
            kept = candidates[np.argsort(costs)[: self.config.kept]]
        self._kept = kept
        return np.asarray(self._weights[0] @ self.plan)
