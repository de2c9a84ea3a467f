"""The evaluation: what is played, on which starts, and that processes change nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.baselines import DoNothing
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.evaluation import evaluate
from knuckle.policy.reorient_episode import Privileged, begin, run_episode
from knuckle.policy.reorient_score import EpisodeScore, figures_of
from knuckle.policy.reorient_task import ReorientTask
from knuckle.sim.objects import NOVEL
from knuckle.sim.reorient.rungs import RUNGS
from knuckle.sim.world import SimWorld

QUICK = {"samples": "8", "horizon": "3"}
HAND = hand_spec("dclaw3")
AIR = ReorientTask(controller="nothing", world="air", hand="dclaw4")


def told(scores: list[EpisodeScore]) -> list[EpisodeScore]:
    """Scores without what they cost."""
    return [replace(score, wall=0.0, cpu=0.0) for score in scores]


@pytest.mark.slow
def test_processes_and_their_number_change_no_score() -> None:
    task = ReorientTask(planner=QUICK, seed=3)
    alone, two = evaluate(task, 2, jobs=1), evaluate(task, 2, jobs=2)
    assert list(alone) == list(two) == ["mpc", "nothing", "random"]
    assert all(told(alone[name]) == told(two[name]) for name in alone)


def test_doing_nothing_and_acting_at_random_succeed_nowhere() -> None:
    results = evaluate(ReorientTask(controller="nothing", rung="yaw60", seed=2), 4)
    assert list(results) == ["nothing", "random"]
    for scores in results.values():
        figures, _ = figures_of(scores)
        assert figures["success_0p1"] == figures["success_0p4"] == 0.0


def test_in_the_air_doing_nothing_drops_every_object() -> None:
    results = evaluate(ReorientTask(controller="nothing", world="air", hand="dclaw4", objects="novel"), 3)
    assert all(score.dropped and score.object_name in NOVEL for score in results["nothing"])


class Declares:
    """Done at once, within reach or not; it notes from where each of its goals was given."""

    def __init__(self) -> None:
        self.spec, self.given = DoNothing(HAND).spec, list[tuple[Goal, SceneState | None]]()

    def check(self, goal: Goal) -> None: ...

    def reset(self, goal: Goal) -> None:
        self.given.append((goal, None))

    def act(self, state: SceneState) -> tuple[np.ndarray, float]:
        goal, first = self.given[-1]
        self.given[-1] = goal, first or state
        return np.zeros(HAND.dof), 1.0

    def close(self) -> None: ...


def test_goals_in_a_row_are_each_given_from_where_the_object_then_lies() -> None:
    start = ReorientTask(rung="60", seed=8).start(0)
    policy = Declares()
    score = run_episode(HAND, policy, start, goals=4)
    assert len(score.later) == 3 and len(policy.given) == 4
    stamps = []
    for goal, state in policy.given:
        assert state is not None
        stamps.append(state.stamp_ns)
        away = rotations.angle_between(state.quaternion, goal.quaternion)
        assert RUNGS["60"].low - 1e-6 <= away <= RUNGS["60"].high + 1e-6
    assert np.diff(stamps).min() > 0 and len({goal.quaternion.tobytes() for goal, _ in policy.given}) == 4
    alone = run_episode(HAND, Declares(), start)
    assert alone.later == () and told([alone]) == told([replace(score, later=())])


def test_a_dropped_object_ends_the_row() -> None:
    score = run_episode(hand_spec("dclaw4"), DoNothing(hand_spec("dclaw4")), AIR.start(0), goals=3)
    assert score.dropped and score.later == ()


def test_goals_in_a_row_in_the_air_are_refused() -> None:
    with pytest.raises(InputError, match="--goals: there is no table under the object after the first goal; 1, or"):
        replace(AIR, goals=2).starts(1)


@pytest.mark.parametrize("rung", ["yaw60", "60", "90"])
def test_goals_are_as_far_as_their_rung_says_from_where_the_object_lies(rung: str) -> None:
    for start in ReorientTask(rung=rung, seed=8).starts(3):
        world, goal = begin(hand_spec("dclaw3"), start)
        lies = world.object_truth().quaternion
        assert RUNGS[rung].low - 1e-9 <= rotations.angle_between(lies, goal.quaternion) <= RUNGS[rung].high + 1e-9
        turn = rotations.log(rotations.multiply(goal.quaternion, rotations.conjugate(lies)))
        if rung == "yaw60":
            assert np.abs(turn[:2]).max() < 1e-6


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (ReorientTask(objects="cutlery"), "--objects: unknown object or family 'cutlery'"),
        (ReorientTask(hand="dclaw5"), "--hand: unknown hand 'dclaw5'; did you mean 'dclaw"),
        (ReorientTask(rung="180"), "rung: unknown rung '180'"),
        (ReorientTask(world="sea"), "unknown world 'sea'; known: air, table"),
        (ReorientTask(controller="ppo"), "--controller: unknown controller 'ppo'"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_before_anything_is_played(task: ReorientTask, line: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluate(task, 1)
    assert line in str(caught.value)


class LateEyes(Privileged):
    """Sees nothing in its first looks."""

    def __init__(self, world: SimWorld, blind_looks: int) -> None:
        super().__init__(world)
        self.blind_looks = blind_looks

    def state(self) -> SceneState:
        self.blind_looks -= 1
        if self.blind_looks >= 0:
            raise InputError("no point of the object is seen", where="points", right="a view of it")
        return super().state()


def test_the_time_until_the_object_is_first_seen_counts() -> None:
    hand, start = hand_spec("dclaw3"), ReorientTask(seed=4).starts(1)[0]
    seen_late = run_episode(hand, DoneAtOnce(hand), start, perceive=lambda world: LateEyes(world, 12))
    assert seen_late.declared_done and seen_late.duration == pytest.approx(1.0, abs=0.01)
    assert run_episode(hand, DoneAtOnce(hand), start).duration == 0.0


def test_an_object_that_is_never_seen_is_a_failure_and_no_error() -> None:
    hand, start = hand_spec("dclaw3"), ReorientTask(seed=4).starts(1)[0]
    score = run_episode(hand, DoneAtOnce(hand), start, perceive=lambda world: LateEyes(world, 10_000))
    assert not score.succeeded(3.2) and not score.dropped and score.duration == 15.0


class DoneAtOnce(DoNothing):
    """Declares done at its first look."""

    def act(self, state: SceneState) -> tuple[np.ndarray, float]:
        return np.zeros(self.hand.dof), 1.0


def test_an_unknown_state_is_refused() -> None:
    task = ReorientTask(controller="nothing", state="dreamt")
    with pytest.raises(InputError, match="--state: unknown state 'dreamt'; known: perceived, privileged"):
        task.play(task.starts(1)[0], task.policy(0))
