"""Homing in virtual time: horns mounted anyhow are found against the stops, gently, one at a time, or not at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware import calibrate_commands
from knuckle.hardware.calibrate_commands import calibrate_home
from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.calibration.homing import Homing
from knuckle.hardware.calibration.stop_search import SearchConfig, StopSearch
from knuckle.hardware.dynamixel.drive_profile import drive_profile
from knuckle.hardware.dynamixel.servo_bus import ServoBus
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import RAD_PER_PULSE, XC330_M288, XM430_W210
from knuckle.hardware.spec.leap import leap
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.joints import LaggingJoints

FAST = SearchConfig(speed=2.0, still_s=0.2)


class Rehearsal:
    """A hand between its stops on a virtual wire, its horns mounted off by ``offsets``."""

    def __init__(self, wire_port, spec, model, offsets, plant=None, config=FAST) -> None:
        joints = tuple(
            replace(j, servo_offset=o, sign=-1 if n % 2 else 1)
            for n, (j, o) in enumerate(zip(spec.joints, offsets, strict=True))
        )
        self.mounted = replace(spec, joints=joints)
        self.spec = replace(
            spec, joints=tuple(replace(j, sign=m.sign) for j, m in zip(spec.joints, joints, strict=True))
        )
        self.plant = plant or LaggingJoints(self.mounted, stops=True)
        self.bus = VirtualBus(self.mounted, self.plant, model)
        self.port = wire_port(self.bus)
        self.driven: list[int] = []
        self.pushed = np.zeros(spec.dof)
        self.homing = Homing(ServoBus(self.port), self.spec, model, drive_profile(spec), config, self.pause)

    def pause(self, time_s: float) -> None:
        self.port.now_ns += round(time_s * 1e9)
        self.bus.advance(self.port.now_ns)
        self.driven.append(sum(servo.torque_on for servo in self.bus.servos))
        self.pushed = np.maximum(self.pushed, np.abs(self.plant.joint_state()[2]))

    @property
    def limp(self) -> bool:
        return not any(servo.torque_on for servo in self.bus.servos)


@pytest.mark.parametrize(("spec", "model"), [(dclaw(3), XM430_W210), (leap(), XC330_M288)])
def test_horns_mounted_anyhow_are_found_gently_and_one_at_a_time(wire_port, spec, model) -> None:
    rng = np.random.default_rng(5)
    offsets = rng.uniform(-0.4, 0.4, spec.dof)
    rehearsal = Rehearsal(wire_port, spec, model, offsets)
    made = rehearsal.homing.against_stops()
    assert np.abs(made.offset - offsets).max() < 2 * RAD_PER_PULSE
    assert rehearsal.limp
    assert max(rehearsal.driven) == 1
    assert rehearsal.pushed.max() <= FAST.torque * model.stall_torque * 1.02
    assert np.abs(rehearsal.plant.joint_state()[0] - spec.home).max() < 0.05


def test_something_in_the_way_of_a_joint_is_no_stop_of_it(wire_port) -> None:
    spec = dclaw(3)
    blocked = tuple(replace(j, upper=1.0) if j.name == "joint_f2_1" else j for j in spec.joints)
    rehearsal = Rehearsal(
        wire_port, spec, XM430_W210, np.zeros(9), LaggingJoints(replace(spec, joints=blocked), stops=True)
    )
    with pytest.raises(
        DeviceError, match="joint_f2_1: its stops lie .* degrees from where they should; nothing in its way"
    ):
        rehearsal.homing.against_stops()
    assert rehearsal.limp


def test_a_joint_without_a_stop_is_given_up(wire_port) -> None:
    config = replace(FAST, reach=0.2)
    rehearsal = Rehearsal(wire_port, dclaw(3), XM430_W210, np.zeros(9), config=config)
    with pytest.raises(DeviceError, match=r"joint_f1_0 met no upper stop in 0.2 rad"):
        rehearsal.homing.against_stops()
    assert rehearsal.limp


def test_a_servo_that_falls_silent_while_it_is_homed_ends_it_and_its_own_watchdog_is_set(wire_port) -> None:
    rehearsal = Rehearsal(wire_port, dclaw(3), XM430_W210, np.zeros(9))
    seen = []

    def pause(time_s: float) -> None:
        rehearsal.pause(time_s)
        seen.append(rehearsal.bus.servos[0].value("bus_watchdog"))
        if len(seen) == 20:
            from knuckle.hardware.virtual.faults import parse_fault

            rehearsal.bus.inject(parse_fault("servo:10 silent"), rehearsal.port.now_ns)

    homing = replace(rehearsal.homing, pause=pause)
    with pytest.raises(DeviceError, match="servo 10 does not answer"):
        homing.against_stops()
    assert set(seen) == {10}
    assert rehearsal.limp


def test_a_posed_hand_is_read_and_nothing_moves(wire_port) -> None:
    spec, offsets = dclaw(3), np.linspace(-0.3, 0.3, 9)
    rehearsal = Rehearsal(wire_port, spec, XM430_W210, offsets)
    before = rehearsal.plant.joint_state()[0]
    made = rehearsal.homing.by_posture(spec.home)
    assert np.abs(made.offset - offsets).max() < 2 * RAD_PER_PULSE
    assert max(rehearsal.driven) == 0
    assert np.array_equal(rehearsal.plant.joint_state()[0], before)


def test_a_hand_that_is_not_held_still_is_not_read(wire_port) -> None:
    rehearsal = Rehearsal(wire_port, dclaw(3), XM430_W210, np.zeros(9))

    def shaky(time_s: float) -> None:
        rehearsal.plant._q[4] += 0.01
        rehearsal.pause(time_s)

    with pytest.raises(DeviceError, match="joint_f2_1 does not keep still"):
        replace(rehearsal.homing, pause=shaky).by_posture(dclaw(3).home)


@given(st.lists(st.floats(-0.05, 0.05), min_size=1, max_size=80), st.sampled_from([-1, 1]))
def test_the_goal_of_a_search_never_runs_ahead_by_more_than_the_lead(moves, direction) -> None:
    search, horn = StopSearch(0.3, direction, FAST), 0.3
    for move in moves:
        horn += move
        before = search.goal
        search.step(horn, 0.02)
        assert abs(search.goal - horn) <= FAST.lead + 1e-9
        assert direction * (search.goal - horn) >= 0.0
        assert search.stop is None or search.stop == horn
        assert abs(search.goal - before) <= FAST.lead + abs(move) + FAST.speed * 0.02 + 1e-9


def test_the_command_says_what_it_will_do_and_does_nothing_unasked(tmp_path, capsys) -> None:
    out = tmp_path / "calibration.json"
    with pytest.raises(InputError, match="nobody is there to be asked; --yes|nothing was done"):
        calibrate_home(["--port", "virtual", "--out", str(out)])
    said = capsys.readouterr().out
    assert "will creep against its upper and its lower stop" in said and "Ctrl-C" in said
    assert not out.exists()


def test_the_command_writes_the_file_of_a_posed_hand(tmp_path) -> None:
    out, spec = tmp_path / "calibration.json", dclaw(3)
    assert calibrate_home(["--port", "virtual", "--manual", "--posture", "home", "--yes", "--out", str(out)]) == 0
    models = {joint.servo_id: XM430_W210.number for joint in spec.joints}
    made = calibration_file.load(out, spec, models)
    assert made.method == "posture"
    assert np.abs(made.offset - 0.01 * (np.arange(9) % 7 - 3)).max() < 2 * RAD_PER_PULSE


def test_without_a_port_the_command_says_what_is_connected(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("knuckle.hardware.dynamixel.serial_port.serial_ports", lambda: [])
    with pytest.raises(InputError, match="no servo port is connected; --port .* --port virtual to rehearse"):
        calibrate_home(["--out", str(tmp_path / "c.json")])
    monkeypatch.setattr("knuckle.hardware.dynamixel.serial_port.serial_ports", lambda: ["a", "b"])
    with pytest.raises(InputError, match="several ports: a, b"):
        calibrate_home(["--out", str(tmp_path / "c.json")])
    assert calibrate_commands.VIRTUAL == "virtual"
