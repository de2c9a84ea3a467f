"""The parts of the servo loop by themselves, and the firmware, signals and bugs that it must live with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.errors import DeviceError
from knuckle.hardware.dynamixel.configuration import watchdog_units
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.faults import hardware_error_text
from knuckle.hardware.dynamixel.servo_bus import suspect_last
from knuckle.hardware.dynamixel.servo_watch import ServoWatch
from knuckle.hardware.dynamixel.torque_ramp import TorqueRamp
from knuckle.hardware.virtual import answering
from knuckle.hardware.virtual.protocol2 import Instruction
from knuckle.hardware.virtual.servo import ServoRefusal, StatusError

S = 1_000_000_000


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), max_size=30), st.integers(1, 5))
def test_a_servo_is_silent_exactly_after_so_many_misses_in_a_row_and_stays_so(history, lost_cycles) -> None:
    watch, row, silent = ServoWatch(4, lost_cycles), np.zeros(4, dtype=int), np.zeros(4, dtype=bool)
    for answered in history:
        fresh = watch.cycle(np.array(answered))
        row = np.where(answered, 0, row + 1)
        expected = ~silent & (row >= lost_cycles)
        assert np.array_equal(fresh, expected)
        silent |= expected
        assert np.array_equal(watch.silent, silent)


def test_missed_packets_are_forgotten_after_a_second() -> None:
    watch = ServoWatch(3, 3)
    for n in range(10):
        watch.missed_packets(2, n * S // 10)
    assert watch.missed_within_a_second(S - 1) == 20
    assert watch.missed_within_a_second(S + S // 2) == 8
    assert watch.missed_within_a_second(3 * S) == 0


@given(
    st.lists(
        st.tuples(st.floats(0.0, 0.2), st.booleans(), st.lists(st.booleans(), min_size=3, max_size=3)), max_size=40
    )
)
def test_a_ramp_never_jumps_and_never_gives_torque_to_a_joint_that_is_off(steps) -> None:
    config = DriveConfig(ramp_s=0.5, release_s=0.3)
    ramp = TorqueRamp(3, config)
    for dt_s, releasing, on in steps:
        before = ramp.share
        ramp.turned_on(np.array(on))
        first = ramp.share
        assert np.array_equal(first > 0.0, (before > 0.0) | np.array(on))
        ramp.advance(dt_s, releasing=releasing)
        assert (ramp.share <= 1.0).all() and np.array_equal(ramp.on, first > 0.0)
        assert (ramp.share[ramp.on] >= config.ramp_floor - 1e-12).all()
        assert (np.abs(ramp.share - first) <= 0.9 * dt_s / 0.3 + 1e-12).all()


@given(st.lists(st.integers(0, 252), unique=True, max_size=16), st.data())
def test_a_retry_asks_all_that_did_not_answer_and_the_first_of_them_last(asked, data) -> None:
    answered = data.draw(st.sets(st.sampled_from(asked))) if asked else set()
    retry = suspect_last(asked, answered)
    assert set(retry) == set(asked) - answered and len(retry) == len(set(retry))
    missing = [id for id in asked if id not in answered]
    assert not missing or retry[-1] == missing[0]


@pytest.mark.parametrize(("ms", "units"), [(20, 1), (21, 2), (100, 5), (200, 10), (2540, 127)])
def test_the_watchdog_is_never_set_shorter_than_asked(ms: int, units: int) -> None:
    assert watchdog_units(ms) == units


def test_hardware_errors_are_named_bit_by_bit() -> None:
    assert hardware_error_text(0) == ""
    assert hardware_error_text(0x01 | 0x04 | 0x20) == "input voltage, overheating, overload"
    assert hardware_error_text(0x80) == "bit 7"


def test_firmware_without_the_fast_read_is_read_plainly(wire_hand, monkeypatch) -> None:
    monkeypatch.delitem(answering._GROUPS, Instruction.FAST_SYNC_READ)
    hand = wire_hand()
    drive = hand.armed()
    assert not drive.group.fast
    missed = drive.group.bus.counts.missed
    hand.run(20)
    assert drive.group.bus.counts.missed == missed
    assert not {packet.instruction for packet in hand.heard.heard[-100:]} & {0x8A}


def test_firmware_without_a_register_that_is_not_confirmed_is_taken_all_the_same(wire_hand, monkeypatch) -> None:
    hand = wire_hand()
    for servo in hand.bus.servos:
        read = servo.read

        def without(address, length, read=read):
            if address == 60:
                raise ServoRefusal(StatusError.ACCESS)
            return read(address, length)

        monkeypatch.setattr(servo, "read", without)
    hand.open()
    assert hand.value("bus_watchdog") == [10] * 9


def test_a_bug_in_the_loop_takes_torque_off_and_is_told_to_whoever_reads(pty_bench, eventually, monkeypatch) -> None:
    bench = pty_bench()
    hand = bench.hand()
    hand.arm()
    eventually(lambda: all(servo.torque_on for servo in bench.bus.servos), "torque on")
    monkeypatch.setattr(hand.drive.poll, "look", lambda *args: 1 / 0)
    eventually(lambda: not any(servo.torque_on for servo in bench.bus.servos), "torque off")
    with pytest.raises(DeviceError, match="division by zero"):
        hand.read()
    hand.close()


def test_ctrl_c_while_a_joint_is_homed_leaves_the_hand_limp_and_no_file(pty_bench, eventually, tmp_path) -> None:
    bench, out = pty_bench(), tmp_path / "calibration.json"
    words = ["calibrate", "home", "--port", bench.path, "--yes", "--speed", "0.05", "--out", str(out)]
    command = [sys.executable, "-m", "knuckle.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        eventually(lambda: sum(servo.torque_on for servo in bench.bus.servos) == 1, "one joint creeps")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        said = process.stdout.read().decode()
    assert "will creep against its upper and its lower stop" in said
    eventually(lambda: not any(servo.torque_on for servo in bench.bus.servos), "limp")
    assert not out.exists()


def test_a_late_answer_is_never_taken_for_the_answer_to_something_else(wire_hand) -> None:
    hand = wire_hand(answer_s=0.006)
    hand.open()
    bus, model = hand.servos, hand.model
    hand.bus.stations[4].heat.temperature = 33.0
    hand.bus.advance(hand.port.now_ns + 2_000_000)
    hand.fault("servo:21 slow by 19 ms")
    with pytest.raises(DeviceError):
        for _ in range(3):
            bus.read(21, model.register("present_temperature"))
    hand.mend()
    # One byte as well, and asked for while answers of 33 degrees are still under way.
    for _ in range(5):
        assert bus.read(21, model.register("hardware_error_status")) == 0
        assert bus.read(21, model.register("bus_watchdog")) == 10


def test_answers_that_come_late_now_and_then_stop_nothing(wire_hand) -> None:
    hand = wire_hand()
    drive = hand.armed()
    rng = np.random.default_rng(3)
    for _ in range(120):
        hand.fault(f"servo:{int(rng.choice(drive.group.ids))} slow by {rng.uniform(3.0, 25.0):.1f} ms for 12 ms")
        hand.run(3)
    assert drive.fault == ""
    assert not drive.state.error.any()
    assert drive.watch.lost_cycles_total < 60
