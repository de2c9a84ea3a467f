"""The URDF of a hand says what its HandSpec says: MuJoCo, which reads URDF, is the judge."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import HandSpec, Joint, Link, Primitive
from knuckle.hardware.spec.hands import HANDS, hand_spec
from knuckle.hardware.spec.kinematics import link_poses
from knuckle.hardware.spec.urdf import urdf


def model_of(spec: HandSpec):  # type: ignore[no-untyped-def]
    from knuckle.sim.engine import mujoco

    model = mujoco.MjModel.from_xml_string(urdf(spec))
    return mujoco, model, mujoco.MjData(model)


@pytest.mark.parametrize("name", sorted(HANDS))
def test_links_stand_where_the_kinematics_say(name: str) -> None:
    spec = hand_spec(name)
    mujoco, model, data = model_of(spec)
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = rng.uniform(spec.lower, spec.upper)
        for joint, value in zip(spec.joint_names, q, strict=True):
            data.joint(joint).qpos = value
        mujoco.mj_forward(model, data)
        positions, quaternions = link_poses(spec, q)
        for i, link in enumerate(spec.links[1:], start=1):
            np.testing.assert_allclose(data.body(link.name).xpos, positions[i], atol=1e-9)
            assert rotations.angle_between(data.body(link.name).xquat, quaternions[i]) < 1e-7


@pytest.mark.parametrize("name", sorted(HANDS))
def test_limits_and_masses_are_the_spec_s(name: str) -> None:
    spec = hand_spec(name)
    _, model, _ = model_of(spec)
    for joint in spec.joints:
        np.testing.assert_allclose(model.joint(joint.name).range, [joint.lower, joint.upper], atol=1e-8)
    for link in spec.links[1:]:
        assert model.body(link.name).mass[0] == pytest.approx(link.mass)


def test_inertia_of_one_box_and_of_the_same_box_in_two_halves_are_equal() -> None:
    joint = Joint("j", (0, 0, 1), -1, 1, 0, 1, 1, 1, 1, 1)
    turned = tuple(rotations.from_axis_angle([0.0, 1.0, 0.0], 0.7).tolist())

    def spec(primitives: tuple[Primitive, ...]) -> HandSpec:
        base = Link("base", None, None, (0, 0, 0), (1, 0, 0, 0), 1.0, (Primitive("sphere", (0.1,), (0, 0, 0)),))
        arm = Link("arm", "base", "j", (0.3, 0.2, 0.1), turned, 2.0, primitives)
        return HandSpec("two", (joint,), (base, arm), (), (0, 0, 0), (1, 0, 0, 0), 1.0, 12.0)

    whole = model_of(spec((Primitive("box", (0.2, 0.1, 0.05), (0.1, 0, 0)),)))[1]
    halves = tuple(Primitive("box", (0.1, 0.1, 0.05), (x, 0, 0)) for x in (0.0, 0.2))
    split = model_of(spec(halves))[1]
    expected = 2.0 / 3.0 * np.array([0.1**2 + 0.05**2, 0.2**2 + 0.05**2, 0.2**2 + 0.1**2])
    for model in (whole, split):
        np.testing.assert_allclose(sorted(model.body("arm").inertia), sorted(expected), rtol=1e-6)
        np.testing.assert_allclose(model.body("arm").ipos, [0.1, 0.0, 0.0], atol=1e-9)


def test_the_root_is_hand_base_and_every_capsule_became_three_solids() -> None:
    spec = hand_spec("dclaw3")
    robot = Xml.fromstring(urdf(spec))
    assert robot.find("link").get("name") == "hand_base"  # type: ignore[union-attr]
    capsules = sum(p.kind == "capsule" for link in spec.links for p in link.primitives)
    solids = sum(len(link.primitives) for link in spec.links) + 2 * capsules
    assert len(robot.findall("link/collision")) == len(robot.findall("link/visual")) == solids


def test_turns_of_a_right_angle_about_y_survive_roll_pitch_yaw() -> None:
    for angle in (np.pi / 2, -np.pi / 2):
        q = rotations.from_axis_angle([0.0, 1.0, 0.0], angle)
        spin = rotations.multiply(q, rotations.from_axis_angle([1.0, 0.0, 0.0], 0.4))
        base = Link("base", None, None, (0, 0, 0), (1, 0, 0, 0), 1.0, (Primitive("sphere", (0.1,), (0, 0, 0)),))
        arm = Link("arm", "base", "j", (0, 0, 1), tuple(spin.tolist()), 1.0, base.primitives)
        joint = Joint("j", (0, 0, 1), -1, 1, 0, 1, 1, 1, 1, 1)
        mujoco, model, data = model_of(HandSpec("one", (joint,), (base, arm), (), (0, 0, 0), (1, 0, 0, 0), 1.0, 12.0))
        mujoco.mj_forward(model, data)
        assert rotations.angle_between(data.body("arm").xquat, spin) < 1e-6
