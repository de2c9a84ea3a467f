"""A trained policy at work: a card and an ONNX network, run by onnxruntime on one thread. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, PolicySpec, SceneState
from knuckle.policy.goal_check import check_goal
from knuckle.policy.learned.done_rule import DoneRule
from knuckle.policy.learned.hold_rule import HoldRule
from knuckle.policy.learned.policy_card import NETWORK, done_of, read_card
from knuckle.policy.stillness import goal_angle
from knuckle.sim.reorient.observation import ReorientObservation


class LearnedPolicy:
    """The policy in ``folder``, for ``hand``. InputError where its files cannot be used or are for something else."""

    def __init__(self, hand: HandSpec, folder: Path) -> None:
        self.hand, self.folder = hand, folder
        self.card = read_card(folder, hand)
        width = ReorientObservation(hand).width
        self._session = open_network(folder / NETWORK, width, hand.dof)
        # A weight that is no number makes every action none: better known now than with torque on.
        if not np.isfinite(run_network(self._session, np.zeros((1, width)))).all():
            what = "the network gives actions that are not finite"
            raise InputError(what, where=str(folder / NETWORK), right="weights of a training that went well")
        self._build, self._chart = ReorientObservation(hand), ActionMap(hand)
        done = done_of(self.card, str(folder))
        self._done, self._hold = DoneRule(done), HoldRule(done, self._chart)
        self._goal: Goal | None = None
        self._smoothed = np.zeros(hand.dof)

    @property
    def spec(self) -> PolicySpec:
        """What this policy is for."""
        return PolicySpec(self.card.name, self.hand.name, self.hand.joint_names, self.hand.control_rate_hz)

    def check(self, goal: Goal) -> None:
        """InputError where `goal_check` refuses the goal."""
        check_goal(goal)

    def reset(self, goal: Goal) -> None:
        """Begin ``goal``; no action is remembered, as in training."""
        self._goal = goal
        self._smoothed = np.zeros(self.hand.dof)
        self._done.reset()
        self._hold.reset()

    def act(self, state: SceneState) -> tuple[Array, float]:
        """The action for this state, and 1 where the policy is done.

        RunError for a state that is not finite, or without a goal: then nothing is to move.
        """
        if self._goal is None:
            raise RunError("the policy has no goal", where=str(self.folder), right="reset it with one first")
        observation = self._build(
            state.q,
            state.dq,
            state.position,
            state.quaternion,
            state.velocity,
            state.spin,
            self._goal.quaternion,
            self._smoothed,
        )
        if not np.isfinite(observation).all():
            k = int(np.flatnonzero(~np.isfinite(observation))[0])
            what = f"{self._build.columns[k][0]} of the state is {observation[k]}"
            raise RunError(what, where=str(self.folder), right="finite numbers; the hand is not moved on others")
        wanted = run_network(self._session, observation[None])[0]
        angle = goal_angle(state, self._goal.quaternion)
        action = self._hold.action(wanted, np.asarray(state.q), self._smoothed, angle)
        self._smoothed = self._chart.smooth(action, self._smoothed)
        return action, self._done.step(state, self._goal, self._smoothed)

    def close(self) -> None:
        """Nothing to give back."""


def open_network(path: Path, width: int, dof: int) -> Any:
    """An onnxruntime session on one thread, for observations (n, width) and actions (n, dof).

    InputError for a file that is no such network; RunError where onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        right = "pip install 'knuckle[policy]'"
        raise RunError("onnxruntime is not installed", where=str(path), right=right) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen kinds, none with a root of its own
        what = f"the network cannot be read ({str(error).splitlines()[0][:120]})"
        raise InputError(what, where=str(path), right="an ONNX file that knuckle wrote") from error
    shapes = [(port.shape[-1], port.type) for port in (*session.get_inputs(), *session.get_outputs())]
    if shapes != [(width, "tensor(float)"), (dof, "tensor(float)")]:
        what = f"a network from and to {shapes}"
        raise InputError(what, where=str(path), right=f"{width} observations, {dof} actions, float")
    return session


def run_network(session: Any, observations: Array) -> Array:
    """Actions (n, dof) of ``session`` for ``observations`` (n, width)."""
    name = session.get_inputs()[0].name
    (actions,) = session.run(None, {name: np.asarray(observations, dtype=np.float32)})
    return np.asarray(actions, dtype=np.float64)
