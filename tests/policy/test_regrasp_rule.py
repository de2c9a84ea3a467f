"""A policy that gets no further opens the hand past the object, and what opens does not sweep the object away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import KnuckleError
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.hand_spec import Array
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.baselines import RandomActions
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.opening import Opening, finger_beads
from knuckle.policy.learned.policy_card import read_card
from knuckle.policy.learned.regrasp_rule import LONGEST, RegraspConfig, RegraspRule
from knuckle.policy.reorient_episode import scene_state
from knuckle.policy.reorient_runner import ReorientRunner
from knuckle.sim.objects import object_shape
from knuckle.sim.world import SimWorld

HAND = hand_spec("dclaw3")
STEP = HAND.policy_speed / HAND.control_rate_hz
TRUCK = object_shape("truck")
GOAL = Goal("truck", rotations.IDENTITY)
FOLDED = np.tile([0.0, -0.4, -0.2], 3)
LYING = SceneState(0, FOLDED, np.zeros(9), np.array([0.0, 0.0, 0.03]), rotations.IDENTITY, np.zeros(3), np.zeros(3))
postures = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).uniform(HAND.lower, HAND.upper))


@settings(max_examples=30, deadline=None)
@given(q=postures, x=st.floats(-0.1, 0.1), y=st.floats(-0.1, 0.1), turn=st.floats(-3.1, 3.1))
def test_it_opens_at_the_hands_speed_within_its_limits(q: Array, x: float, y: float, turn: float) -> None:
    opening = Opening(HAND, TRUCK)
    at = np.array([x, y, 0.03]), rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(turn))
    way = opening(q, *at)
    np.testing.assert_allclose(way[-1], opening.open_posture(*at), atol=1e-9)
    assert np.abs(np.diff(np.concatenate([q[None], way]), axis=0)).max() <= STEP + 1e-9
    assert (way >= HAND.lower - 1e-9).all() and (way <= HAND.upper + 1e-9).all()


def test_an_open_hand_is_at_home_but_for_a_finger_where_the_object_lies() -> None:
    opening = Opening(HAND, TRUCK)
    np.testing.assert_array_equal(opening.open_posture(np.array([0.4, 0.0, 0.03]), rotations.IDENTITY), HAND.home)
    under_first = TipKinematics(HAND, "world").poses(HAND.home)[0][0] * [1.0, 1.0, 0.0] + [0.0, 0.0, 0.03]
    at = under_first, rotations.IDENTITY
    opened = opening.open_posture(*at)
    np.testing.assert_array_equal(opened[3:], HAND.home[3:])
    pressed, home = (opening.costs(q[None, None], *at)[0] for q in (opened, HAND.home))
    assert pressed[0] < 0.3 * home[0]


@settings(max_examples=30, deadline=None)
@given(q=postures, x=st.floats(-0.08, 0.08), y=st.floats(-0.08, 0.08))
def test_its_way_presses_on_the_object_no_more_than_the_straight_one(q: Array, x: float, y: float) -> None:
    opening, at = Opening(HAND, TRUCK), (np.array([x, y, 0.03]), rotations.IDENTITY)
    way = opening(q, *at)
    straight = q + np.clip(way[-1] - q, -STEP * np.arange(1, 20)[:, None], STEP * np.arange(1, 20)[:, None])
    # The way is looked at in a few places, here in all, so it may be a little worse where it is no worse at those.
    assert opening.costs(way[None], *at).sum() <= opening.costs(straight[None], *at).sum() + 0.005


def test_a_finger_behind_the_object_does_not_drag_it_along_as_it_does_when_it_goes_straight() -> None:
    swept: dict[str, list[float]] = {"straight": [], "past it": []}
    for seed in range(1, 7):
        for name, moved in swept.items():
            world = _grasping(seed)
            before = world.object_truth().position
            opening = Opening(HAND, object_shape(world.object_name))
            for k in range(16):
                state = scene_state(world)
                if k % 4 == 0:
                    way = opening(state.q, state.position, state.quaternion)
                target = way[min(k % 4, len(way) - 1)] if name == "past it" else way[-1]
                _go(world, state.q + np.clip(target - state.q, -STEP, STEP))
            moved.append(float(np.linalg.norm(world.object_truth().position[:2] - before[:2])))
    dragged = {name: sum(way > 0.005 for way in moved) for name, moved in swept.items()}
    assert 2 * dragged["past it"] <= dragged["straight"], swept
    assert np.mean(swept["past it"]) < np.mean(swept["straight"])


def _grasping(seed: int) -> SimWorld:
    """A world in which the fingers were moved at random for three seconds."""
    world = SimWorld(HAND, "truck", seed=seed)
    world.arm()
    runner = ReorientRunner(HAND, RandomActions(HAND, seed=seed))
    runner.start(GOAL, scene_state(world))
    for _ in range(36):
        state = scene_state(world)
        _go(world, runner.step(state).target)
    return world


def _go(world: SimWorld, target: Array) -> None:
    until = world.now_ns + round(1e9 / HAND.control_rate_hz)
    world.send(HandCommand(world.now_ns, until, target))
    world.advance(until)


def test_beads_cover_a_finger_from_its_second_link_to_its_tip() -> None:
    beads = finger_beads(HAND)
    assert set(beads.link) == {1, 2}
    assert beads.radius.min() == pytest.approx(HAND.tips[0].radius)
    assert np.abs(beads.local[-3] - np.array(HAND.tips[0].position)).max() < 1e-12


def rule(**config: float) -> RegraspRule:
    made = RegraspRule(RegraspConfig(**{"after": 5, "near": 0.0, **config}), HAND, reached=0.38)  # type: ignore[arg-type]
    made.reset(GOAL)
    return made


def opened(made: RegraspRule, angles: list[float], state: SceneState = LYING) -> list[bool]:
    return [made.posture(state, angle) is not None for angle in angles]


def test_it_opens_after_as_many_steps_without_gain_and_counts_anew_with_each_gain() -> None:
    assert opened(rule(), [1.0] * 7) == [False] * 5 + [True] * 2
    gaining = [1.0 - 0.03 * k for k in range(20)]
    assert not any(opened(rule(), gaining))
    assert opened(rule(gain=0.2), gaining).index(True) == 5


def test_near_the_goal_it_waits_longer_for_there_is_more_to_lose() -> None:
    assert opened(rule(near=0.9, after_near=11), [0.8] * 13) == [False] * 11 + [True] * 2
    assert opened(rule(near=0.9, after_near=11), [0.95] * 7) == [False] * 5 + [True] * 2


def test_at_the_goal_in_the_air_and_where_the_card_says_never_it_does_not_open() -> None:
    assert not any(opened(rule(), [0.37] * 40))
    assert not any(opened(rule(after=0), [1.0] * 40))
    made = rule()
    made.reset(replace(GOAL, table_s=2.0))
    assert not any(opened(made, [1.0] * 40))


def test_it_ends_when_the_hand_is_open_the_goal_is_near_or_nothing_opens_it() -> None:
    home = replace(LYING, q=HAND.home)
    made = rule()
    assert opened(made, [1.0] * 8)[-1] and not opened(made, [1.0], home)[0]
    assert opened(made, [1.0] * 6) == [False] * 5 + [True]
    assert not opened(made, [0.3])[0]
    assert sum(opened(made, [1.0] * (6 + LONGEST))) == LONGEST


def test_a_new_goal_begins_with_no_memory_of_the_last_one() -> None:
    made = rule()
    assert opened(made, [1.0] * 6)[-1]
    made.reset(GOAL)
    assert not opened(made, [1.0])[0]


def test_a_deployed_policy_that_stands_still_brings_the_hand_home_and_goes_on(trained: Path) -> None:
    with_regrasp(trained, {"after": 12})
    policy, world = LearnedPolicy(HAND, trained), SimWorld(HAND, "truck", seed=3)
    world.arm()
    _go(world, HAND.home)
    runner, away = ReorientRunner(HAND, policy), list[float]()
    far = rotations.multiply(
        rotations.from_axis_angle(np.array([1.0, 0, 0]), np.array(3.0)), scene_state(world).quaternion
    )
    runner.start(Goal("truck", far), scene_state(world))
    for _ in range(120):
        step = runner.step(scene_state(world))
        assert step.verdict is None
        away.append(float(np.abs(world.read().q - HAND.home).max()))
        _go(world, step.target)
    later = np.array(away[12:])
    assert later.min() < 0.15 and later.max() > 0.3, "it opens, and then it acts again"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("soon", "the card's rule of letting go is none"),
        ({"after": -3}, "after"),
        ({"patience": 3}, "patience"),
    ],
)
def test_a_card_with_a_rule_that_is_none_is_refused_in_one_line(trained: Path, given: object, line: str) -> None:
    with_regrasp(trained, given)
    with pytest.raises(KnuckleError, match=line) as refused:
        read_card(trained, HAND)
    assert "\n" not in str(refused.value)


def with_regrasp(folder: Path, given: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["config"]["regrasp"] = given
    (folder / "card.json").write_text(json.dumps(card))
