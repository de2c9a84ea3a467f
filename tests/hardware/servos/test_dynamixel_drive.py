"""The servo loop in virtual time, through the vendor's packet layer, against virtual servos at 1 Mbaud."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.dynamixel.drive import ARMED, HOLDING, RELEASED
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XC330_M288, XL330_M288
from knuckle.hardware.spec.leap import leap

MS = 1_000_000


def test_the_paper_s_gains_and_a_watchdog_are_set_and_torque_stays_off(wire_hand) -> None:
    hand = wire_hand()
    hand.open()
    expected = {
        "position_p_gain": 200,
        "position_i_gain": 0,
        "position_d_gain": 10,
        "operating_mode": 3,
        "return_delay_time": 0,
        "bus_watchdog": 10,
        "torque_enable": 0,
    }
    for name, value in expected.items():
        assert hand.value(name) == [value] * 9, name


@pytest.mark.parametrize(("model", "current"), [(XC330_M288, 550), (XL330_M288, 350)])
def test_a_leap_hand_is_driven_current_based_with_weaker_side_joints(wire_hand, model, current) -> None:
    hand = wire_hand(leap(), model, baud=4_000_000)
    hand.armed()
    by_id = {servo.id: servo for servo in hand.bus.servos}
    for id, servo in by_id.items():
        share = 0.75 if id in (0, 4, 8) else 1.0
        assert servo.value("operating_mode") == 5
        assert servo.value("position_p_gain") == 600 * share
        assert servo.value("position_d_gain") == 200 * share
        assert servo.value("goal_current") == servo.value("current_limit") == current
        assert servo.torque_on


def test_what_a_servo_already_holds_is_not_written_to_its_eeprom_again(wire_hand) -> None:
    hand = wire_hand()
    hand.open()
    first = len(hand.heard.heard)
    hand.open()
    for name in ("operating_mode", "return_delay_time", "max_position_limit", "homing_offset"):
        assert hand.heard.writes(name, first) == []


def test_a_register_that_does_not_hold_what_was_written_ends_the_opening(wire_hand, monkeypatch) -> None:
    hand = wire_hand()
    servo = hand.bus.servos[4]
    apply = servo._apply
    monkeypatch.setattr(servo, "_apply", lambda r, raw: None if r.name == "bus_watchdog" else apply(r, raw))
    with pytest.raises(DeviceError, match=r"servo 21 holds bus_watchdog = 0; 10 was written"):
        hand.open()
    assert hand.value("torque_enable") == [0] * 9


def test_arming_begins_at_the_measured_posture_though_the_servos_hold_old_goals(wire_hand, near) -> None:
    hand = wire_hand()
    drive = hand.open()
    posture = drive.state.q
    for servo in hand.bus.servos:
        servo.write(116, (1000).to_bytes(4, "little"))
    drive.order(ARMED)
    for _ in range(60):
        hand.cycle()
        assert near(hand.plant.joint_state()[0], posture)
    assert hand.value("torque_enable") == [1] * 9


def test_torque_rises_when_armed_and_falls_before_it_goes_off(wire_hand) -> None:
    hand = wire_hand(leap(), XC330_M288, baud=4_000_000, ramp_s=0.5, release_s=0.3)
    drive = hand.open()
    drive.order(ARMED)
    seen = []
    for _ in range(60):
        hand.cycle()
        seen.append(hand.value("goal_current")[1])
    assert 50 < seen[0] < 100
    assert all(b >= a for a, b in itertools.pairwise(seen))
    assert max(np.diff(seen)) < 0.05 * 550
    assert seen[-1] == 550
    drive.order(RELEASED)
    falling = []
    while hand.value("torque_enable")[1]:
        hand.cycle()
        falling.append(hand.value("goal_current")[1])
        assert len(falling) < 50
    assert len(falling) >= 28
    assert falling[-1] < 100
    assert hand.value("torque_enable") == [0] * 16


def test_a_target_is_followed_within_the_next_cycle_and_what_was_sent_is_what_the_servos_hold(wire_hand, near) -> None:
    hand = wire_hand()
    drive = hand.armed()
    sent = drive.follow(hand.command(drive.state.q + 0.2))
    hand.cycle()
    held = drive.scale.joint(np.array(hand.value("goal_position")))
    assert np.array_equal(held, sent.q)
    hand.run(15)
    assert near(drive.state.q, sent.q)


def test_a_target_beyond_the_limits_is_cut_and_the_cut_one_is_returned(wire_hand) -> None:
    hand = wire_hand()
    drive = hand.armed()
    sent = drive.follow(hand.command(np.full(9, 9.0)))
    assert (sent.q <= hand.spec.upper + 0.001).all()
    assert (sent.q >= hand.spec.upper - 0.001).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_target_that_is_no_number_is_refused_and_the_old_one_stays(wire_hand, bad) -> None:
    hand = wire_hand()
    drive = hand.armed()
    before = hand.value("goal_position")
    with pytest.raises(CommandRefused):
        drive.follow(hand.command(np.full(9, bad)))
    hand.run(3)
    assert hand.value("goal_position") == before


def test_holding_puts_torque_on_nowhere(wire_hand) -> None:
    hand = wire_hand()
    drive = hand.open()
    drive.order(HOLDING)
    hand.run(10)
    assert hand.value("torque_enable") == [0] * 9
    assert hand.heard.writes("torque_enable")[-1].parameters[-1] == 0


def test_targets_are_refused_unless_armed(wire_hand) -> None:
    hand = wire_hand()
    drive = hand.open()
    for mode in (RELEASED, HOLDING):
        drive.order(mode)
        with pytest.raises(CommandRefused, match=f"the hand is {mode}"):
            drive.follow(hand.command(hand.spec.home))


def test_a_target_that_is_void_is_left_for_the_posture_of_that_moment(wire_hand, near) -> None:
    hand = wire_hand()
    drive = hand.armed()
    start = drive.state.q
    drive.follow(hand.command(start + 0.4, valid_ms=20))
    hand.run(40)
    moved = drive.state.q - start
    assert (moved > 0.01).all() and (moved < 0.39).all()
    still = drive.state.q
    hand.run(20)
    assert near(drive.state.q, still)


def test_values_are_signed_and_scaled_by_the_calibration(wire_hand) -> None:
    hand = wire_hand()
    hand.plant.load[:] = -0.5
    drive = hand.armed()
    drive.follow(hand.command(drive.state.q - 0.3))
    hand.until(lambda: bool((drive.state.dq < -0.5).all()), limit=10)
    assert (drive.state.effort < -0.2).all()
    q, _, _ = hand.plant.joint_state()
    assert np.abs(drive.state.q - q).max() < 0.08


def test_temperature_and_voltage_come_from_the_slow_poll(wire_hand) -> None:
    hand = wire_hand()
    for n, station in enumerate(hand.bus.stations):
        station.heat.temperature = 30.0 + n
    drive = hand.open()
    assert np.abs(drive.state.temperature - (30.0 + np.arange(9))).max() <= 1.0
    assert np.allclose(drive.poll.volts, 12.0)


def test_a_bounded_joint_is_bounded_and_one_at_zero_is_limp_whatever_is_ordered(wire_hand) -> None:
    hand = wire_hand(leap(), XC330_M288, baud=4_000_000)
    drive = hand.armed()
    limit = hand.spec.effort_limit.copy()
    limit[1], limit[2] = 0.0, 0.5 * limit[2]
    drive.limit_effort(limit)
    hand.run(3)
    assert hand.value("torque_enable")[1] == 0
    assert hand.value("goal_current")[2] == 275
    for mode in (HOLDING, ARMED):
        drive.order(mode)
        hand.run(3)
        assert hand.value("torque_enable")[1] == 0
    drive.limit_effort(hand.spec.effort_limit)
    drive.order(HOLDING)
    hand.run(3)
    assert hand.value("torque_enable")[1] == 0
    drive.order(ARMED)
    hand.run(60)
    assert hand.value("torque_enable")[1] == 1
    assert hand.value("goal_current")[2] == 550


def test_in_position_mode_the_torque_is_bounded_by_the_share_of_the_voltage(wire_hand) -> None:
    hand = wire_hand()
    drive = hand.armed()
    assert hand.value("goal_pwm") == [885] * 9
    drive.limit_effort(hand.spec.effort_limit * 0.5)
    hand.run(2)
    assert set(hand.value("goal_pwm")) <= {442, 443}


def test_twelve_servos_at_one_megabaud_fit_into_a_cycle_of_ten_milliseconds(wire_hand) -> None:
    hand = wire_hand(dclaw(4))
    drive = hand.armed()
    took = []
    for _ in range(200):
        began = hand.port.now_ns
        drive.cycle(began)
        took.append(hand.port.now_ns - began)
        hand.port.now_ns = began + 10 * MS
    assert max(took) < 10 * MS
