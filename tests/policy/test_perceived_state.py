"""What a policy sees through the depth camera: the scene as it is, no truth in it, and a tally of how good it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.contract import Goal
from knuckle.policy.perceived_state import PerceivedScene, PerceptionTally
from knuckle.policy.reorient_episode import scene_state
from knuckle.sim.world import SimWorld

HAND = hand_spec("dclaw3")
CYCLE_NS = round(1e9 / HAND.control_rate_hz)


def test_the_perceived_scene_is_the_true_one_but_for_small_errors() -> None:
    world = SimWorld(HAND, "truck", seed=3)
    source = PerceivedScene(world, seed=3)
    for k in range(6):
        world.advance(k * CYCLE_NS)
        seen, truth = source.state(), scene_state(world)
        assert seen.stamp_ns == truth.stamp_ns
        assert np.array_equal(seen.q, truth.q) and np.array_equal(seen.dq, truth.dq)
        assert rotations.angle_between(seen.quaternion, truth.quaternion) < 0.04
        assert np.linalg.norm(seen.position - truth.position) < 0.003
    assert not source.lost and source.tally.frames == 6
    figures = source.tally.figures()
    assert figures["pose_error_deg"] < 2.0 and figures["position_error_mm"] < 2.0
    assert figures["lost_share"] <= 0.5 and figures["perception_ms"] > 0.0
    source.close()


def test_asked_twice_at_one_time_it_looks_once() -> None:
    world = SimWorld(HAND, "duck", seed=1)
    source = PerceivedScene(world)
    assert source.state() is source.state() and source.tally.frames == 1
    source.close()


def test_it_is_the_camera_and_not_the_truth_that_speaks() -> None:
    """Without the camera's pictures the state goes on from what was seen, and says that it is lost."""
    world = SimWorld(HAND, "letter_f", seed=2)
    source = PerceivedScene(world, seed=2)
    last = [source.state() for k in range(3) if world.advance(k * CYCLE_NS) >= 0][-1]
    world.reset(77)
    blind = source.camera.render()
    source.camera.render = lambda: type(blind)(  # type: ignore[method-assign]
        world.now_ns, 0, np.zeros_like(blind.depth), blind.scale_m, blind.intrinsics, blind.frame
    )
    for k in range(3, 12):
        world.advance(k * CYCLE_NS)
        held = source.state()
    assert source.lost and np.isfinite(held.position).all()
    assert np.linalg.norm(held.position - last.position) < 0.05
    assert sum(source.tally.lost) >= 4
    source.close()


def test_the_same_seed_gives_the_same_states() -> None:
    states = []
    for _ in range(2):
        world = SimWorld(HAND, "bunny", seed=5)
        source = PerceivedScene(world, seed=9)
        world.advance(CYCLE_NS)
        states.append(source.state())
        source.close()
    assert np.array_equal(states[0].quaternion, states[1].quaternion)
    assert np.array_equal(states[0].position, states[1].position)


def test_an_object_out_of_sight_at_the_start_is_one_clear_line() -> None:
    world = SimWorld(HAND, "duck", seed=1)
    source = PerceivedScene(world)
    blind = source.camera.render()
    source.camera.render = lambda: type(blind)(  # type: ignore[method-assign]
        0, 0, np.zeros_like(blind.depth), blind.scale_m, blind.intrinsics, blind.frame
    )
    with pytest.raises(InputError, match=r"^object cloud: 0 object points; at least 25 to start"):
        source.state()
    source.close()


def test_a_tally_of_nothing_claims_nothing() -> None:
    assert all(math.isnan(value) for value in PerceptionTally().figures().values())


@pytest.mark.slow
def test_the_planner_turns_an_object_that_it_only_sees() -> None:
    from knuckle.policy.mpc import SamplingMpc
    from knuckle.policy.mpc_config import MpcConfig
    from knuckle.policy.reorient_runner import ReorientRunner

    world = SimWorld(HAND, "truck", seed=4)
    world.arm()
    source = PerceivedScene(world, seed=4)
    begin = source.state()
    turn = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(0.9))
    goal = Goal("truck", rotations.multiply(turn, begin.quaternion), time_limit_s=8.0)
    runner = ReorientRunner(HAND, SamplingMpc(HAND, MpcConfig(threads=1, samples=64), seed=1))
    from knuckle.hardware.spec.contracts import HandCommand

    runner.start(goal, begin)
    k = 0
    while (step := runner.step(source.state(), scene_state(world))).verdict is None:
        k += 1
        world.send(HandCommand(world.now_ns, k * CYCLE_NS, step.target))
        world.advance(k * CYCLE_NS)
    assert step.verdict.angle < 0.6
    assert source.tally.figures()["pose_error_deg"] < 2.0 and source.tally.figures()["lost_share"] < 0.1
    runner.policy.close()
    source.close()
