"""The motions that servos are identified from: clear of everything, within limits, of the frequencies asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knuckle.core.errors import ConfigError, InputError
from knuckle.hardware.identification.clearance import Finger
from knuckle.hardware.identification.motions import MotionConfig, plan_motion
from knuckle.hardware.identification.record import hand_for_motions
from knuckle.hardware.spec.hands import HANDS, hand_spec
from knuckle.sim.engine import mujoco
from knuckle.sim.scene import execution_scene

QUICK = MotionConfig(steps=1, hold_s=0.4, lowest_hz=0.8)


@pytest.mark.parametrize("name", sorted(HANDS))
def test_one_finger_moves_a_joint_at_a_time_within_its_limits_and_touches_nothing(name: str) -> None:
    hand = hand_spec(name)
    for number in range(len(hand.tips)):
        motion, finger = plan_motion(hand, number, QUICK), Finger(hand, number)
        others = np.setdiff1d(np.arange(hand.dof), finger.joints)
        np.testing.assert_array_equal(motion.targets[:, others], np.tile(hand.home[others], (len(motion.targets), 1)))
        assert ((motion.targets > hand.lower) & (motion.targets < hand.upper)).all()
        away = motion.targets[:, finger.joints] != motion.start[finger.joints]
        assert (away.sum(axis=1) <= 1).all() and away.any(axis=0).all()
        for q in motion.targets[::60]:
            assert finger.clearance(q) >= QUICK.clearance - 1e-9


def test_mujoco_sees_no_contact_either() -> None:
    hand = hand_spec("dclaw3")
    scene = execution_scene(hand, "duck")
    data, still = scene.new_data(), np.zeros(3)
    for q in plan_motion(hand, 1, QUICK).targets[::25]:
        scene.write_state(data, scene.physics_state(q, 0 * q, [0.0, 0.0, 3.0], [1.0, 0.0, 0.0, 0.0], still, still))
        assert data.ncon == 0
        assert (data.geom_xpos[scene.model.geom_contype > 1][:, 2] > 0.0).all()
    assert mujoco.__version__


def test_the_slowest_sine_is_the_one_asked_for() -> None:
    hand = hand_spec("dclaw4")
    slow, fast = (plan_motion(hand, 0, replace(QUICK, lowest_hz=hz)) for hz in (0.05, 0.8))
    # A period of 0.05, three of 0.15 (rounded down to whole ones), and one at least of 0.4 Hz, a joint.
    assert slow.seconds - fast.seconds > 3 * (1 / 0.05 + 1 / 0.15)
    assert slow.targets.shape[1] == 12


def test_a_joint_without_room_and_a_finger_that_is_none_are_refused() -> None:
    hand = hand_spec("dclaw3")
    with pytest.raises(InputError, match="has no room to move in"):
        plan_motion(hand, 0, MotionConfig(clearance=0.05, margin=0.5))
    with pytest.raises(InputError, match="unknown finger '3'; .*known: 0, 1, 2"):
        plan_motion(hand, 3)
    with pytest.raises(ConfigError, match=r"sysid\.rate_hz"):
        plan_motion(hand, 0, MotionConfig(rate_hz=5.0))


def test_the_driver_is_opened_with_a_pace_for_large_steps_and_with_no_other_change() -> None:
    hand = hand_spec("dclaw3")
    quick = hand_for_motions(hand)
    assert quick.policy_speed / quick.control_rate_hz >= 1.2
    assert replace(quick, policy_speed=hand.policy_speed) == hand
