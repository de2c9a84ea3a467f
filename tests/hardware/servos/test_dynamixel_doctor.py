"""`knuckle doctor --hand` and `knuckle bench hand`: what is seen of a hand without moving it, and what is timed."""

from __future__ import annotations

import json

import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.calibration.calibration_file import nominal, save
from knuckle.hardware.dynamixel import bench, hand_doctor
from knuckle.hardware.dynamixel.bench_command import bench_hand
from knuckle.hardware.dynamixel.hand_doctor import BROKEN, LACKING, OK, examine_hand
from knuckle.hardware.dynamixel.serial_port import ServoPort
from knuckle_ros.commands.doctor import doctor

WRITES = {0x03, 0x04, 0x83, 0x93, 0x06, 0x08}


@pytest.fixture
def whole(pty_bench, home_file):
    bench = pty_bench()
    save(nominal(bench.spec, bench.model.number), home_file)
    return bench, home_file


def look(bench, file, **changed):
    return {seen.name: seen for seen in examine_hand(bench.spec, bench.path, calibration=file, **changed)}


def test_a_whole_hand_is_all_right_and_looking_writes_nothing(whole) -> None:
    bench, file = whole
    heard = []
    bench.bus.taps.append(lambda data, now_ns: heard.append(data))
    seen = look(bench, file)
    assert {thing.level for thing in seen.values()} == {OK}
    assert "9 of 9, XM430-W210" in seen["servos"].found
    assert "12.0 V" in seen["servo 21"].found and "limp" in seen["servo 21"].found
    asked = [packet[7] for packet in heard if len(packet) > 7]
    assert asked and not set(asked) & WRITES


def test_what_is_wrong_with_a_servo_is_said_at_that_servo(whole) -> None:
    bench, file = whole
    for line in ("servo:10 overload", "servo:11 undervoltage by 2 V", "servo:31 silent"):
        bench.port.ask(f"fault {line}")
    bench.port.bus.stations[5].heat.temperature = 75.0
    seen = look(bench, file)
    assert seen["servo 10"].level == BROKEN and "error: overload" in seen["servo 10"].found
    assert seen["servo 11"].level == BROKEN and "input voltage" in seen["servo 11"].found
    assert seen["servo 22"].level == LACKING and "let it cool: it stops at 80" in seen["servo 22"].remedy
    assert seen["servo 31"].level == BROKEN and "does not answer" in seen["servo 31"].found
    assert seen["servos"].level == BROKEN and "servo 31 (joint_f3_1)" in seen["servos"].found
    assert seen["calibration"].level == LACKING
    assert all("\n" not in thing.found + thing.remedy for thing in seen.values())
    assert all(thing.remedy for thing in seen.values() if thing.level != OK)


def test_a_port_in_use_and_a_missing_calibration_are_findings(whole, tmp_path) -> None:
    bench, _ = whole
    assert look(bench, tmp_path / "none.json")["calibration"].level == BROKEN
    held = ServoPort(bench.path, 1_000_000)
    (only,) = examine_hand(bench.spec, bench.path)
    held.closePort()
    assert only.level == BROKEN and "uses the port" in only.found


def test_a_slow_adapter_is_told_how_to_be_quick(whole, tmp_path, monkeypatch) -> None:
    bench, file = whole
    timer = tmp_path / "latency_timer"
    timer.write_text("16\n")
    monkeypatch.setattr(hand_doctor, "latency_file", lambda port: timer)
    monkeypatch.setattr(hand_doctor, "latency_ms", lambda port: 16)
    seen = look(bench, file)["adapter latency"]
    assert (seen.level, seen.found) == (LACKING, "16 ms: too slow for 100 Hz")
    assert f"echo 1 | sudo tee {timer}" in seen.remedy


def test_the_command_looks_at_a_virtual_hand_and_fails_where_it_could_not_run(tmp_path, capsys) -> None:
    file = tmp_path / "findings.json"
    words = ["--hand", "--port", "virtual", "--calibration", str(tmp_path / "none.json"), "--json", str(file)]
    assert doctor(words) == 1
    levels = {finding["name"]: finding["level"] for finding in json.loads(file.read_text())["findings"]}
    assert levels["servo 32"] == "ok" and levels["calibration"] == "broken"


def test_the_bench_writes_its_figures(tmp_path) -> None:
    file = tmp_path / "figures.json"
    assert bench_hand(["--hand", "dclaw3", "--seconds", "0.3", "--repeats", "1", "--json", str(file)]) == 0
    figures = json.loads(file.read_text())["figures"]
    assert figures["servos"] == 9
    for name in ("rate_1mbaud_hz", "cycle_p99_1mbaud_ms", "sdk_cycle_p99_1mbaud_ms", "sdk_rate_4mbaud_hz"):
        assert figures[name] > 0.0, name
    assert figures["cycles_lost_1mbaud"] == 0
    # A sync read and write of nine servos take this long on a wire of 1 Mbaud, however fast the machine is.
    assert figures["cycle_p50_1mbaud_ms"] > 1.5
    assert figures["sdk_cycle_p50_1mbaud_ms"] > 1.5


def test_the_highest_rate_is_the_last_at_which_cycles_fit(monkeypatch) -> None:
    def run(drive, rate_hz, seconds):
        return bench.Measured([0.0015] * 100, [0.01] * 99, 0.1, 0, 0)

    monkeypatch.setattr(bench, "measure_drive", run)
    rate, best = bench.highest_rate(None, 1.0, lambda line: None)
    assert (rate, best.p99_ms) == (600.0, pytest.approx(1.5))


def test_a_hand_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="unknown hand 'hook'"):
        bench_hand(["--hand", "hook"])
