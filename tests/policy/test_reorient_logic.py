"""The logic around a controller: pairing, phases, verdicts, scoring. No simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.baselines import DoNothing
from knuckle.policy.contract import Goal, PolicySpec, SceneState
from knuckle.policy.controllers import make_controller
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.mpc_proposals import elite_mean, knot_weights, proposals, shifted
from knuckle.policy.reorient_runner import ReorientRunner, Verdict
from knuckle.policy.reorient_score import EpisodeScore, angle_histogram, figures_of
from knuckle.policy.scene_tracker import SceneTracker
from knuckle.policy.turning_phase import Phase, TurningPhase

HAND = hand_spec("dclaw3")
PERIOD_NS = round(1e9 / 12)
X_TURN = rotations.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.array(0.3))


def scene(step: int, quaternion: np.ndarray = rotations.IDENTITY, *, x: float = 0.0, spin: float = 0.0) -> SceneState:
    zero = np.zeros(3)
    return SceneState(
        step * PERIOD_NS,
        HAND.home.copy(),
        np.zeros(9),
        np.array([x, 0, 0.05]),
        quaternion,
        zero,
        np.array([spin, 0, 0]),
    )


class DoneAt(DoNothing):
    """Declares done at the given call."""

    def __init__(self, call: int) -> None:
        super().__init__(HAND)
        self.call, self.calls = call, 0

    def act(self, state: SceneState) -> tuple[np.ndarray, float]:
        self.calls += 1
        return np.zeros(9), float(self.calls >= self.call)


def run(policy: DoNothing, quaternion: np.ndarray = rotations.IDENTITY, limit: float = 1.0, **last: float) -> Verdict:
    runner = ReorientRunner(HAND, policy)
    runner.start(Goal("hammer", rotations.IDENTITY, 0.4, limit), scene(0, quaternion))
    for step in range(200):
        verdict = runner.step(scene(step, quaternion, **(last if step > 6 else {}))).verdict
        if verdict is not None:
            return verdict
    raise AssertionError("the goal never ended")


def test_done_within_the_tolerance_and_still_half_a_second_later_succeeds() -> None:
    verdict = run(DoneAt(5), X_TURN)
    assert verdict.outcome == "succeeded" and math.isclose(verdict.angle, 0.3)
    assert math.isclose(verdict.duration, 4 * PERIOD_NS * 1e-9)


def test_done_while_the_object_spins_at_the_check_is_missed() -> None:
    assert run(DoneAt(5), spin=1.0).outcome == "missed"


def test_never_declaring_done_times_out_outside_and_counts_inside_the_tolerance() -> None:
    far = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(1.0))
    assert run(DoNothing(HAND), far).outcome == "timed_out"
    inside = run(DoNothing(HAND))
    assert inside.outcome == "succeeded" and not inside.declared_done and inside.duration >= 1.0


def test_an_object_that_leaves_ends_the_goal_as_dropped() -> None:
    assert run(DoNothing(HAND), x=0.2).outcome == "dropped"


def test_in_the_air_time_counts_from_the_tables_removal_and_done_is_not_asked_for_before() -> None:
    runner = ReorientRunner(HAND, DoneAt(5))
    runner.start(Goal("hammer", rotations.IDENTITY, 0.4, 2.0, table_s=1.0), scene(0))
    steps = [runner.step(scene(k)).verdict for k in range(21)]
    assert all(verdict is None for verdict in steps[:18])
    verdict = next(v for v in steps if v is not None)
    assert verdict.outcome == "succeeded" and verdict.duration <= 1.01 / 12.0


def test_in_the_air_what_falls_below_the_tips_is_dropped() -> None:
    runner = ReorientRunner(HAND, DoNothing(HAND))
    runner.start(Goal("hammer", rotations.IDENTITY, 0.4, 2.0, table_s=0.5), scene(0))
    assert runner.step(low(scene(3))).verdict is None
    verdict = runner.step(low(scene(8))).verdict
    assert verdict is not None and verdict.outcome == "dropped"


def low(state: SceneState) -> SceneState:
    """The same scene with the object 11 cm lower: below every fingertip, but not far away."""
    return replace(state, position=state.position - np.array([0.0, 0.0, 0.11]))


def test_the_verdict_is_the_truths_where_it_is_known() -> None:
    runner = ReorientRunner(HAND, DoneAt(2))
    far = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(1.0))
    runner.start(Goal("hammer", rotations.IDENTITY, 0.4, 1.0), scene(0))
    verdicts = [runner.step(scene(k), scene(k, far)).verdict for k in range(9)]
    verdict = next(v for v in verdicts if v is not None)
    assert verdict.outcome == "missed" and verdict.angle == pytest.approx(1.0)


def test_without_a_goal_the_posture_is_kept() -> None:
    runner = ReorientRunner(HAND, DoNothing(HAND))
    first = runner.step(scene(0)).target
    moved = SceneState(
        1, HAND.home + 0.2, *[getattr(scene(1), f) for f in ("dq", "position", "quaternion", "velocity", "spin")]
    )
    assert np.array_equal(first, HAND.home) and np.array_equal(runner.step(moved).target, first)


@given(st.permutations(list(range(8))))
def test_scene_states_depend_on_stamps_not_on_the_order_of_arrival(order: list[int]) -> None:
    tracker, seen = SceneTracker(HAND), []
    for i in order:
        k = i // 2
        stamp = (k + 1) * PERIOD_NS
        if i % 2:
            got = tracker.push_joints(stamp, np.full(9, float(k)), np.zeros(9))
        else:
            got = tracker.push_pose(stamp, np.array([0.01 * k, 0, 0]), rotations.IDENTITY)
        if got is not None:
            seen.append(got)
    assert sorted(s.stamp_ns for s in seen) == [(k + 1) * PERIOD_NS for k in range(4)]
    assert all(s.q[0] == s.stamp_ns / PERIOD_NS - 1 for s in seen)


@pytest.mark.parametrize("pose_first", [True, False])
def test_a_pose_between_joint_states_is_paired_with_the_joints_of_its_moment(pose_first: bool) -> None:
    ms, tracker = 1_000_000, SceneTracker(HAND)
    seen: list[SceneState | None] = []
    for k in range(8):
        pose = (40 * k + 30) * ms, np.zeros(3), rotations.IDENTITY
        if pose_first:
            seen.append(tracker.push_pose(*pose))
        seen.append(tracker.push_joints(40 * (k + 1) * ms, np.full(9, 0.1 * (k + 1)), np.full(9, 1.0 * (k + 1))))
        if not pose_first:
            seen.append(tracker.push_pose(*pose))
    states = [state for state in seen if state is not None]
    assert [state.stamp_ns for state in states] == [(40 * k + 30) * ms for k in range(1, 8)]
    assert all(np.allclose(state.q, 0.1 * state.stamp_ns / (40 * ms)) for state in states)
    assert all(np.allclose(state.dq, state.stamp_ns / (40 * ms)) for state in states)
    assert tracker.push_pose(states[-1].stamp_ns, np.zeros(3), rotations.IDENTITY) is None
    tracker.push_joints(2000 * ms, np.zeros(9), np.zeros(9))
    tracker.push_pose(2030 * ms, np.zeros(3), rotations.IDENTITY)
    assert tracker.push_joints(2200 * ms, np.zeros(9), np.zeros(9)) is None


def test_velocity_and_spin_come_from_successive_poses() -> None:
    tracker = SceneTracker(HAND)
    turn = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(0.05))
    pair = None
    for stamp, place, q in ((0, 0.0, rotations.IDENTITY), (PERIOD_NS, 0.01, turn)):
        tracker.push_joints(stamp, HAND.home, np.zeros(9))
        pair = tracker.push_pose(stamp, np.array([place, 0.0, 0.0]), q)
    assert pair is not None
    assert np.allclose(pair.velocity, [0.12, 0, 0], rtol=1e-6) and np.allclose(pair.spin, [0, 0, 0.6], rtol=1e-6)


def test_the_phase_lets_go_when_stuck_and_settles_at_the_goal() -> None:
    config = MpcConfig()
    phase = TurningPhase(config, tolerance=0.4, limit_steps=180, rate_hz=12.0)
    stuck = [phase.update(2.0, False) for _ in range(config.stuck_steps + 2)]
    assert stuck[0] is Phase.TURN and stuck[-1] is Phase.REGRASP
    for _ in range(config.regrasp_steps):
        phase.update(2.0, False)
    assert phase.phase is Phase.TURN
    for _ in range(config.settle_steps):
        assert not phase.done(0.05)
        phase.update(0.05, True)
    assert phase.phase is Phase.SETTLE and phase.done(0.05) and not phase.done(0.5)


def test_the_grip_is_frozen_before_the_limit() -> None:
    phase = TurningPhase(MpcConfig(), tolerance=0.4, limit_steps=24, rate_hz=12.0)
    assert [phase.update(2.0, False) for _ in range(24)][-1] is Phase.SETTLE


@given(st.integers(0, 10_000))
def test_proposals_stay_within_limits_keep_the_plan_and_repeat_with_the_seed(seed: int) -> None:
    config = MpcConfig(samples=16)
    plan = np.tile(HAND.home, (config.knots, 1))
    a = proposals(plan, HAND.home, HAND, config, np.random.default_rng(seed))
    assert (a >= HAND.lower).all() and (a <= HAND.upper).all() and np.array_equal(a[0], plan)
    assert np.array_equal(a, proposals(plan, HAND.home, HAND, config, np.random.default_rng(seed)))


def test_interpolation_weights_sum_to_one_and_a_shift_moves_the_plan_by_one_step() -> None:
    config = MpcConfig()
    weights = knot_weights(config)
    assert np.allclose(weights.sum(axis=1), 1.0)
    line = np.linspace(0.0, 1.0, config.knots)[:, None] * np.ones(9)
    moved = weights @ shifted(line, config)
    assert np.allclose(moved[: config.horizon - 4], (weights @ line)[1 : config.horizon - 3])


def test_the_elite_mean_lies_among_the_cheapest() -> None:
    config = MpcConfig(elite=2)
    candidates = np.arange(4.0)[:, None, None] * np.ones((4, config.knots, 9))
    mean = elite_mean(candidates, np.array([5.0, 1.0, 1.5, 9.0]), config)
    assert (mean >= 1.0).all() and (mean < 1.5).all()


def score(angle: float, *, still: bool = True, dropped: bool = False, duration: float = 4.0) -> EpisodeScore:
    return EpisodeScore("hammer", 2.0, angle, True, still, dropped, duration, 8.0)


def test_figures_follow_the_protocol() -> None:
    scores = [score(0.05), score(0.3, duration=6.0), score(0.05, still=False), score(0.05, dropped=True)]
    figures, intervals = figures_of(scores)
    assert figures["success_0p1"] == 0.25 and figures["success_0p4"] == 0.5 and figures["drop_rate"] == 0.25
    assert figures["median_time_s"] == 5.0 and figures["median_time_all_s"] == 10.5
    assert figures["real_time_factor"] == pytest.approx(18.0 / 32.0)
    assert intervals["success_0p4"][0] < 0.5 < intervals["success_0p4"][1]
    assert sum(count for *_, count in angle_histogram(scores)) == 4


def test_later_goals_are_counted_by_how_the_one_before_ended_and_change_nothing_of_the_first() -> None:
    near, far = score(0.3), score(1.0)
    rows = [replace(near, later=(near, far, near)), replace(far, later=(far, score(0.3, dropped=True)))]
    figures, intervals = figures_of(rows)
    assert figures["success_0p4"] == 0.5 and figures["drop_rate"] == 0.0
    assert figures["later_success_0p4"] == pytest.approx(2 / 5) and figures["later_drop_rate"] == pytest.approx(1 / 5)
    assert figures["after_success_0p4"] == pytest.approx(1 / 2)  # near near, near far
    assert figures["after_failure_0p4"] == pytest.approx(1 / 3)  # far near, far far, far dropped
    assert figures["goals_in_a_row"] == pytest.approx((2 + 0) / 2)
    assert intervals["after_failure_0p4"][0] < 1 / 3 < intervals["after_failure_0p4"][1]
    assert "later_success_0p4" not in figures_of([near, far])[0]
    never_after = figures_of([replace(near, later=(near,))])[0]
    assert math.isnan(never_after["after_failure_0p4"]) and never_after["goals_in_a_row"] == 2.0


def test_no_success_gives_no_median_time_rather_than_a_wrong_one() -> None:
    figures, _ = figures_of([score(1.0)])
    assert math.isnan(figures["median_time_s"]) and figures["median_time_all_s"] == 15.0


@pytest.mark.parametrize("quaternion", [np.zeros(4), np.full(4, 0.9), np.array([np.nan, 0, 0, 1])])
def test_a_goal_that_is_no_rotation_is_refused(quaternion: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"goal orientation: .*; a unit quaternion"):
        make_controller("mpc", HAND).check(Goal("hammer", quaternion))


def test_an_unknown_object_or_controller_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown object 'hamer'; did you mean 'hammer'"):
        make_controller("mpc", HAND).check(Goal("hamer", rotations.IDENTITY))
    with pytest.raises(InputError, match="unknown controller 'mcp'; did you mean 'mpc'"):
        make_controller("mcp", HAND)


def test_a_policy_says_for_which_hand_it_is() -> None:
    assert make_controller("nothing", HAND).spec == PolicySpec("nothing", "dclaw3", HAND.joint_names, 12.0)
