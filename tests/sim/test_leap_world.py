"""The LEAP hand in simulation: objects rest in it, what is hand-agnostic works, what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, link_poses, tip_positions, world_to_base
from knuckle.perception.cloud import CloudBuilder
from knuckle.perception.labels import HAND, OBJECT
from knuckle.perception.view_config import ViewConfig
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.engine import mujoco
from knuckle.sim.objects import TRAIN
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.observation import ReorientObservation
from knuckle.sim.scene import execution_scene
from knuckle.sim.world import SimWorld

LEAP = hand_spec("leap")
SECOND_NS = 1_000_000_000


def test_links_and_tips_of_the_model_stand_where_the_spec_puts_them() -> None:
    scene = execution_scene(LEAP, "duck")
    data = scene.new_data()
    rng = np.random.default_rng(0)
    for q in rng.uniform(LEAP.lower, LEAP.upper, (5, LEAP.dof)):
        data.qpos[scene.joint_q] = q
        mujoco.mj_forward(scene.model, data)
        positions, _ = link_poses(LEAP, q)
        for i, name in enumerate(LEAP.link_names):
            np.testing.assert_allclose(data.body(name).xpos, base_to_world(LEAP, positions[i]), atol=1e-9)
        tips = base_to_world(LEAP, tip_positions(LEAP, q))
        np.testing.assert_allclose(scene.tips_of(data.sensordata), tips, atol=1e-9)


def test_no_part_of_the_hand_presses_on_another_at_home_or_straight() -> None:
    scene = execution_scene(LEAP, "duck")
    data = scene.new_data()
    still, away = np.zeros(3), np.array([0.0, 0.0, 3.0])
    for q in (LEAP.home, np.zeros(16)):
        scene.write_state(data, scene.physics_state(q, 0 * q, away, [1.0, 0.0, 0.0, 0.0], still, still))
        assert data.ncon == 0


def test_a_fingertip_is_stopped_by_the_palm() -> None:
    world = SimWorld(LEAP, "duck", seed=0)
    model = world.scene.model
    palm, tip, middle = (model.body(name).geomadr[0] for name in ("palm", "if_ds", "if_md"))
    assert model.geom_contype[palm] & model.geom_conaffinity[tip]
    assert not model.geom_contype[palm] & model.geom_conaffinity[middle]


@pytest.mark.parametrize("name", ["truck", "hammer", "letter_g", "bunny"])
def test_objects_come_to_rest_in_the_palm(name: str) -> None:
    world = SimWorld(LEAP, name, seed=3)
    start = world.object_truth()
    local = world_to_base(LEAP, start.position)
    assert local[2] > 0.0 and np.linalg.norm(local) < 0.13
    world.advance(world.now_ns + SECOND_NS)
    later = world.object_truth()
    assert np.linalg.norm(later.position - start.position) < 0.01
    assert not world.dropped()
    assert world.contact_facts().table == 0.0 and world.contact_facts().hand > 0.5 * 9.81 * world.scene.thing.mass


def test_the_hand_moves_to_a_commanded_posture_and_an_open_hand_lets_go() -> None:
    world = SimWorld(LEAP, "duck", seed=0)
    world.arm()
    flat = np.where([name.startswith("th") for name in LEAP.joint_names], LEAP.lower, -0.3)
    for k in range(1, 25):
        until = world.now_ns + SECOND_NS // 12
        share = min(1.0, k / 12)
        world.send(HandCommand(world.now_ns, until, (1 - share) * LEAP.home + share * flat))
        world.advance(until)
    state = world.read()
    assert len(state.q) == 16
    assert np.abs(state.q - np.clip(flat, LEAP.lower, LEAP.upper)).max() < 0.15
    world.advance(world.now_ns + 2 * SECOND_NS)
    assert world.dropped()


def test_a_world_without_a_table_is_refused_for_a_palm_that_faces_up() -> None:
    with pytest.raises(InputError, match="palm of hand leap faces up.*surface table"):
        SimWorld(LEAP, "duck", surface="air")
    SimWorld(hand_spec("leap_down"), "duck", surface="air")


def test_palm_down_the_object_lies_on_the_table_under_the_hand() -> None:
    world = SimWorld(hand_spec("leap_down"), "duck", seed=0)
    assert world.contact_facts().table > 0.0
    assert world.object_truth().position[2] < world.spec.mount_position[2] - 0.05


def test_the_cloud_shows_object_and_hand_each_by_its_label() -> None:
    world = SimWorld(LEAP, "truck", seed=2)
    camera = SimDepthCamera(world)
    try:
        cloud = CloudBuilder(LEAP, camera.extrinsics).build(camera.read(1.0), world.read().q)
    finally:
        camera.close()
    thing = base_to_world(LEAP, cloud.points[cloud.label == OBJECT].astype(float))
    assert len(thing) > 200
    assert np.linalg.norm(thing.mean(axis=0) - world.object_truth().position) < 0.05
    assert len({*cloud.label.tolist()} - {OBJECT}) > 8 and cloud.label.max() < HAND + len(LEAP.links)


def test_perception_looks_from_the_hands_own_place_unless_told_otherwise() -> None:
    own = SimDepthCamera(SimWorld(LEAP, "duck"), source="rays").extrinsics
    assert ViewConfig(hand="leap").extrinsics() == own
    assert ViewConfig(hand="leap", camera_x=0.5).extrinsics().position[0] == 0.5
    assert ViewConfig(hand="leap_down").extrinsics() == ViewConfig().extrinsics()


def test_the_observation_is_as_wide_as_the_hand_asks() -> None:
    seen = ReorientObservation(LEAP)
    # 3 dof and 13 a tip beside the 21 numbers of object and goal: 22 G + 21 where a finger has three joints.
    assert seen.width == 3 * 16 + 13 * 4 + 21
    assert len({name for name, _ in seen.columns}) == seen.width


def test_worlds_to_learn_in_run_with_it_and_say_what_they_cannot(tmp_path: Path) -> None:
    config = BatchConfig(worlds=4, cached_starts=4, threads=1, starts="mixed", randomisation="default")
    world = BatchWorld(LEAP, (TRAIN[0], TRAIN[6]), config, cache_folder=tmp_path)
    try:
        rng = np.random.default_rng(0)
        heights = world.states[:, 1 + world.stepper.scenes[0].object_q.start + 2]
        assert (heights > LEAP.mount_position[2] - 0.02).all()
        for _ in range(12):
            observation, reward, _, _ = world.step(rng.uniform(-0.3, 0.3, (4, 16)))
        assert observation.shape == (4, 121) and np.isfinite(observation).all() and np.isfinite(reward).all()
    finally:
        world.close()
    with pytest.raises(InputError, match="palm of hand leap faces up.*surface table"):
        BatchWorld(LEAP, ("duck",), BatchConfig(worlds=1, surface="air", threads=1), cache_folder=tmp_path)
    with pytest.raises(InputError, match="palm of hand leap faces up.*settled, grasp or mixed"):
        BatchWorld(LEAP, ("duck",), BatchConfig(worlds=1, starts="table", threads=1), cache_folder=tmp_path)
