"""The hand's MuJoCo model against its HandSpec: kinematics, masses, servos, limits, collision bits."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, link_poses, tip_positions
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import add_hand, cut_joint_rates


def compiled(hand: HandSpec) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    spec.option.timestep = 1.0 / 120.0
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    add_hand(spec, hand)
    return spec.compile()


@pytest.mark.parametrize("fingers", [3, 4])
def test_every_link_and_tip_stands_where_the_spec_puts_it(fingers: int) -> None:
    hand = dclaw(fingers)
    model = compiled(hand)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    mount = np.array(hand.mount_quaternion)
    for q in rng.uniform(hand.lower, hand.upper, (20, hand.dof)):
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        positions, quaternions = link_poses(hand, q)
        for i, name in enumerate(hand.link_names):
            body = data.body(name)
            np.testing.assert_allclose(body.xpos, base_to_world(hand, positions[i]), atol=1e-9)
            assert rotations.angle_between(body.xquat, rotations.multiply(mount, quaternions[i])) < 1e-7
        tips = base_to_world(hand, tip_positions(hand, q))
        for k, tip in enumerate(hand.tips):
            np.testing.assert_allclose(data.site(tip.name).xpos, tips[k], atol=1e-9)
            np.testing.assert_allclose(data.sensor(tip.name).data, tips[k], atol=1e-9)


def test_masses_gains_and_limits_are_those_of_the_spec() -> None:
    hand = hand_spec("dclaw3")
    model = compiled(hand)
    for link in hand.links:
        assert model.body(link.name).mass[0] == pytest.approx(link.mass, rel=1e-9)
    for joint in hand.joints:
        servo, hinge = model.actuator(joint.name), model.joint(joint.name)
        assert servo.gainprm[0] == pytest.approx(joint.stiffness)
        assert hinge.damping[0] - servo.biasprm[2] == pytest.approx(joint.damping)
        np.testing.assert_allclose(servo.forcerange, [-joint.effort_limit, joint.effort_limit])
        np.testing.assert_allclose(hinge.range, [joint.lower, joint.upper])


def test_a_servo_follows_the_identified_second_order_system() -> None:
    hand = hand_spec("dclaw3")
    model = compiled(hand)
    model.opt.gravity[:] = 0.0
    model.opt.timestep = 1e-4
    data = mujoco.MjData(model)
    start, step = np.array([0.1, 0.3, -0.4]), 0.2
    data.qpos[:] = np.tile(start, 3)
    data.ctrl[:] = data.qpos
    data.ctrl[2] += step
    for _ in range(1000):
        mujoco.mj_step(model, data)
    # The last link is light: after 0.1 s the response is the massless one, 1 - exp(-t kp / kd), within a few percent.
    joint = hand.joints[2]
    expected = step * (1.0 - np.exp(-0.1 * joint.stiffness / joint.damping))
    assert data.qpos[2] - start[2] == pytest.approx(expected, rel=0.05)


def test_a_stalled_servo_pushes_with_its_effort_limit_and_no_more() -> None:
    hand = hand_spec("dclaw3")
    model = compiled(hand)
    data = mujoco.MjData(model)
    data.qpos[:] = hand.lower
    data.ctrl[:] = hand.upper
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.actuator_force, hand.effort_limit)


def test_under_the_action_map_no_joint_reaches_its_velocity_limit() -> None:
    hand = hand_spec("dclaw3")
    model, chart, rng = compiled(hand), ActionMap(hand_spec("dclaw3")), np.random.default_rng(1)
    data = mujoco.MjData(model)
    data.qpos[:] = hand.home
    smoothed, fastest = np.zeros(hand.dof), np.zeros(hand.dof)
    for _ in range(60):
        smoothed = chart.smooth(rng.choice([-1.0, 1.0], hand.dof), smoothed)
        data.ctrl[:] = chart.target(data.qpos, smoothed)
        for _ in range(10):
            mujoco.mj_step(model, data)
            fastest = np.maximum(fastest, np.abs(data.qvel))
    assert (fastest < hand.velocity_limit).all()
    assert fastest.max() > 1.0


def test_joint_rates_are_cut_at_the_velocity_limit_in_place() -> None:
    hand = hand_spec("dclaw3")
    rates = np.linspace(-20.0, 20.0, hand.dof)
    cut_joint_rates(rates, hand)
    assert (np.abs(rates) <= hand.velocity_limit).all()
    assert rates[0] == -hand.velocity_limit[0]


def test_a_finger_meets_other_fingers_but_never_itself() -> None:
    hand = hand_spec("dclaw3")
    model = compiled(hand)
    finger = {name: int(name[6]) for name in hand.link_names if name.startswith("link_f")}
    for a in range(model.ngeom):
        for b in range(model.ngeom):
            meets = bool(
                (model.geom_contype[a] & model.geom_conaffinity[b])
                | (model.geom_contype[b] & model.geom_conaffinity[a])
            )
            fa = finger.get(model.body(model.geom_bodyid[a]).name)
            fb = finger.get(model.body(model.geom_bodyid[b]).name)
            assert meets == (fa is not None and fb is not None and fa != fb)
