"""Silence, clocks, joint states that cannot be believed and commanders that die: what leads to HOLD, and when."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.dclaw import dclaw

SPEC = dclaw(3)
NAMES = SPEC.joint_names
MS = 1_000_000
PERIOD = round(1e9 / SPEC.control_rate_hz)


def state_of(rig) -> State:
    return rig.hand.status().state


@pytest.mark.parametrize("validity", [1, 20 * MS, PERIOD, 150 * MS, 10_000 * MS])
def test_silence_keeps_the_target_for_one_cycle_then_decelerates_and_holds_by_250_ms(rig, validity):
    lease = rig.armed()
    rig.run(50 * MS)
    target = rig.send(lease, rig.raw.q + 0.25, validity=validity).q
    start = rig.now
    begins = min(min(validity, 200 * MS) + PERIOD, 180 * MS)
    assert rig.raw.sent[-1].valid_until_ns == start + begins + 60 * MS
    while state_of(rig) is State.ARMED:
        if rig.now - start < begins:
            assert np.array_equal(rig.raw.target, target)
        else:
            assert rig.raw.sent[-1].stamp_ns == rig.now
            assert rig.raw.sent[-1].valid_until_ns == rig.now + 60 * MS
        rig.run()
    took = rig.now - start
    assert begins + 60 * MS <= took <= min(begins + 70 * MS, 250 * MS)
    assert len(rig.raw.sent) in (6, 7)
    status = rig.hand.status()
    assert (status.state, status.holder) == (State.HOLD, "")
    assert status.reason == f"'policy' sent no command for {took / MS:.0f} ms"
    assert np.array_equal(rig.raw.target, rig.raw.q)
    assert rig.raw.made("hold") == 2


def test_a_moving_joint_is_decelerated_between_where_it_is_and_where_it_was_sent(rig):
    lease = rig.armed()
    target = rig.send(lease, SPEC.home + 0.25, validity=1).q
    rig.raw.broken = {"q": SPEC.home, "dq": np.full(SPEC.dof, 2.0)}
    rig.run(90 * MS)
    began = PERIOD + 1
    ways = []
    while state_of(rig) is State.ARMED:
        rig.run()
        ways.append((rig.now - 10 * MS - began, rig.raw.sent[-1].q - SPEC.home))
    ways = ways[:-1]
    assert len(ways) >= 4
    for passed, way in ways:
        t = passed * 1e-9
        assert np.allclose(way, 2.0 * (t - t * t / 0.12), atol=1e-9)
    assert all((first[1] <= second[1]).all() for first, second in pairwise(ways))
    assert (ways[-1][1] <= np.minimum(0.06, target - SPEC.home) + 1e-9).all()


def test_a_late_command_ends_the_deceleration_and_is_bounded_from_where_that_came_to(rig):
    lease = rig.armed()
    rig.send(lease, rig.raw.q + 0.25, validity=1)
    rig.run(110 * MS)
    assert state_of(rig) is State.ARMED
    ramped = rig.raw.sent[-1].q
    stamp = rig.raw.sent[0].stamp_ns
    assert rig.raw.sent[-1].stamp_ns > stamp
    age = rig.now - stamp - MS
    late = rig.send(lease, SPEC.home - 9.0, age=age, validity=age + 80 * MS)
    gain = 1.25 * 2 * (7.0 + SPEC.velocity_limit) * 12.0 * 0.001
    low = np.maximum(SPEC.lower, rig.raw.q - 0.30625 - SPEC.velocity_limit * (rig.now - stamp - MS) * 1e-9)
    assert np.allclose(late.q, np.maximum(low, ramped - gain * 0.001), atol=1e-9)
    rig.run(50 * MS)
    assert state_of(rig) is State.ARMED
    assert np.array_equal(rig.raw.sent[-1].q, late.q)
    assert rig.hand.status().expired == 1


@pytest.mark.parametrize("failure", ["failing", "refusing"])
def test_a_raw_hand_that_fails_while_it_decelerates_holds_at_once(rig, failure):
    lease = rig.armed()
    rig.send(lease, validity=1)
    rig.run(80 * MS)
    if failure == "failing":
        rig.raw.failing = {"send"}
    else:
        rig.raw.refusing = True
    rig.run(20 * MS)
    assert state_of(rig) is State.HOLD
    assert ("send failed" if failure == "failing" else "busy") in rig.hand.status().reason


def test_too_many_late_commands_are_a_problem_until_ten_seconds_have_passed(rig):
    lease = rig.armed()

    def late(gap):
        rig.run(gap)
        rig.send(lease, validity=40 * MS)

    rig.send(lease, validity=40 * MS)
    late(60 * MS)
    status = rig.hand.status()
    assert (status.expired, status.problem) == (1, "")
    assert status.miss_share == pytest.approx(1 / 120)
    late(60 * MS)
    assert rig.hand.status().problem == "1.7% of the commands of the last 10 s were late"
    for _ in range(330):
        late(30 * MS)
    assert (rig.hand.status().expired, rig.hand.status().problem) == (
        2,
        "1.7% of the commands of the last 10 s were late",
    )
    late(30 * MS)
    assert (rig.hand.status().expired, rig.hand.status().problem) == (2, "")
    late(30 * MS)
    late(30 * MS)
    assert rig.hand.status().miss_share == 0.0


def test_each_late_command_is_counted_once_and_a_prompt_one_never(rig):
    lease = rig.armed()
    rig.send(lease)
    for _ in range(5):
        rig.run(40 * MS)
        rig.send(lease, validity=40 * MS)
    assert rig.hand.status().expired == 0
    for n in (1, 2, 3):
        rig.run(80 * MS)
        rig.send(lease, validity=40 * MS)
        assert rig.hand.status().expired == n
    rig.run(40 * MS)
    assert (rig.hand.status().expired, state_of(rig)) == (3, State.ARMED)


def test_the_first_command_may_take_longer_but_not_for_ever(rig):
    rig.armed()
    rig.run(1_990 * MS)
    assert state_of(rig) is State.ARMED
    rig.run(10 * MS)
    status = rig.hand.status()
    assert (status.state, status.reason) == (State.HOLD, "no command within 2 s of arming")
    assert status.expired == 0


def test_refused_commands_do_not_count_as_a_sign_of_life(rig):
    lease = rig.armed()
    rig.send(lease)
    for _ in range(25):
        rig.run()
        with pytest.raises(CommandRefused):
            rig.send(lease, names=NAMES[1:])
    assert state_of(rig) is State.HOLD


def test_a_clock_that_runs_backwards_leads_to_hold_and_goes_on_after_arming(rig):
    lease = rig.armed()
    rig.run(500 * MS)
    rig.send(lease)
    rig.now = rig.raw.now_ns = 100 * MS
    rig.hand.tick(rig.now)
    status = rig.hand.status()
    assert (status.state, status.reason) == (State.HOLD, "the clock ran backwards by 410 ms")
    assert status.since_ns < 500 * MS + rig.now
    assert status.command_age_s == 0.0
    lease = rig.armed()
    rig.send(lease)
    rig.run(50 * MS)
    assert rig.hand.status().command_age_s == pytest.approx(0.05)
    assert state_of(rig) is State.ARMED


def test_a_clock_that_stands_still_is_no_fault(rig):
    """Simulated time waits for the planner while driver cycles go on."""
    lease = rig.armed()
    rig.send(lease)
    for _ in range(100):
        assert rig.hand.tick(rig.now) is not None
    assert state_of(rig) is State.ARMED


def test_a_clock_that_jumps_ahead_an_hour_leads_to_hold(rig):
    lease = rig.armed()
    rig.send(lease)
    rig.now += 3_600_000 * MS
    rig.run()
    assert state_of(rig) is State.HOLD


@pytest.mark.parametrize("failure", [{"q": np.full(9, math.nan)}, {"dq": np.full(9, math.inf)}, {"q": np.zeros(3)}])
def test_a_bad_joint_state_is_replaced_for_two_cycles_then_hold(rig, failure):
    lease = rig.armed()
    good = rig.run()
    rig.raw.broken = failure
    assert rig.run() is good
    rig.send(lease, good.q + 0.1)
    assert rig.run() is good
    assert state_of(rig) is State.ARMED
    assert rig.run() is None
    status = rig.hand.status()
    assert (status.state, status.bad_states) == (State.HOLD, 3)
    assert status.reason.startswith("joint state")
    assert status.problem == status.reason
    assert all(np.isfinite(command.q).all() for command in rig.raw.sent)
    rig.raw.broken = {}
    assert rig.run() is not None
    assert (state_of(rig), rig.hand.status().problem) == (State.HOLD, "")


def test_a_raw_hand_that_does_not_answer_leads_to_hold(rig):
    rig.armed()
    rig.raw.failing = {"read"}
    rig.run(20 * MS)
    assert state_of(rig) is State.ARMED
    assert rig.run() is None
    assert (state_of(rig), rig.hand.status().reason) == (State.HOLD, "fake hand: read failed; a hand that works")


def test_a_frozen_joint_state_leads_to_hold(rig):
    lease = rig.armed()
    rig.raw.broken = {"stamp_ns": rig.now}
    for _ in range(13):
        assert state_of(rig) is State.ARMED
        rig.run()
        if rig.raw.made("read") < 10:
            rig.send(lease)
    assert "ms old" in rig.hand.status().reason


def test_a_servo_error_leads_to_hold_at_once(rig):
    rig.armed()
    rig.raw.broken = {"error": np.eye(1, SPEC.dof, 8, dtype=np.int32)[0]}
    assert rig.run() is not None
    assert rig.hand.status().reason == "servo error: 'joint_f3_2'"
    assert state_of(rig) is State.HOLD


def test_a_fault_never_turns_torque_off(rig):
    rig.armed()
    rig.raw.failing = {"read"}
    rig.run(100 * MS)
    rig.hand.emergency_stop("page")
    rig.run(100 * MS)
    assert rig.raw.torque
    assert rig.raw.made("release") == 0
    assert rig.raw.made("hold") == 3


def test_a_fault_never_turns_torque_on(rig):
    rig.run()
    rig.hand.release()
    rig.raw.failing = {"read"}
    rig.run(100 * MS)
    status = rig.hand.status()
    assert (status.state, status.torque, rig.raw.torque) == (State.RELEASED, False, False)
    assert rig.raw.made("hold") == 1


def test_the_death_of_the_commander_leads_to_hold_at_once_and_of_another_to_nothing(rig):
    lease = rig.armed("policy")
    rig.send(lease, rig.raw.q + 0.2)
    rig.run()
    for name in ("page", "", "polic"):
        assert not rig.hand.commander_died(name)
    assert state_of(rig) is State.ARMED
    assert rig.hand.commander_died("policy")
    status = rig.hand.status()
    assert (status.state, status.holder, status.reason) == (State.HOLD, "", "commander 'policy' died")
    assert np.array_equal(rig.raw.target, rig.raw.q)
    assert not rig.hand.commander_died("policy")
    assert not rig.hand.commander_died("")
    rig.refused("commander 'policy' died", lease)


def test_release_takes_torque_off_and_only_arming_brings_it_back(rig):
    lease = rig.armed()
    rig.hand.release("page")
    status = rig.hand.status()
    assert (status.state, status.torque, status.reason) == (State.RELEASED, False, "release asked by 'page'")
    assert not rig.raw.torque
    rig.refused("the hand is RELEASED", lease)
    with pytest.raises(CommandRefused, match="arm the hand"):
        rig.hand.hold()
    assert not rig.raw.torque
    rig.hand.arm("policy")
    assert rig.raw.torque


def test_a_release_that_failed_is_tried_again(rig):
    rig.run()
    rig.raw.failing = {"release"}
    rig.hand.release()
    assert (rig.raw.torque, rig.hand.status().problem) == (True, "fake hand: release failed; a hand that works")
    rig.raw.failing = set()
    rig.run()
    assert (rig.raw.torque, rig.hand.status().problem) == (False, "")


def test_hold_keeps_the_posture_measured_on_entering(rig):
    lease = rig.armed()
    rig.send(lease, rig.raw.q + 0.25)
    rig.run(20 * MS)
    rig.hand.hold()
    rig.run(500 * MS)
    entered = rig.raw.q.copy()
    assert (np.abs(entered - SPEC.home) < 0.24).all()
    rig.run(500 * MS)
    assert np.array_equal(rig.raw.q, entered)
    assert rig.hand.status().reason == "hold asked by 'operator'"


def test_a_clock_that_runs_backwards_by_a_nanosecond_is_noticed_and_late_commands_are_counted_anew(rig):
    lease = rig.armed()
    rig.send(lease, validity=1)
    rig.run(20 * MS)
    assert rig.hand.status().miss_share > 0.0
    rig.hand.tick(rig.now - 1)
    assert rig.hand.status().reason == "the clock ran backwards by 0 ms"
    assert (rig.hand.status().miss_share, rig.hand.status().expired) == (0.0, 1)


def test_time_may_begin_at_zero(rig):
    rig.hand.tick(0)
    assert rig.hand.history() == []


def test_a_fault_is_stamped_with_the_time_of_the_command_that_brought_it(rig):
    lease = rig.armed()
    rig.send(lease)
    rig.now += 3 * MS
    rig.refused("NaN", lease, np.full(SPEC.dof, math.nan))
    assert rig.hand.status().since_ns == rig.now


def test_a_fault_outside_the_hand_leads_to_hold_and_leaves_a_stop_alone(rig):
    lease = rig.armed()
    rig.hand.fault("the roof leaks")
    assert (state_of(rig), rig.hand.status().reason) == (State.HOLD, "the roof leaks")
    rig.refused("the roof leaks", lease)
    rig.hand.arm("policy")
    rig.hand.emergency_stop("page")
    rig.hand.fault("the roof leaks")
    assert state_of(rig) is State.STOPPED
