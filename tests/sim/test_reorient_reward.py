"""The reward: every term against numbers worked out by hand from the paper's table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knuckle.core.config import validate
from knuckle.core.errors import ConfigError
from knuckle.sim.reorient.reward import Outcome, RewardConfig, reward_terms, servo_torque

YES, NO = np.array(True), np.array(False)
# Two tips 0.03 m and 0.05 m from the object, one of them above 0.16 m.
STEP = Outcome(
    angle=np.array(0.3),
    success=NO,
    fallen=NO,
    on_table=YES,
    tips=np.array([[0.03, 0.0, 0.15], [0.0, 0.03, 0.19]]),
    position=np.array([0.0, 0.0, 0.15]),
    dq=np.array([1.0, -2.0]),
    torque=np.array([0.1, 0.05]),
    before=np.array(0.35),
    action=np.array([0.3, -0.4]),
    offset=np.array(0.05),
)
PAPER = RewardConfig(rotation_eps=0.4, tip_distance_form="sum_of_squares", table_contact=-1.0, penultimate=-2.0)


def test_the_terms_of_the_default_are_those_of_the_released_code() -> None:
    terms = {name: float(value) for name, value in reward_terms(STEP, RewardConfig()).items()}
    assert terms == pytest.approx(
        {
            "success": 0.0,
            "rotation": 2.5,  # 1 / (0.3 + 0.1)
            "tip_distance": -0.04,  # the mean of 0.03 and 0.05
            "energy": -4.0,  # 20 (0.1 + 0.1)
            "fall": 0.0,
            "table_contact": 0.0,
            "penultimate": 0.0,
            "progress": 0.0,
            "action": 0.0,
            "offset": 0.0,
        }
    )


def test_the_terms_of_the_paper() -> None:
    terms = reward_terms(STEP, PAPER)
    assert float(terms["rotation"]) == pytest.approx(1 / 0.7)
    assert float(terms["tip_distance"]) == pytest.approx(-(0.03**2 + 0.05**2))
    assert float(terms["table_contact"]) == -1.0 and float(terms["penultimate"]) == -2.0


def test_the_terms_that_are_ours_pay_progress_and_charge_action_and_way() -> None:
    ours = RewardConfig(progress=20.0, action=-0.01, offset=-10.0, tip_distance=-10.0, tip_free=0.04, scale=0.02)
    terms = {name: float(value) / 0.02 for name, value in reward_terms(STEP, ours).items()}
    assert terms["progress"] == pytest.approx(20 * 0.05)
    assert terms["action"] == pytest.approx(-0.01 * 0.25)
    assert terms["offset"] == pytest.approx(-10 * 0.02)
    assert terms["tip_distance"] == pytest.approx(-10 * (0.0 + 0.01) / 2)
    assert terms["rotation"] == pytest.approx(2.5)


def test_success_and_fall_are_paid_once_each_and_power_is_clipped() -> None:
    terms = reward_terms(replace(STEP, success=YES, fallen=YES, torque=np.array([20.0, 1.0])), RewardConfig())
    assert (terms["success"], terms["fall"], terms["energy"]) == (800.0, -100.0, -200.0)


def test_a_batch_is_rewarded_world_by_world() -> None:
    both = Outcome(*(np.stack([np.asarray(v), np.asarray(v)]) for v in vars(STEP).values()))
    for name, value in reward_terms(both, PAPER).items():
        np.testing.assert_allclose(value, np.full(2, float(reward_terms(STEP, PAPER)[name])), err_msg=name)


def test_torque_follows_the_servo_law_and_its_limit() -> None:
    torque = servo_torque(
        np.array([0.1, 2.0]), np.zeros(2), np.array([0.2, 0.0]), np.full(2, 3.0), np.full(2, 0.5), np.full(2, 2.6)
    )
    np.testing.assert_allclose(torque, [0.2, 2.6])


def test_a_coefficient_of_the_wrong_sign_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"energy: 20.0 is out of range; -1e\+06 to 0"):
        validate(RewardConfig(energy=20.0))
