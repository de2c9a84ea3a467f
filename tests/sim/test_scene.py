"""The scene: one size signature, states written and read back, what the object weighs and where its centre lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, tip_positions
from knuckle.sim.engine import mujoco, rollout
from knuckle.sim.objects import OBJECTS, PARTS, object_shape
from knuckle.sim.scene import (
    PLANNER_DT_S,
    STATE,
    build_scene,
    coarse_scene,
    execution_scene,
    planner_scene,
    require_one_signature,
    size_signature,
)

HAND = hand_spec("dclaw3")


def test_all_objects_give_one_size_signature() -> None:
    require_one_signature([planner_scene(HAND, name) for name in OBJECTS])
    assert size_signature(planner_scene(HAND, "duck"))["ngeom"] > 0


def test_the_coarse_scene_is_the_planners_with_softer_friction_and_a_looser_solver() -> None:
    coarse, planners = coarse_scene(HAND, "duck").model, planner_scene(HAND, "duck").model
    assert coarse.opt.impratio < planners.opt.impratio and coarse.opt.tolerance > planners.opt.tolerance
    for name in ("timestep", "iterations", "ls_iterations", "cone", "integrator"):
        assert getattr(coarse.opt, name) == getattr(planners.opt, name), name
    np.testing.assert_array_equal(coarse.geom_friction, planners.geom_friction)


def test_an_object_of_more_parts_is_refused_in_a_batch() -> None:
    thing = object_shape("bunny")
    larger = replace(thing, name="larger", primitives=(*thing.primitives, *thing.primitives)[: PARTS + 1])
    odd = build_scene(HAND, larger, PLANNER_DT_S, iterations=10)
    with pytest.raises(RunError, match=r"bunny and larger differ in .*ngeom"):
        require_one_signature([planner_scene(HAND, "bunny"), odd])


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_the_objects_mass_and_centre_are_those_of_its_shape(name: str) -> None:
    model = execution_scene(HAND, name).model
    assert model.body("object").mass[0] == pytest.approx(object_shape(name).mass)
    np.testing.assert_allclose(model.body("object").ipos, 0.0, atol=1e-12)


def test_a_written_state_reads_back_in_the_world_frame() -> None:
    scene = execution_scene(HAND, "truck")
    rng = np.random.default_rng(3)
    q, dq = rng.uniform(HAND.lower, HAND.upper), rng.standard_normal(9)
    position, quaternion = np.array([0.01, -0.02, 0.3]), rotations.random(rng, 1)[0]
    velocity, spin = rng.standard_normal(3), rng.standard_normal(3)
    state = scene.physics_state(q, dq, position, quaternion, velocity, spin)
    assert scene.nstate == mujoco.mj_stateSize(scene.model, STATE)
    data = scene.new_data()
    scene.write_state(data, state)
    states = np.stack([scene.state_of(data)] * 2)[None]
    np.testing.assert_allclose(scene.joints_of(states)[0, 1], q)
    np.testing.assert_allclose(scene.joint_rates_of(states)[0, 1], dq)
    got_position, got_quaternion = scene.object_pose_of(states)
    np.testing.assert_allclose(got_position[0, 1], position)
    np.testing.assert_allclose(got_quaternion[0, 1], quaternion)
    got_velocity, got_spin = scene.object_twist_of(states)
    np.testing.assert_allclose(got_velocity[0, 1], velocity, atol=1e-12)
    np.testing.assert_allclose(got_spin[0, 1], spin, atol=1e-12)
    tips = scene.tips_of(np.stack([data.sensordata] * 2)[None])
    np.testing.assert_allclose(tips[0, 1], base_to_world(HAND, tip_positions(HAND, q)), atol=1e-9)
    np.testing.assert_allclose(data.body("object").xpos, position, atol=1e-12)


def test_spin_turns_the_object_as_world_rates_do() -> None:
    scene = execution_scene(HAND, "duck")
    scene.model.opt.gravity[:] = 0.0
    scene.model.opt.timestep = 1e-4
    start = rotations.random(np.random.default_rng(5), 1)[0]
    spin = np.array([0.0, 0.0, 0.5])
    data = scene.new_data()
    high = np.array([0.0, 0.0, 1.0])
    scene.write_state(data, scene.physics_state(HAND.home, np.zeros(9), high, start, np.zeros(3), spin))
    for _ in range(100):
        mujoco.mj_step(scene.model, data)
    turned = rotations.multiply(rotations.exp(0.01 * spin), start)
    got = scene.object_pose_of(scene.state_of(data))[1]
    assert rotations.angle_between(got, turned) < 1e-5


def test_a_rollout_of_mixed_objects_equals_their_own_steps() -> None:
    scenes = [planner_scene(HAND, name) for name in ("hammer", "duck")]
    q = HAND.home
    starts = np.stack(
        [s.physics_state(q, 0 * q, [0.0, 0.0, 0.1], rotations.IDENTITY, np.zeros(3), np.zeros(3)) for s in scenes]
    )
    control = np.tile(q + 0.1, (2, 12, 1))
    with rollout.Rollout(nthread=0) as pool:
        states, _ = pool.rollout([s.model for s in scenes], scenes[0].new_data(), starts, control)
    for scene, start, final in zip(scenes, starts, states[:, -1], strict=True):
        data = mujoco.MjData(scene.model)
        mujoco.mj_setState(scene.model, data, start, STATE)
        data.ctrl[:] = q + 0.1
        for _ in range(12):
            mujoco.mj_step(scene.model, data)
        np.testing.assert_array_equal(scene.state_of(data), final)


def test_an_unknown_object_is_refused() -> None:
    with pytest.raises(InputError, match="unknown object 'gramophone'"):
        execution_scene(HAND, "gramophone")
