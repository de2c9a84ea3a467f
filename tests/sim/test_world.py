"""The world: time, determinism, the Hand contract, expiry, settling, drops, and the guard against broken states."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import CommandRefused, InputError, RunError
from knuckle.hardware.spec.contracts import Hand, HandCommand
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, tip_positions
from knuckle.hardware.spec.mounts import pinhole
from knuckle.sim.objects import OBJECTS
from knuckle.sim.world import SETTLING_STEPS, SimWorld, is_dropped

HAND = hand_spec("dclaw3")
CYCLE_NS = 1_000_000_000 // 12


def command(world: SimWorld, q: np.ndarray, cycles: float = 1.0) -> HandCommand:
    return HandCommand(world.now_ns, world.now_ns + int(cycles * CYCLE_NS), q)


def bits(world: SimWorld) -> bytes:
    return world.snapshot()[2].tobytes()


def test_the_world_is_a_hand() -> None:
    world = SimWorld(HAND, "duck")
    assert isinstance(world, Hand)
    state = world.read()
    assert state.q.shape == state.dq.shape == state.effort.shape == state.error.shape == (9,)
    assert np.isnan(state.temperature).all()
    assert [world.read().seq for _ in range(3)] == [2, 3, 4]


def test_time_is_whole_steps_of_a_120th_and_never_beyond_what_was_asked() -> None:
    world = SimWorld(HAND, "duck", start_ns=5_000)
    assert world.advance(5_000 + 8_333_332) == 0
    assert world.advance(5_000 + 8_333_333) == 1
    assert world.now_ns == 5_000 + 8_333_333
    assert world.advance(5_000 + 1_000_000_000) == 119
    assert world.now_ns == 5_000 + 1_000_000_000
    assert world.advance(0) == 0


@pytest.mark.parametrize("name", ["hammer", "letter_f"])
def test_the_same_seed_and_commands_give_the_same_bits_however_time_is_cut(name: str) -> None:
    worlds = SimWorld(HAND, name, seed=4), SimWorld(HAND, "duck", seed=9)
    worlds[1].reset(4, name)
    for world, cuts in zip(worlds, (1, 7), strict=True):
        world.arm()
        rng = np.random.default_rng(0)
        for cycle in range(1, 13):
            world.send(command(world, HAND.home + rng.uniform(-0.2, 0.2, 9)))
            begin, end = world.now_ns, cycle * 1_000_000_000 // 12
            for k in range(1, cuts + 1):
                world.advance(begin + (end - begin) * k // cuts)
    assert bits(worlds[0]) == bits(worlds[1])


def test_other_seeds_give_other_starts_and_a_generator_moves_on() -> None:
    world = SimWorld(HAND, "truck", seed=0)
    first = bits(world)
    world.reset(1)
    assert bits(world) != first
    rng = np.random.default_rng(7)
    world.reset(rng)
    once = bits(world)
    world.reset(rng)
    assert bits(world) != once
    world.reset(7)
    assert bits(world) == once


def test_starting_orientations_cover_so3() -> None:
    world = SimWorld(HAND, "truck")
    angles = []
    for seed in range(40):
        world.reset(seed)
        angles.append(float(rotations.angle_between(rotations.IDENTITY, world.object_truth().quaternion)))
    assert min(angles) < 1.3
    assert max(angles) > 2.6


def test_commands_are_followed_only_when_armed() -> None:
    world = SimWorld(HAND, "duck")
    with pytest.raises(CommandRefused, match="mode hold; arm it first"):
        world.send(command(world, HAND.home))
    world.arm()
    target = HAND.home + 0.15
    world.send(command(world, target, cycles=12))
    world.advance(world.now_ns + 900_000_000)
    assert np.abs(world.read().q - target).max() < 0.06
    world.hold()
    with pytest.raises(CommandRefused):
        world.send(command(world, HAND.home))


@pytest.mark.parametrize("bad", [np.full(9, np.nan), np.zeros(8), np.array([np.inf] + [0.0] * 8)])
def test_targets_that_are_no_targets_are_refused_and_change_nothing(bad: np.ndarray) -> None:
    world = SimWorld(HAND, "duck")
    world.arm()
    with pytest.raises(CommandRefused, match="9 finite angles"):
        world.send(command(world, bad))
    assert world.valid_until_ns is None


def test_what_is_sent_is_cut_to_the_joint_limits_and_returned() -> None:
    world = SimWorld(HAND, "duck")
    world.arm()
    sent = world.send(command(world, np.full(9, 9.0)))
    np.testing.assert_array_equal(sent.q, HAND.upper)


def test_a_command_void_already_is_refused() -> None:
    world = SimWorld(HAND, "duck")
    world.advance(1_000_000_000)
    world.arm()
    with pytest.raises(CommandRefused, match="void since 500.0 ms"):
        world.send(HandCommand(0, 500_000_000, HAND.home))


def test_an_expired_command_leaves_the_hand_holding_the_posture_it_had() -> None:
    world = SimWorld(HAND, "duck")
    world.arm()
    world.send(command(world, HAND.home + np.tile([0.0, 0.5, 0.5], 3)))
    world.advance(world.now_ns + CYCLE_NS)
    assert world.valid_until_ns is not None
    stopped = world.read().q
    world.advance(world.now_ns + 1_000_000_000)
    assert world.valid_until_ns is None
    assert np.abs(world.read().q - stopped).max() < 0.1
    assert np.abs(world.read().dq).max() < 0.02
    world.send(command(world, HAND.home))
    assert world.valid_until_ns is not None


def test_a_released_hand_sinks_without_effort_and_arming_holds_it_where_it_is() -> None:
    world = SimWorld(HAND, "duck")
    world.release()
    world.advance(2_000_000_000)
    limp = world.read()
    assert (limp.effort == 0.0).all()
    assert np.abs(limp.q - HAND.home).max() > 0.3
    world.arm()
    world.advance(world.now_ns + 1_000_000_000)
    assert np.abs(world.read().q - limp.q).max() < 0.1
    assert np.abs(world.read().effort).max() > 0.0


def test_a_reset_puts_a_released_hand_home_and_keeps_it_released_and_time_standing() -> None:
    world = SimWorld(HAND, "duck")
    world.release()
    world.advance(1_500_000_000)
    before = world.now_ns
    world.reset(3)
    assert world.now_ns == before
    assert world.mode == "released"
    assert np.abs(world.read().q - HAND.home).max() < 0.08


def test_joint_rates_never_pass_the_hard_limits() -> None:
    world = SimWorld(HAND, "duck")
    world.arm()
    world.send(command(world, HAND.upper, cycles=12))
    fastest = np.zeros(9)
    for _ in range(30):
        world.advance(world.now_ns + 8_400_000)
        fastest = np.maximum(fastest, np.abs(world.read().dq))
    assert (fastest <= HAND.velocity_limit + 1e-12).all()
    assert fastest.max() > 6.0


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_an_object_comes_to_rest_on_the_table_and_stays(name: str) -> None:
    world = SimWorld(HAND, name)
    weight = 9.81 * world.scene.thing.mass
    free = 0
    for seed in range(4):
        world.reset(seed)
        assert not world.dropped()
        world.advance(world.now_ns + 6_000_000_000)
        truth, facts = world.object_truth(), world.contact_facts()
        assert np.linalg.norm(truth.velocity) < 1e-2
        assert np.linalg.norm(truth.spin) < 0.1
        assert facts.deepest < 2e-3
        if facts.hand > 0.0:
            continue  # leaning on a finger: it may yet slip
        free += 1
        assert facts.table == pytest.approx(weight, rel=0.05)
        place = truth.position
        world.advance(world.now_ns + 1_000_000_000)
        assert np.linalg.norm(world.object_truth().position - place) < 1e-3
    assert free > 0


def test_fingers_reach_an_object_and_push_it() -> None:
    moved, touched = [], []
    for name in OBJECTS:
        for seed in range(3):
            world = SimWorld(HAND, name, seed=seed)
            start = world.object_truth().position
            world.arm()
            touch = 0.0
            for _ in range(24):
                q = world.read().q
                towards = np.clip(np.tile([0.0, 0.15, -0.45], 3) - q, -0.29, 0.29)
                world.send(command(world, q + towards, cycles=1.5))
                world.advance(world.now_ns + CYCLE_NS + 1)
                touch = max(touch, float(world.contact_facts().tips.max()))
            touched.append(touch > 0.1)
            moved.append(float(np.linalg.norm(world.object_truth().position - start)))
    assert np.mean(touched) > 0.6
    assert max(moved) > 0.02


def test_an_object_carried_away_counts_as_dropped() -> None:
    world = SimWorld(HAND, "truck", seed=2)
    assert not world.dropped()
    world._data.qvel[world.scene.object_v][:3] = [3.0, 0.0, 1.0]
    world.advance(world.now_ns + 600_000_000)
    assert world.dropped()
    world.reset(2)
    assert not world.dropped()


def test_in_the_air_the_table_goes_two_seconds_after_a_reset_and_comes_back_with_the_next() -> None:
    world = SimWorld(HAND, "duck", seed=2, surface="air")
    for _ in range(2):
        begun = world.now_ns
        lies = world.object_truth().position
        world.advance(begun + 2_000_000_000)
        assert np.linalg.norm(world.object_truth().position - lies) < 0.002
        assert world.contact_facts().table > 0.5 * 9.81 * world.scene.thing.mass
        world.advance(begun + 2_100_000_000)
        fallen = 0.5 * 9.81 * 0.1**2
        assert world.object_truth().position[2] == pytest.approx(lies[2] - fallen, abs=0.012)
        assert world.contact_facts().table == 0.0 and not world.dropped()
        world.advance(begun + 2_300_000_000)
        assert world.dropped()
        world.reset(2)


def test_no_camera_sees_a_table_that_is_gone() -> None:
    from knuckle.sim.depth import SimDepthCamera

    world = SimWorld(HAND, "duck", seed=2, surface="air")
    camera = SimDepthCamera(world, source="rays", intrinsics=pinhole(80, 45))
    with_table = (camera.render().depth > 0).mean()
    world.advance(world.now_ns + 3_000_000_000)
    without = (camera.render().depth > 0).mean()
    camera.close()
    assert with_table > 0.7 and without < 0.5


def test_an_object_below_the_tips_is_dropped_in_the_air_alone() -> None:
    tips = base_to_world(HAND, tip_positions(HAND, HAND.home))
    start = np.array([0.0, 0.0, tips[:, 2].min()])
    below = start - np.array([0.0, 0.0, 0.051])
    assert is_dropped(HAND, HAND.home, below, start, in_air=True)
    assert not is_dropped(HAND, HAND.home, below, start, in_air=False)
    assert not is_dropped(HAND, HAND.home, start - np.array([0.0, 0.0, 0.049]), start, in_air=True)


def test_an_unknown_surface_is_refused() -> None:
    with pytest.raises(InputError, match="world: unknown surface 'sea'; known: air, table"):
        SimWorld(HAND, "duck", surface="sea")


def test_the_first_step_of_settling_starts_clear_of_the_fingers() -> None:
    from knuckle.sim.contact_facts import contact_facts
    from knuckle.sim.placement import CLEAR, SPAWN_SPREAD, draw_start
    from knuckle.sim.scene import execution_scene

    scene = execution_scene(HAND, "hammer")
    data = scene.new_data()
    rng = np.random.default_rng(0)
    for _ in range(20):
        state = draw_start(scene, data, rng)
        position, _ = scene.object_pose_of(state)
        scene.write_state(data, state)
        assert contact_facts(scene, data).deepest <= CLEAR
        assert (np.abs(position[:2]) <= SPAWN_SPREAD).all()
        assert 0.0 < position[2] <= HAND.mount_position[2] - 0.13 + 1e-12


def test_a_broken_state_stops_the_world_names_itself_and_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    world = SimWorld(HAND, "duck", fault_folder=tmp_path)
    world._data.qvel[world.scene.joint_v][4] = np.nan
    with pytest.raises(RunError, match=r"joint_f2_1.* not finite.*broken_state_0\.npz") as caught:
        world.advance(100_000_000)
    assert caught.value.exit_code == 1
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    with np.load(files[0], allow_pickle=False) as saved:
        assert str(saved["object"]) == "duck"
        assert saved["qpos"].shape == (16,)
        assert not np.isfinite(saved["qvel"]).all()
    world.reset(0)
    world.advance(world.now_ns + 100_000_000)


def test_a_broken_state_that_cannot_be_saved_is_still_told() -> None:
    world = SimWorld(HAND, "duck", fault_folder=Path("/proc"))
    world._data.qvel[world.scene.joint_v][4] = np.nan
    with pytest.raises(RunError, match=r"joint_f2_1.* not finite.*could not be saved in /proc"):
        world.advance(100_000_000)


def test_an_unknown_object_leaves_the_running_scene_alone() -> None:
    world = SimWorld(HAND, "duck")
    before = bits(world)
    with pytest.raises(InputError, match="unknown object"):
        world.reset(0, "ducks")
    assert bits(world) == before


def test_reading_while_another_thread_steps_never_tears_a_state() -> None:
    world = SimWorld(HAND, "duck")
    stamps: list[int] = []

    def read_on() -> None:
        for _ in range(300):
            stamps.append(world.read().stamp_ns)

    reader = Thread(target=read_on)
    reader.start()
    world.advance(2_000_000_000)
    reader.join()
    assert all(a <= b for a, b in pairwise(stamps))
    alone = SimWorld(HAND, "duck")
    alone.advance(2_000_000_000)
    assert bits(alone) == bits(world)
    assert SETTLING_STEPS == 120


def test_a_bounded_joint_pushes_no_harder_and_one_without_torque_is_limp() -> None:
    limit = HAND.effort_limit.copy()
    limit[1], limit[4] = 0.1, 0.0
    peaks = []
    for bound in (HAND.effort_limit, limit):
        world = SimWorld(HAND, "hammer", seed=1)
        world.limit_effort(bound)
        world.reset(1)
        world.arm()
        until = world.now_ns + CYCLE_NS
        world.send(HandCommand(world.now_ns, until, world.read().q + 0.5))
        peak = np.zeros(HAND.dof)
        while world.now_ns < until - CYCLE_NS // 2:
            world.advance(world.now_ns + CYCLE_NS // 10 + 1)
            peak = np.maximum(peak, np.abs(world.read().effort))
        peaks.append(peak)
    assert (peaks[0] > 0.1).all()
    assert peaks[1][1] == pytest.approx(0.1)
    assert peaks[1][4] == 0.0
    assert (peaks[1] <= limit + 1e-12).all()
