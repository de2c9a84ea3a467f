"""The planner against its own simulation, and turning an object for real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world, tip_positions
from knuckle.policy.baselines import DoNothing
from knuckle.policy.commands import eval_reorient
from knuckle.policy.contract import Goal
from knuckle.policy.controllers import make_controller
from knuckle.policy.mpc import SamplingMpc
from knuckle.policy.mpc_config import MpcConfig
from knuckle.policy.planner_model import PlannerModel
from knuckle.policy.reorient_episode import begin, draw_start, draw_starts, run_episode, scene_state
from knuckle.policy.reorient_runner import ReorientRunner
from knuckle.sim.objects import TRAIN
from knuckle.sim.scene import planner_scene
from knuckle.sim.world import SimWorld

HAND = hand_spec("dclaw3")


def test_candidates_do_not_influence_each_other_and_repeat_to_the_bit() -> None:
    world = SimWorld(HAND, "bunny", seed=3)
    state = scene_state(world)
    postures = np.tile(HAND.home, (4, 6, 1)) + np.random.default_rng(0).normal(0, 0.2, (4, 6, 9))
    one, two = (PlannerModel(planner_scene(HAND, "bunny"), ActionMap(HAND), threads) for threads in (1, 2))
    together = two.roll(state, postures, np.zeros(9))
    alone = one.roll(state, postures[2:3], np.zeros(9))
    assert np.array_equal(together.quaternion[2], alone.quaternion[0])
    assert np.array_equal(together.tips[2], alone.tips[0])
    one.close()
    two.close()


def test_the_planner_foresees_what_the_world_then_does() -> None:
    world, chart, steps = SimWorld(HAND, "truck", seed=5), ActionMap(HAND), 6
    world.arm()
    state = scene_state(world)
    posture = HAND.home + np.tile([0.1, 0.3, -0.4], 3)
    model = PlannerModel(planner_scene(HAND, "truck"), chart, 1)
    future = model.roll(state, np.tile(posture, (1, steps, 1)), np.zeros(9))
    model.close()
    before, smoothed = tip_positions(HAND, state.q), np.zeros(9)
    for k in range(steps):
        smoothed = chart.smooth(chart.towards(state.q, posture, smoothed), smoothed)
        assert np.allclose(future.action[0, k], smoothed, atol=0.1)
        until = round((k + 1) * 1e9 / HAND.control_rate_hz)
        world.send(HandCommand(state.stamp_ns, until, chart.target(state.q, smoothed)))
        world.advance(until)
        state = scene_state(world)
    tips = tip_positions(HAND, state.q)
    assert np.linalg.norm(tips - before, axis=1).min() > 0.02
    assert np.linalg.norm(future.tips[0, -1] - base_to_world(HAND, tips), axis=1).max() < 0.004
    assert np.linalg.norm(future.position[0, -1] - state.position) < 0.004
    assert rotations.angle_between(future.quaternion[0, -1], state.quaternion) < 0.05


def test_the_same_seed_plays_the_same_episode() -> None:
    start = draw_starts(11, 2)[1]
    config = MpcConfig(samples=8, horizon=4, threads=1)
    scores = []
    for _ in range(2):
        policy = SamplingMpc(HAND, config, seed=4)
        scores.append(run_episode(HAND, policy, start))
        policy.close()
    assert scores[0].final_angle == scores[1].final_angle and scores[0].duration == scores[1].duration


def test_starts_do_not_depend_on_how_many_follow() -> None:
    few, many = draw_starts(1, 2), draw_starts(1, 5)
    assert many[:2] == few
    assert [draw_start(1, k) for k in range(5)] == many
    rounds = draw_starts(1, 2 * len(TRAIN))
    assert sorted(s.object_name for s in rounds[: len(TRAIN)]) == sorted(TRAIN)
    assert [s.object_name for s in rounds[: len(TRAIN)]] != [s.object_name for s in rounds[len(TRAIN) :]]


def test_planning_turns_objects_where_doing_nothing_does_not() -> None:
    starts = draw_starts(77, 7)
    left, idle = [], []
    for k in (1, 6):
        policy = make_controller("mpc", HAND, seed=77 + k)
        left.append(run_episode(HAND, policy, starts[k]).final_angle)
        policy.close()
        idle.append(run_episode(HAND, DoNothing(HAND), starts[k]).final_angle)
    assert sum(left) < 0.5 * sum(idle)


def test_acting_before_reset_is_refused() -> None:
    policy = SamplingMpc(HAND, MpcConfig(samples=8))
    with pytest.raises(InputError, match="before reset"):
        policy.act(scene_state(SimWorld(HAND, "duck", seed=0)))


def test_a_policy_can_be_reset_to_another_object() -> None:
    policy = SamplingMpc(HAND, MpcConfig(samples=8, horizon=3, threads=1))
    for name in ("duck", "truck"):
        world = SimWorld(HAND, name, seed=1)
        policy.reset(Goal(name, np.array([1.0, 0, 0, 0])))
        action, done = policy.act(scene_state(world))
        assert action.shape == (9,) and done == 0.0
    policy.close()


def test_the_command_writes_the_protocols_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    argv = ["--controller", "nothing", "--episodes", "3", "--seed", "5", "--jobs", "1", "--json", str(out)]
    assert eval_reorient(argv) == 0
    data = json.loads(out.read_text())
    wanted = {
        "success_0p1",
        "success_0p2",
        "success_0p4",
        "success_0p8",
        "drop_rate",
        "median_time_s",
        "median_time_all_s",
        "cpu_s_per_episode",
        "real_time_factor",
    }
    assert wanted <= set(data["figures"]) and data["n"] == 3 and data["seed"] == 5
    assert data["figures"]["success_0p4"] == 0.0 and data["figures"]["random_drop_rate"] >= 0.0


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--world", "moon"], "eval reorient.world: 'moon' is not a choice; one of: table, air"),
        (["--rung", "yaw90"], "unknown rung 'yaw90'; did you mean 'yaw60'? known: 30, 60, 90, so3, yaw60"),
        (["--objects", "leters"], "--objects: unknown object or family 'leters'; did you mean 'letters'?"),
        (["--state", "guessed"], "eval reorient.state: 'guessed' is not a choice; one of: privileged, perceived"),
        (["--planner", "samples"], "--planner: 'samples'; name=value, separated by commas"),
        (["--planner", "sample=9"], "--planner: unknown planner setting 'sample'; did you mean 'samples'?"),
        (["--planner", "samples=2"], "planner.samples: 2 is out of range; 8 to 4096"),
        (["--controller", "random", "--planner", "samples=64"], "--planner: 'random' has no settings; only mpc has"),
        (["--page", "no/such/folder/a.html", "--episodes", "1"], "--page: no folder no/such/folder"),
        (["--hand", "dclaw9"], "--hand: unknown hand 'dclaw9'"),
        (["--controller", "mpd"], "unknown controller 'mpd'; did you mean 'mpc'? known: mpc, nothing, random"),
        (["--episodes", "0"], "eval reorient.episodes: 0 is out of range; 1 to 100000"),
        (["--epsodes", "3"], "--epsodes"),
        (["--video", "no/such/folder/a.mp4", "--episodes", "1"], "--video: no folder no/such/folder"),
        (["--json", "/proc/a.json", "--episodes", "1"], "/proc/a.json: the figures cannot be written there"),
        (["--video", "/proc", "--episodes", "1"], "/proc: the video cannot be written there"),
    ],
)
def test_bad_input_is_one_clear_line(argv: list[str], line: str) -> None:
    with pytest.raises(InputError) as caught:
        eval_reorient(argv)
    assert line in str(caught.value)


def test_the_planner_lifts_an_object_off_the_table_and_holds_it_when_the_table_goes() -> None:
    hand = hand_spec("dclaw4")
    start = draw_starts(21, 1, ("letter_g",), surface="air")[0]
    world, goal = begin(hand, start)
    runner = ReorientRunner(hand, SamplingMpc(hand, MpcConfig(samples=48, threads=1), seed=2))
    state = scene_state(world)
    runner.start(goal, state)
    borne = []
    for k in range(36):
        step = runner.step(state)
        assert step.verdict is None or step.verdict.outcome == "succeeded"
        until = round((k + 1) * 1e9 / hand.control_rate_hz)
        world.send(HandCommand(state.stamp_ns, until, step.target))
        world.advance(until)
        state = scene_state(world)
        borne.append(world.contact_facts().table)
    runner.policy.close()
    assert borne[0] > 0.5 and max(borne[18:]) == 0.0
    assert not world.dropped() and state.position[2] > 0.03


@pytest.mark.parametrize(("samples", "kept", "grasp_share"), [(8, 64, 0.9), (8, 0, 0.0), (16, 4, 0.5), (64, 64, 0.9)])
def test_any_mixture_of_candidates_can_be_planned_with(samples: int, kept: int, grasp_share: float) -> None:
    config = MpcConfig(samples=samples, kept=kept, grasp_share=grasp_share, horizon=3, threads=1)
    policy = SamplingMpc(HAND, config)
    policy.reset(Goal("duck", np.array([0.0, 1.0, 0.0, 0.0])))
    state = scene_state(SimWorld(HAND, "duck", seed=1))
    for _ in range(3):
        action, _ = policy.act(state)
        assert np.isfinite(action).all() and np.abs(action).max() <= 1.0
    policy.close()


def test_the_planner_sees_the_table_go() -> None:
    world = SimWorld(HAND, "bunny", seed=3)
    state = scene_state(world)
    model = PlannerModel(planner_scene(HAND, "bunny"), ActionMap(HAND), 1)
    postures = np.tile(HAND.home, (1, 8, 1))
    future = model.roll(state, postures, np.zeros(9), table_steps=4)
    stays = model.roll(state, postures, np.zeros(9))
    model.close()
    assert np.allclose(future.position[0, :4], stays.position[0, :4])
    assert future.table_force[0, 3] > 0.3 and (future.table_force[0, 4:] == 0.0).all()
    assert future.position[0, -1, 2] < stays.position[0, -1, 2] - 0.2
