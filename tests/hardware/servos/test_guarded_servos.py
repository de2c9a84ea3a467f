"""The safety layer over the real servo driver, judged by the bytes: from an event to the last goal that moves.

In virtual time, where a figure is the same on every machine: cycles of 10 ms, a policy that never stands still.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused, DeviceError, KnuckleError
from knuckle.hardware.dynamixel.drive import ARMED, HOLDING, RELEASED
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.contracts import HandCommand, HandState
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import WATCHDOG_EXPIRED
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.virtual.monitor import GOAL_POSITION, Envelope, ServoMonitor

SPEC = dclaw(3)
MS = 1_000_000
ROUND = 8


class DrivenHand:
    """The Hand contract over a drive that the test cycles, as DynamixelHand's own thread would."""

    def __init__(self, wire) -> None:
        self.wire, self.drive = wire, wire.open()

    @property
    def spec(self) -> HandSpec:
        return self.drive.spec

    def read(self) -> HandState:
        if self.drive.state is None:
            raise DeviceError("nothing read yet")
        return self.drive.state

    def send(self, command: HandCommand) -> HandCommand:
        return self.drive.follow(command)

    def arm(self) -> None:
        self.drive.order(ARMED)

    def hold(self) -> None:
        self.drive.order(HOLDING)

    def release(self) -> None:
        self.drive.order(RELEASED)

    def limit_effort(self, limit: Array) -> None:
        self.drive.limit_effort(limit)

    def recover(self) -> None:
        self.drive.recover()


class Bench:
    """A guarded hand on virtual servos, an independent monitor of the bytes, and a policy that may be disturbed."""

    def __init__(self, wire, folder: Path) -> None:
        self.wire = wire
        self.raw = DrivenHand(wire)
        tokens = map(str, itertools.count(1))
        self.hand = GuardedHand(self.raw, StopLatch(folder / "stop.json"), lambda: next(tokens))
        self.monitor = ServoMonitor(Envelope.of_hand(SPEC), wire.bus.truth())
        wire.bus.taps.append(self.monitor.observe)
        self.lease, self.count = "", 0
        self.targets: Callable[[Array], Array] = self.swing

    @property
    def now(self) -> int:
        return self.wire.port.now_ns

    @property
    def state(self) -> State:
        return self.hand.status().state

    def swing(self, q: Array) -> Array:
        """Always on the move, within a step."""
        return q + 0.25 * math.sin(0.7 * self.count) * np.where(q > SPEC.home + 0.2, -1.0, 1.0)

    def cycles(self, number: int, policy: bool = True) -> None:
        """Driver cycles; every eighth answered by the policy."""
        for _ in range(number):
            self.wire.cycle()
            state = self.hand.tick(self.now)
            self.count += 1
            if policy and state is not None and self.count % ROUND == 0:
                with contextlib.suppress(KnuckleError):
                    self.command(state)

    def command(self, state: HandState) -> HandCommand:
        until = state.stamp_ns + round(1e9 / SPEC.control_rate_hz)
        return self.hand.command(SPEC.joint_names, self.targets(state.q), state.stamp_ns, until, self.lease, self.now)

    def moving(self) -> Bench:
        """Armed, at full torque, and under way."""
        self.cycles(3, policy=False)
        self.lease = self.hand.arm("policy")
        self.cycles(120)
        assert self.state is State.ARMED
        assert self.last_move(self.now - 100 * MS) is not None
        return self

    def last_move(self, since: int) -> int | None:
        return self.monitor.last_moving_goal_ns(since_ns=since)

    def stops_within(self, limit_ms: float, event: int) -> float:
        """ms from ``event`` to the last goal that moved; then nothing moves for half a second, and no write was bad."""
        self.monitor.announce("hold", event, grace_s=limit_ms * 1e-3)
        self.cycles(50 + round(limit_ms / 10))
        last = self.last_move(event)
        took = 0.0 if last is None else (last - event) * 1e-6
        print(f"{took:.1f} ms")
        assert took <= limit_ms
        assert self.monitor.unsafe_writes == 0, self.monitor.violations()[:3]
        return took


@pytest.fixture
def bench(wire_hand, tmp_path: Path) -> Bench:
    """Moving."""
    return Bench(wire_hand(), tmp_path).moving()


def test_a_policy_that_falls_silent_decelerates_and_holds_by_250_ms(bench):
    event = bench.now
    bench.cycles(24, policy=False)
    bench.stops_within(250.0, event)
    assert bench.state is State.HOLD
    assert "sent no command" in bench.hand.status().reason


def test_a_policy_that_died_holds_by_100_ms(bench):
    event = bench.now
    bench.hand.commander_died("policy")
    assert bench.stops_within(100.0, event) <= 20.0
    assert bench.state is State.HOLD


@pytest.mark.parametrize("late_cycles", [1, 5, 7])
def test_an_emergency_stop_acts_within_one_cycle_and_its_latch_outlives_the_driver(bench, tmp_path, late_cycles):
    bench.cycles(late_cycles)
    event = bench.now
    bench.hand.emergency_stop("page")
    assert bench.stops_within(20.0, event) <= 20.0
    assert bench.state is State.STOPPED
    assert StopLatch(tmp_path / "stop.json").engaged()
    bench.monitor.announce("stop", bench.now)
    with pytest.raises(CommandRefused, match="STOPPED"):
        bench.hand.arm("policy")
    bench.hand.rearm()
    bench.monitor.announce("free", bench.now)
    bench.lease = bench.hand.arm("policy")
    bench.cycles(40)
    assert bench.state is State.ARMED
    assert bench.monitor.unsafe_writes == 0


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_poisoned_action_writes_nothing_and_holds(bench, poison):
    bench.targets = lambda q: np.where(np.arange(SPEC.dof) == 4, poison, q)
    event = bench.now
    bench.cycles(ROUND)
    assert "NaN or infinite" in bench.hand.status().reason
    bench.stops_within(100.0, event)
    assert bench.state is State.HOLD


@pytest.mark.parametrize("far", [3.0, -3.0, 1e300])
def test_an_action_out_of_range_is_clamped_on_the_bytes(bench, far):
    bench.targets = lambda q: q + far
    clamped = bench.hand.status().clamped
    bench.cycles(80)
    assert bench.state is State.ARMED
    assert bench.hand.status().clamped > clamped
    assert bench.monitor.unsafe_writes == 0, bench.monitor.violations()[:3]


@pytest.mark.parametrize("late_cycles", [0, 2])
def test_full_reversals_of_a_finger_that_is_stuck_are_within_the_limiter_and_the_monitor_agrees(bench, late_cycles):
    bench.wire.fault("servo:11 stuck")
    bench.targets = lambda q: q + 3.0 * (-1.0 if bench.count // ROUND % 2 else 1.0)

    def late(state: HandState) -> HandCommand:
        stamp = state.stamp_ns - 10 * late_cycles * MS
        until = state.stamp_ns + round(1e9 / SPEC.control_rate_hz)
        return bench.hand.command(SPEC.joint_names, bench.targets(state.q), stamp, until, bench.lease, bench.now)

    bench.command = late
    bench.cycles(80)
    assert bench.state is State.ARMED
    goals = [write.value for write in bench.monitor.writes(GOAL_POSITION) if write.servo == 11]
    assert np.ptp(goals[-2 * ROUND :]) > 350
    assert bench.monitor.unsafe_writes == 0, bench.monitor.violations()[:3]


def test_a_silent_servo_freezes_the_hand_and_nothing_resumes_when_it_is_back(bench):
    event = bench.now
    bench.wire.fault("servo:11 silent")
    bench.cycles(10)
    assert bench.state is State.HOLD
    assert "joint_f1_1" in bench.hand.status().reason
    bench.stops_within(100.0, event)
    bench.wire.mend()
    bench.cycles(100)
    with pytest.raises(CommandRefused, match="joint_f1_1"):
        bench.hand.arm("policy")
    assert bench.last_move(event + 100 * MS) is None
    recovered_and_armed(bench)


def test_a_rebooted_servo_freezes_the_hand_and_needs_an_operator(bench):
    event = bench.now
    bench.wire.fault("servo:11 reboot")
    while bench.state is State.ARMED and bench.now < event + 1_000 * MS:
        bench.cycles(1)
    print(f"noticed after {(bench.now - event) * 1e-6:.0f} ms")
    bench.stops_within(200.0, event)
    assert bench.state is State.HOLD
    with pytest.raises(CommandRefused, match="joint_f1_1"):
        bench.hand.arm("policy")
    recovered_and_armed(bench)


def test_an_overheated_servo_loses_its_torque_the_others_hold_and_an_operator_must_look(bench):
    event = bench.now
    bench.wire.fault("servo:11 overheat")
    while bench.state is State.ARMED and bench.now < event + 5_000 * MS:
        bench.cycles(1)
    print(f"{(bench.now - event) * 1e-6:.0f} ms: {bench.hand.status().reason}")
    assert "joint_f1_1" in bench.hand.status().reason
    bench.monitor.announce("hold", bench.now, grace_s=0.1)
    bench.cycles(60)
    torque = dict(zip(SPEC.joint_names, bench.wire.value("torque_enable"), strict=True))
    assert torque.pop("joint_f1_1") == 0
    assert set(torque.values()) == {1}
    assert bench.hand.status().effort_limit[1] == 0.0
    assert bench.hand.status().locked
    with pytest.raises(CommandRefused):
        bench.hand.rearm()
    assert bench.monitor.unsafe_writes == 0, bench.monitor.violations()[:3]


def test_a_joint_state_that_is_no_number_reaches_no_servo_and_holds_after_two_cycles(bench, monkeypatch):
    read, event = bench.raw.read, bench.now
    poisoned = np.where(np.arange(SPEC.dof) == 3, math.nan, 0.0)
    monkeypatch.setattr(bench.raw, "read", lambda: replace(read(), q=read().q + poisoned))
    bench.cycles(2)
    assert bench.state is State.ARMED
    bench.cycles(1)
    assert bench.state is State.HOLD
    assert "joint_f2_0" in bench.hand.status().reason
    bench.stops_within(100.0, event)
    monkeypatch.undo()
    bench.cycles(3)
    rearmed(bench)


def test_packets_that_are_garbled_or_missing_are_mended_in_their_cycle_and_nobody_notices(bench):
    counts, sent = bench.wire.drive.group.bus.counts, bench.hand.status().sent
    bench.wire.fault("servo:21 intermittent by 0.05")
    bench.wire.fault("servo:12 garbage by 0.05")
    bench.cycles(400)
    assert counts.mended > 20
    assert bench.state is State.ARMED
    assert bench.hand.status().sent == sent + 50
    assert bench.hand.status().bad_states == 0
    assert bench.monitor.unsafe_writes == 0, bench.monitor.violations()[:3]


@pytest.mark.parametrize("fault", ["bus silent", "bus garbage"])
def test_three_lost_cycles_of_the_bus_are_a_safe_stop(bench, fault):
    event = bench.now
    bench.wire.fault(fault)
    while bench.state is State.ARMED and bench.now < event + 1_000 * MS:
        bench.cycles(1)
    print(f"HOLD after {(bench.now - event) * 1e-6:.0f} ms")
    assert (bench.now - event) * 1e-6 <= 150.0
    bench.wire.mend()
    bench.stops_within(250.0, event)
    # Silent servos are asked one after the other, now and then, whether they are back.
    bench.cycles(300, policy=False)
    recovered_and_armed(bench)


def test_a_warm_servo_pushes_less_and_goes_on(bench):
    event, full = bench.now, bench.wire.value("goal_pwm")
    bench.wire.fault("servo:21 warm by 66")
    while bench.hand.status().effort_limit[4] == SPEC.effort_limit[4] and bench.now < event + 5_000 * MS:
        bench.cycles(1)
    bench.cycles(3)
    print(f"derated after {(bench.now - event) * 1e-6:.0f} ms")
    less = bench.wire.value("goal_pwm")
    assert less[4] < full[4]
    assert [pwm for n, pwm in enumerate(less) if n != 4] == [pwm for n, pwm in enumerate(full) if n != 4]
    assert bench.state is State.ARMED
    bench.wire.mend()
    bench.cycles(100)
    assert bench.monitor.unsafe_writes == 0, bench.monitor.violations()[:3]


def test_an_overloaded_servo_is_limp_the_others_hold_and_an_operator_must_look(bench):
    event = bench.now
    bench.wire.fault("servo:11 overload")
    bench.cycles(ROUND)
    assert bench.state is State.HOLD
    assert "joint_f1_1" in bench.hand.status().reason
    bench.stops_within(100.0, event)
    torque = dict(zip(SPEC.joint_names, bench.wire.value("torque_enable"), strict=True))
    assert torque.pop("joint_f1_1") == 0
    assert set(torque.values()) == {1}
    with pytest.raises(CommandRefused, match="joint_f1_1"):
        bench.hand.arm("policy")
    recovered_and_armed(bench)


def recovered_and_armed(bench: Bench) -> None:
    """An operator's word sets the servos up anew; then, and only then, the hand can be armed, and moves."""
    bench.hand.rearm()
    for _ in range(700):
        bench.cycles(1, policy=False)
        with contextlib.suppress(KnuckleError):
            bench.monitor.announce("free", bench.now)
            bench.lease = bench.hand.arm("policy")
            break
    event = bench.now
    bench.cycles(120)
    assert bench.state is State.ARMED, bench.hand.status()
    assert bench.last_move(event) is not None
    assert bench.monitor.unsafe_writes == 0, bench.monitor.violations()[:3]


def rearmed(bench: Bench) -> None:
    """A hand that was not hurt is armed again without an operator's word, and moves."""
    bench.monitor.announce("free", bench.now)
    bench.lease, event = bench.hand.arm("policy"), bench.now
    bench.cycles(120)
    assert bench.state is State.ARMED, bench.hand.status()
    assert bench.last_move(event) is not None
    assert bench.monitor.unsafe_writes == 0, bench.monitor.violations()[:3]


def test_a_driver_that_falls_silent_is_stopped_by_the_servos_own_watchdog(bench):
    """No more bytes, as after SIGKILL or an unplugged cable."""
    limit = bench.wire.config.watchdog_ms
    event = bench.now
    while bench.now < event + 2 * limit * MS and set(bench.wire.value("bus_watchdog")) != {WATCHDOG_EXPIRED}:
        bench.wire.port.now_ns += MS
        bench.wire.bus.advance(bench.now)
    took = (bench.now - event) * 1e-6
    print(f"{took:.0f} ms")
    assert took <= limit + 20
    where = []
    for _ in range(2):
        bench.wire.port.now_ns += 300 * MS
        bench.wire.bus.advance(bench.now)
        where.append(bench.wire.value("present_position"))
    assert where[0] == where[1]
    assert bench.monitor.unsafe_writes == 0
