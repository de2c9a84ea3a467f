"""The reward that can be said again: it pays what the world pays, for any goal, however the scene is turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from knuckle.core import rotations
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.hindsight.hindsight_batch import in_hindsight, with_goals
from knuckle.policy.hindsight.hindsight_reward import HindsightReward, angle_left, transition_reward
from knuckle.policy.hindsight.transitions import Transitions
from knuckle.policy.hindsight.turned_scene import TurnedScene
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.reorient.observation import ReorientObservation

HAND = hand_spec("dclaw3")
BUILD = ReorientObservation(HAND)
REWARD = HindsightReward()
PLAIN = HindsightReward(success=4.0, progress=0.0, step=0.0, tip_distance=0.0, fall=-2.0)


def played(start_folder: Path, steps: int = 40, worlds: int = 12) -> list[tuple[np.ndarray, ...]]:
    """Steps of a world whose goals are put near where the object lies: before, after, goal, and what the world said."""
    config = BatchConfig(worlds=worlds, rung="60", cached_starts=4, threads=1, seed=5)
    world = BatchWorld(HAND, ("truck",), config, reward=REWARD.of_world(), cache_folder=start_folder)
    rng, rows = np.random.default_rng(0), []
    noise = np.linspace(0.0, 1.0, worlds)[:, None]
    before = world.reset()
    for _ in range(steps):
        lies = before[:, BUILD.slices["object_quaternion"]]
        axes = rng.standard_normal((worlds, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        turned = rotations.from_axis_angle(axes, rng.uniform(0.2, 0.6, worlds))
        goal = rotations.multiply(turned, rotations.normalize(lies))
        before = world.set_goals(goal)
        after, _, fallen, _ = world.step(np.clip(noise * rng.standard_normal((worlds, HAND.dof)), -1.0, 1.0))
        rows.append((before, after, goal, fallen, world.info["success"], world.info["angle"]))
        before = world.reset(fallen | world.info["broken"])
    world.close()
    return rows


def test_what_counts_as_a_success_and_the_progress_are_the_worlds_own(start_folder: Path) -> None:
    rows = played(start_folder)
    before, after, goal, fallen, success, angle = (np.concatenate([row[k] for row in rows]) for k in range(6))
    first, then = before.astype(np.float32), with_goals(BUILD, after.astype(np.float32), goal.astype(np.float32))
    reward, ends = transition_reward(BUILD, PLAIN, first, then, fallen)
    # What lies within single precision of the threshold may fall on either side.
    sure = np.abs(angle - 0.4) > 1e-3
    assert 20 < success[sure].sum() < sure.sum() - 20
    np.testing.assert_array_equal(reward[sure] == 4.0, success[sure] & ~fallen[sure])
    np.testing.assert_array_equal(ends[sure], (success | fallen)[sure])
    np.testing.assert_allclose(angle_left(BUILD, then), angle, atol=2e-3)
    shaped, _ = transition_reward(BUILD, HindsightReward(success=0.0, fall=0.0, tip_distance=0.0), first, then, fallen)
    was = rotations.angle_between(rotations.normalize(before[:, BUILD.slices["object_quaternion"]]), goal)
    np.testing.assert_allclose(shaped, was - angle - 0.03, atol=4e-3)


def test_a_fall_ends_all_and_is_no_success() -> None:
    rows = np.zeros((2, BUILD.width), np.float32)
    for part in ("object_quaternion", "goal_quaternion"):
        rows[:, BUILD.slices[part].start] = 1.0
    reward, ends = transition_reward(BUILD, PLAIN, rows, rows, np.array([True, False]))
    np.testing.assert_allclose(reward, [-2.0, 4.0])
    assert ends.all()


def test_tips_cost_their_mean_distance_beyond_what_is_free() -> None:
    rows = np.zeros((1, BUILD.width), np.float32)
    rows[:, BUILD.slices["object_quaternion"].start] = 1.0
    rows[:, BUILD.slices["goal_quaternion"].start + 1] = 1.0
    tips = BUILD.slices["tip_state"].start
    rows[:, tips], rows[:, tips + 13 + 1], rows[:, tips + 26 + 2] = 0.05, 0.02, -0.13  # 2 cm, nothing, 10 cm beyond
    reward, ends = transition_reward(BUILD, HindsightReward(step=0.0), rows, rows, np.array([False]))
    np.testing.assert_allclose(reward, [-0.3 * 0.04], rtol=1e-5)
    assert not ends.any()


def test_a_turned_transition_is_worth_the_same(start_folder: Path) -> None:
    rows = played(start_folder, steps=8)
    before, after, goal, fallen = (np.concatenate([row[k] for row in rows]) for k in range(4))
    first, then = before.astype(np.float32), with_goals(BUILD, after.astype(np.float32), goal.astype(np.float32))
    scene = TurnedScene(HandSymmetry(HAND))
    reward, ends = transition_reward(BUILD, REWARD, first, then, fallen)
    for place in range(3):
        places = torch.full((len(first),), place)
        turned = [scene.turn(torch.as_tensor(part), places).numpy() for part in (first, then)]
        again, also = transition_reward(BUILD, REWARD, turned[0], turned[1], fallen)
        sure = np.abs(angle_left(BUILD, then) - 0.4) > 1e-3
        np.testing.assert_allclose(again[sure], reward[sure], atol=5e-3)
        np.testing.assert_array_equal(also[sure], ends[sure])
        wanted = HandSymmetry(HAND).copies(first.astype(np.float64))[:, place]
        np.testing.assert_allclose(turned[0], wanted, atol=1e-5)


def test_a_goal_that_was_reached_later_is_put_in_as_the_builder_would_have_it() -> None:
    rng = np.random.default_rng(0)

    def unit(n: int) -> np.ndarray:
        return rotations.random(rng, n)

    def seen(lies: np.ndarray, goals: np.ndarray) -> np.ndarray:
        still, joints = np.zeros((len(lies), 3)), np.zeros((len(lies), 9))
        return BUILD(joints, joints, still, lies, still, still, goals, joints).astype(np.float32)

    lies, next_lies, goals, other, later = (unit(4) for _ in range(5))
    later[2] = rotations.multiply(rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(0.2)), lies[2])
    drawn = Transitions(
        seen(lies, goals),
        np.zeros((4, 9), np.float32),
        seen(next_lies, other),  # as after a success, where the world has given another goal
        np.zeros(4, bool),
        later.astype(np.float32),
        np.array([True, False, True, True]),
    )
    told = in_hindsight(BUILD, drawn, np.array([True, True, True, False]), least_turn=0.25)
    # Chosen, known and far; then not known; then hardly a turn; then not chosen.
    wanted = np.stack([later[0], goals[1], goals[2], goals[3]])
    np.testing.assert_allclose(told.before, seen(lies, wanted), atol=1e-6)
    np.testing.assert_allclose(told.after, seen(next_lies, wanted), atol=1e-6)
