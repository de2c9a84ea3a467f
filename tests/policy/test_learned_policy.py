"""A learned policy at work: it acts as it was trained to, says when it is done, and refuses what it is not for."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.controllers import make_controller
from knuckle.policy.learned.done_rule import DoneConfig, DoneRule
from knuckle.policy.learned.export import Actor, export_policy, write_scores
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.onnx_graph import Normaliser, actor_graph
from knuckle.policy.learned.policy_card import read_card
from knuckle.policy.reorient_task import ReorientTask
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld

HAND = hand_spec("dclaw3")
LYING = SceneState(0, HAND.home, np.zeros(9), np.array([0.0, 0.0, 0.05]), rotations.IDENTITY, np.zeros(3), np.zeros(3))


def scene_of(world: BatchWorld) -> SceneState:
    scene, states = world.stepper.scenes[0], world.states
    position, quaternion = scene.object_pose_of(states)
    velocity, spin = scene.object_twist_of(states)
    joints = scene.joints_of(states)[0], scene.joint_rates_of(states)[0]
    return SceneState(0, *joints, position[0], quaternion[0], velocity[0], spin[0])


def test_deployed_it_acts_as_in_training_to_single_precision(
    trained: Path, actor: Callable[..., Actor], start_folder: Path
) -> None:
    original = actor().original
    config = BatchConfig(worlds=1, threads=1, cached_starts=4, rung="so3", seed=3)
    world = BatchWorld(HAND, ("truck",), config, cache_folder=start_folder)
    seen = world.reset()
    policy = LearnedPolicy(HAND, trained)
    policy.reset(Goal("truck", world.goal[0]))
    for _ in range(30):
        wanted = np.clip(original(seen), -1.0, 1.0)
        action, _ = policy.act(scene_of(world))
        np.testing.assert_allclose(action, wanted[0], atol=1e-4)
        seen, _, left, _ = world.step(wanted)
        assert not left[0] and not world.info["success"][0]


def test_it_runs_without_torch(trained: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from knuckle.hardware.spec.hands import hand_spec;"
        "from knuckle.policy.controllers import make_controller;"
        f"print(make_controller({str(trained)!r}, hand_spec('dclaw3')).spec.name, 'torch' in sys.modules,"
        "'onnx' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert said.split() == ["random", "False", "False"]


def test_a_step_takes_at_most_two_milliseconds_of_the_processor(trained: Path) -> None:
    policy = LearnedPolicy(HAND, trained)
    policy.reset(Goal("truck", rotations.IDENTITY))
    costs = []
    for _ in range(100):
        begun = time.process_time()
        policy.act(LYING)
        costs.append(time.process_time() - begun)
    assert np.median(costs) < 2e-3


def test_a_state_that_is_not_finite_moves_nothing(trained: Path) -> None:
    policy = LearnedPolicy(HAND, trained)
    policy.reset(Goal("truck", rotations.IDENTITY))
    with pytest.raises(RunError, match=r"object_velocity\.y of the state is nan; finite numbers"):
        policy.act(replace(LYING, velocity=np.array([0.0, np.nan, 0.0])))


def test_done_is_said_near_the_goal_at_rest_for_some_steps_and_not_while_it_presses() -> None:
    near = Goal("truck", rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(0.3)))
    rule, relaxed = DoneRule(DoneConfig(angle=0.35, steps=3)), np.full(9, 0.1)
    assert [rule.step(LYING, near, relaxed) for _ in range(4)] == [0.0, 0.0, 1.0, 1.0]
    assert rule.step(LYING, near, np.full(9, 0.5)) == 0.0  # norm 1.5
    assert rule.step(LYING, near, relaxed) == 0.0  # counted anew
    rule.reset()
    moving = replace(LYING, spin=np.array([0.0, 0.0, 0.6]))
    assert max(rule.step(moving, near, relaxed) for _ in range(5)) == 0.0
    strict = replace(near, tolerance_rad=0.2)
    assert max(rule.step(LYING, strict, relaxed) for _ in range(5)) == 0.0


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def replace_network(folder: Path, network: bytes) -> None:
    (folder / "policy.onnx").write_bytes(network)
    changed(folder, lambda card: card.update(sha256=hashlib.sha256(network).hexdigest()))


def other_width(folder: Path) -> None:
    narrow = Normaliser(np.zeros(12), np.ones(12), 5.0)
    replace_network(folder, actor_graph(narrow, [(np.zeros((9, 12)), np.zeros(9))]))


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda f: (f / "card.json").unlink(), "no card.json in it; the folder of a trained policy"),
        (lambda f: (f / "policy.onnx").unlink(), "no policy.onnx in it"),
        (lambda f: (f / "policy.onnx").write_bytes(b"x"), "the weights do not match the card's sha256"),
        (lambda f: replace_network(f, b"not a network"), "the network cannot be read ("),
        (other_width, "a network from and to [(12, 'tensor(float)'), (9, 'tensor(float)')]; 87 observations, 9"),
        (lambda f: (f / "card.json").write_text("{"), "the card cannot be read"),
        (lambda f: changed(f, lambda c: c["config"].update(kind="tracker")), "the card is of 'tracker'"),
        (lambda f: changed(f, lambda c: c["config"]["columns"].pop()), "the policy has 86 columns; the 87 of dclaw3"),
        (
            lambda f: changed(f, lambda c: c["config"]["columns"].__setitem__(3, ["mood", "1"])),
            "the policy has other columns: number 3 is ['mood', '1']",
        ),
        (
            lambda f: changed(f, lambda c: c["config"]["joint_limits_rad"][0].__setitem__(0, -9.0)),
            "other joint limits rad: number 0 is [-9.0",
        ),
        (
            lambda f: changed(f, lambda c: c["config"]["action_map"].update(smoothing=0.5)),
            "the policy is for action map {'smoothing': 0.5",
        ),
        (lambda f: changed(f, lambda c: c.update(rate_hz=20.0)), "the policy acts at 20 Hz; 12 Hz"),
        (lambda f: changed(f, lambda c: c["observations"].pop()), "other observations or actions; those of dclaw3"),
        (lambda f: changed(f, lambda c: c["config"]["done"].update(steps=0)), "done.steps: 0 is out of range; 1 to"),
        (lambda f: changed(f, lambda c: c["config"].pop("done")), "the card does not say when the policy is done"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(
    trained: Path, spoil: Callable[[Path], Any], line: str
) -> None:
    LearnedPolicy(HAND, trained)
    spoil(trained)
    with pytest.raises(InputError) as caught:
        LearnedPolicy(HAND, trained)
    assert line in str(caught.value) and "\n" not in str(caught.value) and str(trained) in str(caught.value)


def test_a_policy_of_another_hand_is_refused(trained: Path) -> None:
    with pytest.raises(InputError, match="the policy is for hand dclaw3; dclaw4"):
        LearnedPolicy(hand_spec("dclaw4"), trained)


def test_an_export_that_acts_otherwise_than_the_original_leaves_no_card(
    tmp_path: Path, actor: Callable[..., Actor]
) -> None:
    true = actor()
    off = Actor(true.normaliser, true.layers, lambda seen: true.original(seen) + 1e-3)
    observed = np.zeros((4, 87))
    with pytest.raises(RunError, match=r"the exported network's actions differ by 0\.001"):
        export_policy(tmp_path / "p", HAND, off, name="off", observed=observed, training={}, data="none")
    assert list((tmp_path / "p").iterdir()) == []
    with pytest.raises(RunError, match="the policy cannot be written"):
        export_policy(Path("/proc/p"), HAND, true, name="on", observed=observed, training={}, data="none")


def test_scores_are_noted_in_the_card_with_their_protocol(trained: Path) -> None:
    write_scores(trained, HAND, "yaw60, 20 episodes", {"success_0p4": 0.5, "median_time_s": float("nan")})
    assert read_card(trained, HAND).scores == {"yaw60, 20 episodes": {"success_0p4": 0.5}}


def test_a_folder_or_the_run_it_lies_in_is_a_controller(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    trained.rename(run / "policy")
    for name in (run, run / "policy"):
        assert make_controller(str(name), HAND).spec.name == "random"
    with pytest.raises(InputError, match=r"no card\.json in it"):
        make_controller(str(tmp_path), HAND)
    with pytest.raises(InputError, match=r"no card\.json in it"):
        make_controller("nowhere/at_all", HAND)
    with pytest.raises(InputError, match="'.*' has no settings; only mpc has"):
        make_controller(str(run), HAND, settings={"samples": "64"})
    known = "mpc, nothing, random, reorient-chunks, reorient-dclaw3, reorient-dclaw4-air, reorient-foresight, or"
    with pytest.raises(InputError, match=f"unknown controller 'ppo'; known: {known}"):
        make_controller("ppo", HAND)


def test_it_is_judged_by_the_protocol_like_any_controller(trained: Path) -> None:
    task = ReorientTask(controller=str(trained), objects="truck", rung="yaw60", seed=3)
    score = task.play(task.starts(1)[0], task.policy(0))
    again = task.play(task.starts(1)[0], task.policy(0))
    assert (score.final_angle, score.duration) == (again.final_angle, again.duration)
    assert score.duration <= 15.0 + 1e-9
