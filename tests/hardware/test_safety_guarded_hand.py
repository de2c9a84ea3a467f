"""The guarded hand: who may move it, and what of a command reaches it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused, ConfigError, DeviceError
from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.contracts import Hand
from knuckle.hardware.spec.dclaw import dclaw

SPEC = dclaw(3)
NAMES = SPEC.joint_names
MS = 1_000_000
PERIOD = round(1e9 / SPEC.control_rate_hz)


def state_of(rig) -> State:
    return rig.hand.status().state


def test_it_starts_in_hold_and_has_told_the_raw_hand_so(rig):
    assert isinstance(rig.raw, Hand)
    assert rig.hand.spec is rig.raw.spec
    assert rig.raw.calls == [("hold", 0)]
    status = rig.hand.status()
    assert (status.state, status.torque, status.holder, status.reason) == (State.HOLD, True, "", "start")
    assert (status.latched, status.changes, status.since_ns) == (False, 0, 0)
    assert math.isnan(status.command_age_s)
    assert status.problem == "no joint state yet"


def test_a_configuration_out_of_range_is_refused(tmp_path, make_rig):
    with pytest.raises(ConfigError, match=r"safety\.silence_s"):
        make_rig(tmp_path, Config(silence_s=9.0))


def test_arming_takes_torque_and_gives_the_lease(rig):
    lease = rig.armed("policy")
    assert lease == "policy/1"
    assert rig.raw.made("arm") == 1
    status = rig.hand.status()
    assert (status.state, status.holder, status.reason) == (State.ARMED, "policy", "armed by 'policy'")
    assert status.since_ns == rig.now
    assert status.changes == 1


def test_arming_needs_a_good_joint_state(rig):
    with pytest.raises(CommandRefused, match="no joint state yet"):
        rig.hand.arm("policy")
    rig.raw.broken = {"error": np.ones(SPEC.dof, dtype=np.int32)}
    rig.run()
    with pytest.raises(CommandRefused, match="servo error reported by 'joint_f1_0'"):
        rig.hand.arm("policy")
    rig.raw.broken = {"q": np.full(SPEC.dof, math.nan)}
    rig.run()
    with pytest.raises(CommandRefused, match="NaN"):
        rig.hand.arm("policy")
    assert rig.raw.made("arm") == 0
    assert state_of(rig) is State.HOLD


def test_a_second_commander_is_refused_naming_both_and_the_first_goes_on(rig):
    lease = rig.armed("policy")
    with pytest.raises(CommandRefused, match="'page' asks for the lease that 'policy' holds"):
        rig.hand.arm("page")
    assert rig.raw.made("arm") == 1
    rig.send(lease)
    rig.refused("of 'page' with a lease that is void; 'policy' holds the lease", "page/1")
    rig.refused("a command without a lease; 'policy' holds the lease", "")
    assert state_of(rig) is State.ARMED


@pytest.mark.parametrize("torque", [True, False])
def test_a_device_that_fails_to_arm_leaves_the_state_and_is_put_back(rig, torque):
    rig.run()
    if not torque:
        rig.hand.release()
    before = rig.hand.status()
    rig.raw.failing = {"arm"}
    with pytest.raises(DeviceError, match="arm failed"):
        rig.hand.arm("policy")
    after = rig.hand.status()
    assert (after.state, after.holder, after.torque) == (before.state, "", torque)
    assert rig.raw.calls[-1][0] == ("hold" if torque else "release")
    rig.raw.failing = set()
    assert rig.hand.arm("policy") == "policy/1"


def test_what_is_returned_is_what_was_sent_and_is_counted(rig):
    lease = rig.armed()
    wanted = rig.raw.q + 0.2
    sent = rig.send(lease, wanted)
    assert np.array_equal(sent.q, rig.raw.sent[-1].q)
    assert np.array_equal(sent.q, wanted)
    assert (sent.stamp_ns, sent.valid_until_ns) == (rig.now, rig.now + PERIOD)
    rig.run(PERIOD)
    far = rig.send(lease, rig.raw.q + 9.0)
    assert (far.q <= np.minimum(rig.raw.q + 0.31, SPEC.upper)).all()
    status = rig.hand.status()
    assert (status.sent, status.clamped, status.refused, status.expired) == (2, 1, 0, 0)
    rig.run(30 * MS)
    assert rig.hand.status().command_age_s == pytest.approx(0.03)


def test_the_action_map_drives_the_hand_back_and_forth_at_full_speed_unaltered(rig):
    lease, act, smoothed = rig.armed(), ActionMap(SPEC), np.zeros(SPEC.dof)
    for k in range(120):
        smoothed = act.smooth(np.full(SPEC.dof, 1.0 if k // 5 % 2 == 0 else -1.0), smoothed)
        target = act.target(rig.raw.q, smoothed)
        assert np.array_equal(rig.send(lease, target).q, target)
        rig.run(80 * MS)
    status = rig.hand.status()
    assert (status.sent, status.clamped, status.refused, status.expired) == (120, 0, 0, 0)
    assert status.state is State.ARMED


def test_wrong_names_age_and_order_are_refused_and_the_hand_stays_armed(rig):
    lease = rig.armed()
    rig.run(300 * MS)
    rig.refused("unknown: 'thumb'", lease, names=("thumb", *NAMES[1:]))
    rig.refused("ms old", lease, age=260 * MS, validity=300 * MS)
    rig.refused("in the future", lease, age=-30 * MS)
    rig.refused("validity ended", lease, validity=-1)
    rig.send(lease)
    rig.refused("already sent", lease)
    rig.run()
    rig.refused("shape", lease, q=np.zeros(3))
    assert state_of(rig) is State.ARMED


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_poisoned_command_is_not_written_and_leads_to_hold(rig, poison):
    lease = rig.armed()
    rig.send(lease, SPEC.home)
    rig.run()
    q = rig.raw.q.copy()
    q[4] = poison
    rig.refused("NaN or infinite for 'joint_f2_1'", lease, q)
    status = rig.hand.status()
    assert (status.state, status.holder) == (State.HOLD, "")
    assert "NaN or infinite" in status.reason
    assert rig.raw.calls[-1][0] == "hold"


def test_poison_from_one_without_the_lease_does_not_disturb_the_holder(rig):
    rig.armed()
    rig.refused("lease", "page/7", np.full(SPEC.dof, math.nan))
    assert state_of(rig) is State.ARMED


def test_the_lease_of_an_earlier_arming_is_void(rig):
    old = rig.armed()
    rig.hand.hold("page")
    rig.refused(r"the hand is HOLD \(hold asked by 'page'\)", old)
    new = rig.hand.arm("policy")
    rig.refused("lease that is void", old)
    rig.send(new)


def test_a_raw_hand_that_refuses_is_passed_on_and_one_that_fails_leads_to_hold(rig):
    lease = rig.armed()
    rig.raw.refusing = True
    rig.refused("busy", lease)
    assert state_of(rig) is State.ARMED
    rig.raw.refusing, rig.raw.failing = False, {"send", "hold"}
    with pytest.raises(DeviceError, match="send failed"):
        rig.send(lease)
    status = rig.hand.status()
    assert (status.state, status.refused) == (State.HOLD, 2)
    assert "send failed" in status.reason
    assert "hold failed" in status.problem
    with pytest.raises(CommandRefused, match="hold failed"):
        rig.hand.arm("policy")
    holds = rig.raw.made("hold")
    rig.run(30 * MS)
    assert rig.raw.made("hold") == holds + 3
    rig.raw.failing = set()
    rig.run(30 * MS)
    assert rig.raw.made("hold") == holds + 4
    assert rig.hand.status().problem == ""


def test_a_command_is_refused_where_driver_cycles_have_stopped(rig):
    lease = rig.armed()
    rig.now += 100 * MS
    rig.send(lease)
    rig.now += 1
    rig.refused("no fresh joint state", lease)
