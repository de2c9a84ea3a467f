"""Temperature, effort and lost servos: who is derated, released and locked, and what brings them back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.servo_guard import Lasting, ServoGuard
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.contracts import REBOOTED, SILENT
from knuckle.hardware.spec.dclaw import dclaw

SPEC = dclaw(3)
MS = 1_000_000
T = 1_000 * MS
TORQUE = SPEC.effort_limit


def one(value, joint=4, other=0.0, kind=float):
    values = np.full(SPEC.dof, other, dtype=kind)
    values[joint] = value
    return values


def celsius(value, joint=4, other=30.0):
    return {"temperature": one(value, joint, other)}


def bits(value, joint=4):
    return {"error": one(value, joint, 0, np.int32)}


@pytest.fixture
def guard() -> ServoGuard:
    return ServoGuard(SPEC, Config())


@pytest.mark.parametrize(
    ("degrees", "share"),
    [(-math.inf, 1.0), (30.0, 1.0), (60.0, 1.0), (61.0, 0.94), (65.0, 0.7), (69.0, 0.46), (69.999, 0.40006)],
)
def test_torque_falls_evenly_from_warm_to_hot(guard, state_at, degrees, share):
    assert guard.take(state_at(T, SPEC.home, **celsius(degrees))) == ""
    assert guard.limit == pytest.approx(one(share * TORQUE[4], other=TORQUE[0]))
    assert not guard.locked
    guard.take(state_at(T, SPEC.home, **celsius(30.0)))
    assert np.array_equal(guard.limit, TORQUE)


@pytest.mark.parametrize("degrees", [70.0, 80.0, math.inf])
def test_a_hot_servo_is_released_until_it_was_acknowledged_and_the_hand_is_armed(guard, state_at, degrees):
    assert guard.take(state_at(T, SPEC.home, **celsius(degrees))) == "too hot, released: 'joint_f2_1'"
    assert guard.limit == pytest.approx(one(0.0, other=TORQUE[0]))
    assert guard.take(state_at(T, SPEC.home, **celsius(degrees))) == ""
    assert guard.locked
    guard.take(state_at(T, SPEC.home, **celsius(60.5)))
    with pytest.raises(CommandRefused, match="still warm: 'joint_f2_1'; wait until it is below 60 degrees"):
        guard.acknowledge()
    assert guard.locked
    assert guard.limit[4] == 0.0
    guard.take(state_at(T, SPEC.home, **celsius(60.0)))
    assert guard.trouble() == "not acknowledged yet: 'joint_f2_1'"
    guard.acknowledge()
    assert (guard.locked, guard.trouble()) == (False, "")
    assert guard.limit[4] == 0.0
    guard.engage()
    assert np.array_equal(guard.limit, TORQUE)


def test_a_temperature_that_is_not_measured_derates_nothing_and_a_gap_keeps_the_last_one(guard, state_at):
    guard.take(state_at(T, SPEC.home))
    assert np.array_equal(guard.limit, TORQUE)
    guard.take(state_at(T, SPEC.home, **celsius(65.0)))
    guard.take(state_at(T, SPEC.home))
    assert guard.limit[4] == pytest.approx(0.7 * TORQUE[4])


def test_strain_that_lasts_derates_until_armed_anew(guard, state_at):
    def push(at, share):
        return guard.take(state_at(T + at * MS, SPEC.home, effort=one(-share * TORQUE[4])))

    push(0, 0.91)
    push(500, 0.9)
    push(510, 0.91)
    push(1509, 0.91)
    assert guard.limit[4] == TORQUE[4]
    assert push(1510, 0.91) == ""
    assert guard.limit == pytest.approx(one(0.4 * TORQUE[4], other=TORQUE[0]))
    push(1520, 0.0)
    assert guard.limit[4] == pytest.approx(0.4 * TORQUE[4])
    assert (guard.locked, guard.trouble()) == (False, "")
    guard.engage()
    assert np.array_equal(guard.limit, TORQUE)


def test_a_servo_that_pushes_harder_than_it_may_for_long_is_released(guard, state_at):
    def push(at, newton_metres):
        return guard.take(state_at(T + at * MS, SPEC.home, effort=one(newton_metres), **celsius(65.0)))

    allowed = (0.7 + 0.25) * TORQUE[4]
    push(0, allowed - 1e-9)
    push(10, allowed + 1e-9)
    assert push(1009, allowed + 1e-9) == ""
    # By now it strains too; what it may have falls, and it disobeys all the more.
    assert push(1010, allowed + 1e-9) == "pushes harder than it may, released: 'joint_f2_1'"
    assert guard.limit[4] == 0.0
    assert guard.locked
    assert push(3000, allowed + 1e-9) == ""


def test_effort_that_is_not_measured_strains_nothing(guard, state_at):
    for at in (0, 2000, 4000):
        guard.take(state_at(T + at * MS, SPEC.home, effort=np.full(SPEC.dof, math.nan)))
    assert np.array_equal(guard.limit, TORQUE)


@pytest.mark.parametrize(
    ("bit", "said"),
    [(1, "servo error"), (0x80, "servo error"), (SILENT, "no answer"), (REBOOTED, "rebooted")],
)
def test_a_lost_servo_is_named_once_and_locked_until_acknowledged(guard, state_at, bit, said):
    assert guard.take(state_at(T, SPEC.home, **bits(bit))) == f"{said}: 'joint_f2_1'"
    assert guard.take(state_at(T, SPEC.home, **bits(bit))) == ""
    assert guard.trouble() == "servo error reported by 'joint_f2_1'"
    guard.take(state_at(T, SPEC.home))
    assert guard.trouble() == "not acknowledged yet: 'joint_f2_1'"
    guard.acknowledge()
    assert (guard.locked, guard.trouble()) == (False, "")
    assert np.array_equal(guard.limit, TORQUE)


def test_an_error_that_was_acknowledged_stays_in_the_way_of_arming_until_it_is_gone(guard, state_at):
    guard.take(state_at(T, SPEC.home, **bits(SILENT)))
    guard.acknowledge()
    guard.take(state_at(T, SPEC.home, **bits(SILENT)))
    assert (guard.locked, guard.trouble()) == (False, "servo error reported by 'joint_f2_1'")
    # Restarted on the operator's word, it shows other bits until it is back.
    assert guard.take(state_at(T, SPEC.home, **bits(SILENT | 1))) == ""
    assert not guard.locked
    guard.take(state_at(T, SPEC.home))
    assert guard.trouble() == ""
    said = guard.take(state_at(T, SPEC.home, **bits(SILENT | 1)))
    assert said == "servo error: 'joint_f2_1'; no answer: 'joint_f2_1'"
    assert guard.locked


def test_all_troubles_are_named(guard, state_at):
    error = np.zeros(SPEC.dof, dtype=np.int32)
    error[[0, 1]] = SILENT, REBOOTED
    said = guard.take(state_at(T, SPEC.home, error=error, **celsius(75.0)))
    assert said == "too hot, released: 'joint_f2_1'; no answer: 'joint_f1_0'; rebooted: 'joint_f1_1'"
    assert guard.trouble() == "servo error reported by 'joint_f1_0', 'joint_f1_1'; not acknowledged yet: 'joint_f2_1'"


def test_what_lasts_begins_anew_after_a_break_and_after_a_clock_that_ran_backwards():
    lasting = Lasting(2, 100)
    yes, no = np.array([True, True]), np.array([True, False])
    assert lasting.judge(yes, 1000).tolist() == [False, False]
    assert lasting.judge(yes, 1099).tolist() == [False, False]
    assert lasting.judge(no, 1100).tolist() == [True, False]
    assert lasting.judge(yes, 1110).tolist() == [True, False]
    assert lasting.judge(yes, 1209).tolist() == [True, False]
    assert lasting.judge(yes, 1210).tolist() == [True, True]
    assert lasting.judge(yes, 0).tolist() == [False, False]
    assert lasting.judge(yes, 100).tolist() == [True, True]


# In the guarded hand


def test_a_warm_servo_is_derated_by_the_next_cycle_and_the_hand_stays_armed(rig):
    lease = rig.armed()
    calls = rig.raw.made("limit_effort")
    rig.raw.broken = celsius(65.0)
    rig.run()
    assert rig.raw.effort_limit == pytest.approx(one(0.7 * TORQUE[4], other=TORQUE[0]))
    rig.run(30 * MS)
    assert rig.raw.made("limit_effort") == calls + 1
    rig.send(lease)
    status = rig.hand.status()
    assert (status.state, status.problem) == (State.ARMED, "")
    assert np.array_equal(status.effort_limit, rig.raw.effort_limit)


def test_a_hot_servo_is_released_the_hand_holds_and_an_operator_must_acknowledge(rig):
    lease = rig.armed()
    rig.raw.broken = celsius(71.0)
    rig.run()
    status = rig.hand.status()
    assert (status.state, status.reason) == (State.HOLD, "too hot, released: 'joint_f2_1'")
    assert (status.torque, status.locked, status.latched) == (True, True, False)
    assert rig.raw.effort_limit == pytest.approx(one(0.0, other=TORQUE[0]))
    rig.refused("HOLD", lease)
    for refused in (rig.hand.rearm, lambda: rig.hand.arm("policy")):
        with pytest.raises(CommandRefused):
            refused()
    assert rig.raw.made("recover") == 0
    rig.raw.broken = celsius(55.0)
    rig.run()
    with pytest.raises(CommandRefused, match="not acknowledged yet: 'joint_f2_1'"):
        rig.hand.arm("policy")
    assert rig.hand.status().problem == "not acknowledged yet: 'joint_f2_1'"
    rig.hand.rearm()
    assert rig.raw.made("recover") == 1
    assert state_of(rig) is State.HOLD
    assert rig.raw.effort_limit[4] == 0.0
    rig.send(rig.hand.arm("policy"))
    assert np.array_equal(rig.raw.effort_limit, TORQUE)
    calls = rig.raw.made("limit_effort")
    rig.run(50 * MS)
    assert rig.raw.made("limit_effort") == calls
    assert rig.raw.calls[-8][0] == "limit_effort"
    assert rig.raw.calls[-7][0] == "arm"


@pytest.mark.parametrize("bit", [SILENT, REBOOTED, 0x20])
def test_after_a_lost_servo_no_old_goal_resumes_and_arming_needs_an_operator(rig, bit):
    lease = rig.armed()
    rig.send(lease, rig.raw.q + 0.25)
    rig.run()
    rig.raw.broken = bits(bit)
    rig.run()
    assert state_of(rig) is State.HOLD
    assert np.array_equal(rig.raw.target, rig.raw.q)
    held, sent = rig.raw.target.copy(), len(rig.raw.sent)
    rig.raw.broken = {}
    rig.run(500 * MS)
    with pytest.raises(CommandRefused, match="not acknowledged yet"):
        rig.hand.arm("policy")
    rig.refused("HOLD", lease)
    rig.hand.rearm()
    rig.run(500 * MS)
    assert np.array_equal(rig.raw.target, held)
    assert len(rig.raw.sent) == sent
    assert rig.hand.arm("policy") != lease


def test_servos_that_cannot_recover_stay_locked(rig):
    rig.run()
    rig.raw.broken = bits(SILENT)
    rig.run()
    rig.raw.failing = {"recover"}
    with pytest.raises(DeviceError, match="recover failed"):
        rig.hand.rearm()
    assert rig.hand.status().locked
    rig.raw.failing = set()
    rig.hand.rearm()
    assert not rig.hand.status().locked
    with pytest.raises(CommandRefused, match="servo error reported by"):
        rig.hand.arm("policy")
    rig.hand.rearm()
    assert rig.raw.made("recover") == 3
    rig.raw.broken = {}
    rig.run()
    rig.hand.arm("policy")


def test_a_device_that_gives_no_joint_states_is_told_to_recover_by_an_operator(rig):
    rig.armed()
    rig.raw.failing = {"read", "recover"}
    rig.run(50 * MS)
    assert state_of(rig) is State.HOLD
    with pytest.raises(DeviceError, match="recover failed"):
        rig.hand.rearm()
    rig.raw.failing = {"read"}
    rig.hand.rearm()
    assert rig.raw.made("recover") == 2
    # A stop can be cleared all the same, and leaves the device to the next word.
    rig.hand.emergency_stop("page")
    rig.hand.rearm()
    assert state_of(rig) is State.HOLD
    assert rig.raw.made("recover") == 2
    rig.raw.failing = set()
    rig.run(50 * MS)
    with pytest.raises(CommandRefused, match="nothing is latched"):
        rig.hand.rearm()
    rig.hand.arm("policy")


def test_one_rearm_clears_a_stop_and_acknowledges_servos(rig):
    rig.run()
    rig.raw.broken = bits(REBOOTED)
    rig.run()
    rig.hand.emergency_stop("page")
    rig.raw.failing = {"recover"}
    with pytest.raises(DeviceError):
        rig.hand.rearm()
    assert (state_of(rig), bool(rig.latch.engaged())) == (State.STOPPED, True)
    rig.raw.failing, rig.raw.broken = set(), {}
    rig.run()
    rig.hand.rearm()
    assert (state_of(rig), rig.hand.status().locked, rig.latch.engaged()) == (State.HOLD, False, "")


def test_a_hand_whose_torque_cannot_be_bounded_says_so_is_not_armed_and_is_told_again(rig):
    rig.run()
    rig.raw.broken, rig.raw.failing = celsius(65.0), {"limit_effort"}
    rig.run()
    assert rig.hand.status().problem == "fake hand: limit_effort failed; a hand that works"
    with pytest.raises(CommandRefused, match="limit_effort failed"):
        rig.hand.arm("policy")
    rig.raw.failing = set()
    rig.run()
    assert rig.hand.status().problem == ""
    assert rig.raw.effort_limit[4] == pytest.approx(0.7 * TORQUE[4])
    rig.raw.failing = {"limit_effort"}
    with pytest.raises(DeviceError, match="limit_effort failed"):
        rig.hand.arm("policy")
    assert (state_of(rig), rig.raw.made("arm")) == (State.HOLD, 0)


def test_what_is_wrong_outside_the_hand_holds_it_and_keeps_it_from_being_armed(rig):
    lease = rig.armed()
    rig.hand.concern("the watchdog died")
    status = rig.hand.status()
    assert (status.state, status.reason, status.problem) == (State.HOLD, "the watchdog died", "the watchdog died")
    rig.refused("the watchdog died", lease)
    with pytest.raises(CommandRefused, match="the watchdog died"):
        rig.hand.arm("policy")
    rig.hand.concern("")
    assert (state_of(rig), rig.hand.status().problem) == (State.HOLD, "")
    rig.hand.arm("policy")
    rig.hand.concern("")
    assert state_of(rig) is State.ARMED


def state_of(rig) -> State:
    return rig.hand.status().state


def test_effort_of_exactly_what_is_too_much_is_not_yet_too_much(guard, state_at):
    for at in (0, 1000):
        guard.take(state_at(T + at * MS, SPEC.home, effort=one(TORQUE[4] + 0.25 * TORQUE[4])))
    assert not guard.locked
    assert guard.limit[4] == pytest.approx(0.4 * TORQUE[4])
