"""A trained policy at work: a card and an ONNX network, run by onnxruntime on one thread. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, PolicySpec, SceneState
from knuckle.policy.goal_check import check_goal
from knuckle.policy.learned.chunk_player import (
    BY_FORESIGHT,
    ChunkFacts,
    ChunkPlayer,
    GoalJudge,
    chunk_facts,
    open_chunks,
    run_chunks,
)
from knuckle.policy.learned.done_rule import DoneRule
from knuckle.policy.learned.foresight import FORESIGHT, Foresight, foresight_facts, open_foresight
from knuckle.policy.learned.hold_rule import HoldRule
from knuckle.policy.learned.policy_card import NETWORK, done_of, read_card, regrasp_of
from knuckle.policy.learned.regrasp_rule import RegraspRule
from knuckle.policy.stillness import goal_angle
from knuckle.sim.reorient.observation import ReorientObservation

Judges = Callable[[str], GoalJudge]
"""A judge of chunks for the object of a name."""


class LearnedPolicy:
    """The policy in ``folder``, for ``hand``; what it draws, if it draws, is drawn with ``rng``, seed 0 without one.

    ``judges`` makes who judges its chunks, where that is not to be who the card says. InputError where its files cannot
    be used or are for something else.
    """

    def __init__(
        self,
        hand: HandSpec,
        folder: Path,
        rng: np.random.Generator | None = None,
        judges: Judges | None = None,
    ) -> None:
        self.hand, self.folder = hand, folder
        self.card = read_card(folder, hand)
        self._build, self._chart = ReorientObservation(hand), ActionMap(hand)
        width, path, self._chunks = self._build.width, folder / NETWORK, None
        if "chunk" in self.card.config:
            facts = chunk_facts(self.card.config["chunk"], str(folder))
            self._session = open_chunks(path, width, hand.dof, facts)
            self._chunks = ChunkPlayer(self._session, facts, self._chart, rng or np.random.default_rng(0))
            self._judges = judges or self._judges_of(facts)
            first = run_chunks(self._session, np.zeros((1, width)), np.zeros((1, facts.length, hand.dof)))
        else:
            self._session = open_network(path, width, hand.dof)
            first = run_network(self._session, np.zeros((1, width)))
        # A weight that is no number makes every action none: better known now than with torque on.
        if not np.isfinite(first).all():
            what = "the network gives actions that are not finite"
            raise InputError(what, where=str(path), right="weights of a training that went well")
        done = done_of(self.card, str(folder))
        self._done, self._hold = DoneRule(done), HoldRule(done, self._chart)
        self._regrasp = RegraspRule(regrasp_of(self.card, str(folder)), hand, max(done.angle, done.hold))
        self._goal: Goal | None = None
        self._judge: GoalJudge | None = None
        self._smoothed = np.zeros(hand.dof)

    @property
    def spec(self) -> PolicySpec:
        """What this policy is for."""
        return PolicySpec(self.card.name, self.hand.name, self.hand.joint_names, self.hand.control_rate_hz)

    def check(self, goal: Goal) -> None:
        """InputError where `goal_check` refuses the goal, or it is in the air and chunks are judged on the table."""
        check_goal(goal)
        if self._chunks is not None and self._chunks.facts.judged and np.isfinite(goal.table_s):
            what = "the policy's chunks are judged as on the table"
            raise InputError(what, where=str(self.folder), right="a goal on the table, or a card with judged 0")

    def reset(self, goal: Goal) -> None:
        """Begin ``goal``; no action is remembered, as in training."""
        self._goal = goal
        self._smoothed = np.zeros(self.hand.dof)
        self._done.reset()
        self._hold.reset()
        self._regrasp.reset(goal)
        self._forget_chunk()
        if self._chunks is not None and self._chunks.facts.judged:
            self._judge_for(goal)

    def act(self, state: SceneState) -> tuple[Array, float]:
        """The action for this state, and 1 where the policy is done.

        RunError for a state that is not finite, or without a goal: then nothing is to move.
        """
        if self._goal is None:
            raise RunError("the policy has no goal", where=str(self.folder), right="reset it with one first")
        if not _finite(state):
            self._observe(state, self._goal)  # says what is not
        angle = goal_angle(state, self._goal.quaternion)
        wanted = partial(self._wanted, state, self._goal, angle)
        action = self._hold.action(wanted, np.asarray(state.q), self._smoothed, angle)
        if self._hold.holding:
            self._forget_plans()  # what was planned before the hand held is no plan for after it
        self._smoothed = self._chart.smooth(action, self._smoothed)
        return action, self._done.step(state, self._goal, self._smoothed)

    def _wanted(self, state: SceneState, goal: Goal, angle: float) -> Array:
        """The action that the network wants, or the one that opens the hand."""
        posture = self._regrasp.posture(state, angle)
        if posture is not None:
            self._forget_chunk()
            return np.asarray(self._chart.towards(np.asarray(state.q), posture, self._smoothed))
        if self._chunks is None:
            return np.asarray(run_network(self._session, self._observe(state, goal)[None])[0])
        return self._chunks.action(partial(self._observe, state, goal), state, self._smoothed)

    def _forget_plans(self) -> None:
        """Begin anew with the next step: no chunk, no opening, and no patience that is used up."""
        self._regrasp.forget()
        self._forget_chunk()

    def _forget_chunk(self) -> None:
        if self._chunks is not None:
            self._chunks.reset()

    def close(self) -> None:
        """Give back what chunks are judged with."""
        if self._judge is not None:
            self._judge.close()
        self._judge = None

    def _observe(self, state: SceneState, goal: Goal) -> Array:
        """The observation (width,) of ``state`` on the way to ``goal``; RunError where it is not finite."""
        observation = self._build(
            state.q,
            state.dq,
            state.position,
            state.quaternion,
            state.velocity,
            state.spin,
            goal.quaternion,
            self._smoothed,
        )
        if not np.isfinite(observation).all():
            k = int(np.flatnonzero(~np.isfinite(observation))[0])
            what = f"{self._build.columns[k][0]} of the state is {observation[k]}"
            raise RunError(what, where=str(self.folder), right="finite numbers; the hand is not moved on others")
        return observation

    def _judge_for(self, goal: Goal) -> None:
        """A judge of chunks towards ``goal``: the one that is there where it knows the object."""
        self.check(goal)
        if self._judge is None or self._judge.object_name != goal.object_name:
            self.close()
            self._judge = self._judges(goal.object_name)
        self._judge.goal = np.asarray(goal.quaternion, dtype=np.float64)
        if self._chunks is not None:
            self._chunks.judge = self._judge

    def _judges_of(self, facts: ChunkFacts) -> Judges:
        """Who judges chunks by the card: a simulation, the network beside the policy's, or one after the other."""
        if facts.judge != BY_FORESIGHT:
            return partial(_simulated, self.hand)
        foreseen = foresights(self.hand, self.folder, self.card.config)
        return partial(_sifted, self.hand, foreseen, facts) if facts.simulated else foreseen


def foresights(hand: HandSpec, folder: Path, config: Mapping[str, Any]) -> Callable[[str], Foresight]:
    """Judges that ask the network in ``folder``, by the ``config`` of its card; InputError where it cannot be used."""
    facts = foresight_facts(config, str(folder))
    session = open_foresight(folder / FORESIGHT, facts.looked_at, facts.steps)
    return lambda name: Foresight(hand, name, session, facts.looked_at, facts.steps)


def _sifted(hand: HandSpec, foreseen: Callable[[str], Foresight], facts: ChunkFacts, object_name: str) -> GoalJudge:
    # Only here and below: a policy that needs no simulation does not load one.
    from knuckle.policy.learned.chunk_judge import ChunkJudge
    from knuckle.policy.learned.sieve import Sieve

    how = facts.simulated, facts.simulated_steps, facts.simulated_each
    return Sieve(foreseen(object_name), ChunkJudge(hand, object_name), *how)


def _simulated(hand: HandSpec, object_name: str) -> GoalJudge:
    from knuckle.policy.learned.chunk_judge import ChunkJudge

    return ChunkJudge(hand, object_name)


def _finite(state: SceneState) -> bool:
    parts = (state.q, state.dq, state.position, state.quaternion, state.velocity, state.spin)
    return bool(np.isfinite(np.concatenate(parts)).all())


def open_network(path: Path, width: int, dof: int) -> Any:
    """An onnxruntime session on one thread, for observations (n, width) and actions (n, dof).

    InputError for a file that is no such network; RunError where onnxruntime is not installed.
    """
    return open_session(path, [width, dof], f"{width} observations, {dof} actions, float")


def open_session(path: Path, widths: list[int], right: str) -> Any:
    """A session on one thread; its inputs and outputs are float, of ``widths`` in turn; ``right`` says which those are.

    InputError for a file that is no such network; RunError where onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        install = "pip install 'knuckle[policy]'"
        raise RunError("onnxruntime is not installed", where=str(path), right=install) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen kinds, none with a root of its own
        what = f"the network cannot be read ({str(error).splitlines()[0][:120]})"
        raise InputError(what, where=str(path), right="an ONNX file that knuckle wrote") from error
    shapes = [(port.shape[-1], port.type) for port in (*session.get_inputs(), *session.get_outputs())]
    if shapes != [(width, "tensor(float)") for width in widths]:
        raise InputError(f"a network from and to {shapes}", where=str(path), right=right)
    return session


def run_network(session: Any, observations: Array) -> Array:
    """Actions (n, dof) of ``session`` for ``observations`` (n, width)."""
    name = session.get_inputs()[0].name
    (actions,) = session.run(None, {name: np.asarray(observations, dtype=np.float32)})
    return np.asarray(actions, dtype=np.float64)
