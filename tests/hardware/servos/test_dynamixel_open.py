"""Opening a hand over a real pseudo-terminal with the vendor's SDK: every way in which it must be refused."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from array import array

import numpy as np
import pytest

from knuckle.core.errors import DeviceError, InputError, KnuckleError
from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.calibration.calibration_file import nominal
from knuckle.hardware.dynamixel import latency_timer, port_lock, serial_port
from knuckle.hardware.dynamixel.open_hand import open_drive
from knuckle.hardware.dynamixel.serial_port import ServoPort
from knuckle.hardware.dynamixel.servo_bus import ServoBus
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XC330_M288, XM430_W210
from knuckle.hardware.spec.leap import leap
from knuckle.hardware.virtual.faults import parse_fault

HELD = """
import sys, time
from knuckle.hardware.dynamixel.serial_port import ServoPort
port = ServoPort(sys.argv[1], 1_000_000)
print("open", flush=True)
sys.stdin.read()
"""


def refused(bench, said, kind=KnuckleError, **changed):
    """Opening fails in one line that says ``said``; torque is off and the port is free again."""
    options = {"calibration": bench.calibration, "config": bench.config} | changed
    with pytest.raises(kind, match=said) as caught:
        open_drive(bench.spec, bench.path, **options)
    assert "\n" not in str(caught.value)
    assert not any(servo.torque_on for servo in bench.bus.servos)
    ServoPort(bench.path, 1_000_000).closePort()
    return str(caught.value)


def test_a_hand_opens_with_everything_found_and_torque_off(pty_bench) -> None:
    bench = pty_bench(baud=1_000_000)
    drive = open_drive(bench.spec, bench.path, calibration=bench.calibration, config=bench.config)
    assert drive.group.fast
    assert np.isfinite(drive.state.temperature).all()
    assert drive.state.error.tolist() == [0] * 9
    assert not any(servo.torque_on for servo in bench.bus.servos)
    drive.group.bus.close()


def test_a_wrong_baud_rate_is_named_with_the_right_one(pty_bench) -> None:
    refused(pty_bench(baud=57_600), r"no servo answers at 1000000 baud; they do at 57600; baud=57600", DeviceError)


def test_no_power_is_told_from_a_wrong_baud_rate(pty_bench) -> None:
    bench = pty_bench(baud=1_000_000)
    bench.config = type(bench.config)(answer_s=0.01)
    bench.bus.inject(parse_fault("bus off"), 0)
    refused(bench, r"no servo of ids 10, 11, .* answers at any baud rate; power on", DeviceError)


def test_two_servos_with_one_id_are_named(pty_bench) -> None:
    bench = pty_bench()
    bench.bus.inject(parse_fault("servo:21 duplicate"), 0)
    refused(bench, r"two servos answer as id 21 \(joint_f2_1\)", DeviceError)


def test_a_missing_servo_is_named_and_a_stranger_on_the_bus_too(pty_bench) -> None:
    bench = pty_bench()
    bench.bus.servo(31).set_up("id", 1)
    said = refused(bench, r"servo 31 \(joint_f3_1\) does not answer, 8 of 9 do", DeviceError)
    assert "not of this hand: id 1" in said


def test_another_model_is_named(pty_bench) -> None:
    bench = pty_bench(model=XC330_M288)
    refused(bench, r"servo 10 \(joint_f1_0\) is a XC330-M288; XM430-W210", DeviceError)


def test_the_calibration_of_another_hand_is_refused(pty_bench, home_file) -> None:
    bench = pty_bench()
    calibration_file.save(nominal(dclaw(4), XM430_W210.number), home_file)
    refused(bench, "it is of the hand dclaw4, not of dclaw3", InputError, calibration=home_file)


def test_a_hand_without_calibration_is_refused(pty_bench, home_file) -> None:
    refused(pty_bench(), "there is no calibration; knuckle calibrate home", InputError, calibration=home_file)


def test_two_drivers_on_one_port_the_second_is_refused_and_the_first_is_named(pty_bench) -> None:
    bench = pty_bench()
    first = subprocess.Popen([sys.executable, "-c", HELD, bench.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"open\n"
        with pytest.raises(DeviceError, match=rf"process {first.pid} \(.*\) uses the port"):
            open_drive(bench.spec, bench.path, calibration=bench.calibration)
        first.kill()
        first.wait()
        open_drive(bench.spec, bench.path, calibration=bench.calibration, config=bench.config).group.bus.close()
    finally:
        first.kill()
        first.wait()
        first.stdin.close()
        first.stdout.close()


def test_a_port_is_exclusive_for_programs_that_ask_for_no_lock(pty_bench, monkeypatch) -> None:
    monkeypatch.setattr(serial_port, "is_pseudo_terminal", lambda path: False)
    bench = pty_bench()
    port = ServoPort(bench.path, 1_000_000)
    state = array("i", [0])
    fcntl.ioctl(port.ser.fd, 0x80045440, state)  # TIOCGEXCL
    assert state[0] == 1
    port.closePort()
    fd = os.open(bench.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(fd, 0x80045440, state)
    os.close(fd)
    assert state[0] == 0


def test_a_port_that_this_user_may_not_open_says_which_group_to_join(pty_bench, monkeypatch) -> None:
    bench = pty_bench()

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied", bench.path)

    monkeypatch.setattr(port_lock.os, "open", denied)
    with pytest.raises(DeviceError, match=r"this user may not open it .*sudo usermod -aG \w+ \$USER, then log in"):
        open_drive(bench.spec, bench.path, calibration=bench.calibration)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root to become nobody")
def test_another_user_without_rights_is_told_so_by_the_real_system(pty_bench) -> None:
    bench = pty_bench()
    os.chmod(bench.path, 0o600)
    code = (
        "import os, sys; from knuckle.hardware.dynamixel.serial_port import ServoPort\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: ServoPort(sys.argv[1], 1_000_000)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, bench.path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DeviceError")
    assert "this user may not open it" in done.stdout


def test_a_port_that_does_not_exist_and_a_file_that_is_no_port(tmp_path) -> None:
    with pytest.raises(DeviceError, match="there is no such port"):
        open_drive(dclaw(3), str(tmp_path / "ttyUSB9"), calibration=nominal(dclaw(3), 1030))
    file = tmp_path / "notes"
    file.write_text("x")
    with pytest.raises(DeviceError, match="not a serial device"):
        open_drive(dclaw(3), str(file), calibration=nominal(dclaw(3), 1030))


def test_a_hand_that_nobody_has_built_on_servos_is_refused(tmp_path) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="no servo settings for myhand"):
        open_drive(replace(dclaw(3), name="myhand"), str(tmp_path))


def test_a_leap_hand_opens_at_four_megabaud(pty_bench) -> None:
    bench = pty_bench(leap(), XC330_M288, baud=4_000_000)
    drive = open_drive(bench.spec, bench.path, calibration=bench.calibration, config=bench.config)
    assert len(drive.state.q) == 16
    drive.group.bus.close()


def test_a_packet_that_holds_a_header_is_stuffed_on_its_way_out(pty_bench) -> None:
    bench = pty_bench()
    bus = ServoBus(ServoPort(bench.path, 1_000_000, 0.05))
    register = XM430_W210.register("homing_offset")
    # FF FF FD 00 in the packet's body: the SDK alone sends it unstuffed, and the servo hears no packet.
    value = int.from_bytes(b"\xff\xff\xfd\x00", "little")
    with pytest.raises(KnuckleError, match="out of range"):
        bus.write(10, register, value)
    assert bus.counts.missed == 0
    bus.close()


def test_the_bus_belongs_to_one_thread(pty_bench) -> None:
    import threading

    bench = pty_bench()
    bus = ServoBus(ServoPort(bench.path, 1_000_000, 0.05))
    assert bus.ping(10) == 1030
    said = []

    def other():
        try:
            bus.ping(10)
        except RuntimeError as error:
            said.append(str(error))
        bus.adopt()
        said.append(bus.ping(10))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "belongs to another thread" in said[0] and said[1] == 1030
    with pytest.raises(RuntimeError):
        bus.ping(10)
    bus.close()


def test_a_port_that_goes_away_is_told_from_a_silent_servo(pty_bench) -> None:
    bench = pty_bench()
    bus = ServoBus(ServoPort(bench.path, 1_000_000, 0.05))
    bench.port.ask("fault bus unplug")
    with pytest.raises(DeviceError, match="the port is gone"):
        for _ in range(1000):
            bus.ping(10)
    bus.close()


def test_the_adapter_s_latency_timer_is_found_by_the_port_s_real_name(tmp_path) -> None:
    (tmp_path / "ttyUSB3").mkdir()
    (tmp_path / "ttyUSB3" / "latency_timer").write_text("16\n")
    link = tmp_path / "by-id"
    link.symlink_to("/dev/ttyUSB3")
    assert latency_timer.latency_ms(str(link), tmp_path) == 16
    assert latency_timer.latency_ms("/dev/ttyUSB4", tmp_path) is None
