"""DynamixelHand with its own thread over a pseudo-terminal: the contract, and what happens when either end dies."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.dynamixel.beat import ClockBeat, StepBeat
from knuckle.hardware.dynamixel.drive import ARMED, RELEASED
from knuckle.hardware.dynamixel.dynamixel_hand import DynamixelHand
from knuckle.hardware.dynamixel.open_hand import open_drive
from knuckle.hardware.spec.contracts import SILENT, Hand, HandCommand

S = 1_000_000_000

DRIVER = """
import sys, time
from knuckle.hardware.calibration.calibration_file import nominal
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.open_hand import open_hand
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.dclaw import dclaw
spec = dclaw(3)
config = DriveConfig(answer_s=0.05, watchdog_ms=400, ramp_s=0.0)
hand = open_hand(spec, sys.argv[1], calibration=nominal(spec, 1030), config=config)
hand.arm()
start, began = hand.read().q, time.monotonic()
print("driving", flush=True)
while True:
    now = time.monotonic_ns()
    hand.send(HandCommand(now, now + 10**10, start + 0.02 * (time.monotonic() - began)))
    time.sleep(0.02)
"""


@pytest.fixture
def bench_and_hand(pty_bench, tmp_path) -> Iterator[tuple]:
    bench = pty_bench(link=tmp_path / "port")
    hand = bench.hand()
    yield bench, hand
    hand.close()


def to(hand, q, valid_s=60.0):
    now = time.monotonic_ns()
    return hand.send(HandCommand(now, now + int(valid_s * S), np.asarray(q)))


def torque(bench):
    return [servo.torque_on for servo in bench.bus.servos]


def test_it_is_a_hand_and_its_calls_do_not_wait_for_the_loop(pty_bench) -> None:
    bench = pty_bench()
    drive = open_drive(bench.spec, bench.path, calibration=bench.calibration, config=bench.config)
    # A loop that is never asked to turn: a call that waited for a cycle would wait for ever.
    beat = StepBeat()
    hand = DynamixelHand(drive, beat=beat)
    assert isinstance(hand, Hand)
    for call in (hand.read, hand.arm, hand.hold, hand.release, hand.recover, hand.health, hand.arm):
        call()
    hand.limit_effort(bench.spec.effort_limit)
    to(hand, bench.spec.home)
    beat.over()
    drive.order(RELEASED)
    hand.close()


def test_arm_follow_hold_release(bench_and_hand, eventually, near) -> None:
    bench, hand = bench_and_hand
    start = hand.read().q
    hand.arm()
    eventually(lambda: all(torque(bench)), "torque on")
    sent = to(hand, start + 0.2)
    eventually(lambda: near(hand.read().q, sent.q), "the target reached")
    hand.hold()
    with pytest.raises(CommandRefused, match="holding"):
        to(hand, start)
    hand.release()
    eventually(lambda: not any(torque(bench)), "torque off")
    with pytest.raises(CommandRefused, match="released"):
        to(hand, start)


def test_states_have_growing_numbers_and_stamps(bench_and_hand, eventually) -> None:
    _, hand = bench_and_hand
    first = hand.read()
    eventually(lambda: hand.read().seq >= first.seq + 20, "twenty cycles")
    later = hand.read()
    assert later.stamp_ns > first.stamp_ns
    assert later.stamp_ns <= time.monotonic_ns()


def test_closing_takes_torque_off_and_gives_the_port_back(pty_bench, eventually) -> None:
    bench = pty_bench()
    for _ in range(2):
        hand = bench.hand()
        hand.arm()
        eventually(lambda: all(torque(bench)), "torque on")
        hand.close()
        assert not any(torque(bench))
        with pytest.raises(DeviceError, match="closed"):
            hand.read()
        hand.close()


def test_a_driver_that_is_killed_is_followed_by_the_servos_own_watchdog(pty_bench, eventually) -> None:
    bench = pty_bench()
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, bench.path], stdout=subprocess.PIPE)
    try:
        assert driver.stdout.readline() == b"driving\n"
        eventually(lambda: all(torque(bench)), "torque on")
        # That it was set is on the bytes: 20 units of 20 ms, read back before torque went on.
        assert {servo.value("bus_watchdog") for servo in bench.bus.servos} == {20}
        heard = []
        bench.bus.taps.append(lambda data, now_ns: heard.append(now_ns))
        driver.kill()
        driver.wait()
        eventually(lambda: {s.value("bus_watchdog") for s in bench.bus.servos} == {-1}, "the watchdog")
        stopped, at = time.monotonic_ns(), bench.plant.joint_state()[0]
        assert all(torque(bench))
        time.sleep(0.2)
        assert np.abs(bench.plant.joint_state()[0] - at).max() < 0.005
        assert not heard or stopped - heard[-1] >= 400e6
    finally:
        driver.kill()
        driver.wait()
        driver.stdout.close()
    # The next driver finds them stopped, sets them up with torque off, and moves nothing.
    hand = bench.hand()
    assert not any(torque(bench))
    assert np.abs(hand.read().q - at).max() < 0.02
    hand.close()


def test_an_unplugged_port_is_named_and_the_hand_is_lost_until_it_is_opened_again(bench_and_hand, eventually) -> None:
    bench, hand = bench_and_hand
    hand.arm()
    bench.port.ask("fault bus unplug")

    def lost() -> bool:
        try:
            hand.read()
        except DeviceError as error:
            return "the port is gone" in str(error)
        return False

    eventually(lost, "the loss noticed")
    with pytest.raises(DeviceError, match="the port is gone"):
        to(hand, bench.spec.home)
    with pytest.raises(DeviceError, match="the port is gone"):
        hand.hold()
    bench.port.ask("clear")
    eventually(lambda: bench.port.plugged, "plugged in again")
    assert lost()
    hand.recover()

    def read_again() -> bool:
        try:
            hand.recover()
        except DeviceError:
            return False
        return not hand.read().error.any()

    eventually(read_again, "read again")
    assert not any(torque(bench))
    with pytest.raises(CommandRefused, match="released"):
        to(hand, bench.spec.home)
    hand.arm()
    eventually(lambda: all(torque(bench)), "torque on")


def test_a_silent_servo_is_named_and_recovered_through_the_hand(bench_and_hand, eventually) -> None:
    bench, hand = bench_and_hand
    hand.arm()
    eventually(lambda: all(torque(bench)), "torque on")
    eventually(lambda: bool((hand.drive.ramp.share == 1.0).all()), "full torque")
    bench.port.ask("fault servo:21 silent")
    eventually(lambda: hand.read().error[4] == SILENT, "silence noticed")
    assert "servo 21 (joint_f2_1)" in hand.health().fault
    with pytest.raises(DeviceError):
        hand.arm()
    bench.port.ask("clear")

    def recovered() -> bool:
        try:
            hand.recover()
        except DeviceError:
            return False
        return not hand.read().error.any()

    eventually(recovered, "recovered")
    hand.arm()
    eventually(lambda: all(torque(bench)), "torque on")


def test_no_thread_and_no_descriptor_is_left_behind(pty_bench) -> None:
    import os

    bench = pty_bench()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        bench.hand().close()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_the_loop_of_a_stepped_hand_turns_once_a_step_and_not_without(pty_bench) -> None:
    bench = pty_bench()
    drive = open_drive(bench.spec, bench.path, calibration=bench.calibration, config=bench.config)
    beat, now = StepBeat(), [0]
    hand = DynamixelHand(drive, clock=lambda: now[0], beat=beat)
    before = drive.cycles
    for n in range(10):
        now[0] = (n + 1) * S // 120
        assert beat.step(20.0)
        assert hand.read().stamp_ns == now[0]
    assert drive.cycles == before + 10
    assert hand.drive.mode != ARMED
    closing = threading.Thread(target=hand.close)
    closing.start()
    while closing.is_alive():
        beat.step(0.1)
    assert not beat.step(5.0)


def test_nobody_waits_for_a_loop_that_ended_until_it_turns_again() -> None:
    beat, stop = StepBeat(), threading.Event()
    beat.over()
    assert not beat.step(60.0)
    assert beat.late == 0
    assert beat.wait(stop)
    beat.done()
    turning = threading.Thread(target=lambda: (beat.wait(stop), beat.done()))
    turning.start()
    assert beat.step(60.0)
    turning.join()


def test_a_clock_that_lost_time_does_not_make_up_for_it_in_a_burst(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("knuckle.hardware.dynamixel.beat.time.monotonic", lambda: now[0])
    beat = ClockBeat(100.0)
    waits = []

    class Stop:
        def wait(self, s: float) -> bool:
            waits.append(s)
            now[0] += s
            return False

    for cost in (0.002, 0.5, 0.002, 0.002):
        beat.wait(Stop())
        now[0] += cost
        beat.done()
    assert beat.late == 1
    assert waits == pytest.approx([0.0, 0.008, 0.0, 0.008], abs=1e-6)
