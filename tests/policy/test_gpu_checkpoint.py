"""What training on a GPU leaves becomes a policy on the CPU; where JAX and MJX are, its task is the CPU's task."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core.array_file import write_arrays
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.train_config import make_training
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.reorient.observation import ReorientObservation

GPU = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"
HAND = hand_spec("dclaw3")
WIDTH = ReorientObservation(HAND).width


def script(name: str) -> Any:
    """The module of a script that lies beside the package, not in it."""
    spec = importlib.util.spec_from_file_location(f"gpu_{name}", GPU / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def actor_file(path: Path, *, symmetric: bool, **changes: Any) -> tuple[Path, dict[str, Any]]:
    """A small actor of random weights as the GPU's learner writes it, and its arrays."""
    rng = np.random.default_rng(0)
    out = HAND.dof // 3 if symmetric else HAND.dof
    arrays: dict[str, Any] = {
        "normaliser.mean": 0.1 * rng.standard_normal(WIDTH),
        "normaliser.std": rng.uniform(0.3, 1.0, WIDTH),
        "observed": rng.standard_normal((4, WIDTH)).astype(np.float32),
        "layer.0.weight": (rng.standard_normal((12, WIDTH)) / 9.0).astype(np.float32),
        "layer.0.bias": (0.1 * rng.standard_normal(12)).astype(np.float32),
        "layer.1.weight": (rng.standard_normal((out, 12)) / 6.0).astype(np.float32),
        "layer.1.bias": (0.1 * rng.standard_normal(out)).astype(np.float32),
    }
    arrays |= changes.pop("arrays", {})
    facts = {
        "hand": HAND.name,
        "symmetric": symmetric,
        "clip": 10.0,
        "training": make_training("quick", HAND.name, {}, threads=1, seed=0).facts(),
        "steps": 64,
    } | changes
    write_arrays(path, arrays, {name: value for name, value in facts.items() if value is not None})
    return path, arrays


def by_hand(arrays: dict[str, Any], observation: np.ndarray) -> np.ndarray:
    """What one network of ``arrays`` says to one observation, in the plainest arithmetic."""
    at = np.clip((observation - arrays["normaliser.mean"]) / arrays["normaliser.std"], -10.0, 10.0)
    at = arrays["layer.0.weight"] @ at + arrays["layer.0.bias"]
    at = np.where(at > 0.0, at, np.exp(at) - 1.0)
    return np.asarray(arrays["layer.1.weight"] @ at + arrays["layer.1.bias"])


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_policy_does_what_the_arrays_say(symmetric: bool, tmp_path: Path) -> None:
    path, arrays = actor_file(tmp_path / "actor.safetensors", symmetric=symmetric)
    script("to_policy").to_policy(path, tmp_path / "policy", "teacher")
    policy, rng = LearnedPolicy(HAND, tmp_path / "policy"), np.random.default_rng(1)
    goal = np.array([0.8, 0.0, 0.6, 0.0])
    policy.reset(Goal("truck", goal))
    q, dq = rng.uniform(HAND.lower, HAND.upper), 0.2 * rng.standard_normal(HAND.dof)
    turn = np.array([0.5, 0.5, -0.5, 0.5])
    numbers = {"position": np.array([0.01, 0.0, 0.05]), "velocity": np.zeros(3), "spin": np.array([0.0, 0.1, 0.2])}
    state = SceneState(0, q=q, dq=dq, quaternion=turn, **numbers)
    action, _ = policy.act(state)
    seen = ReorientObservation(HAND)(
        q, dq, numbers["position"], turn, numbers["velocity"], numbers["spin"], goal, np.zeros(HAND.dof)
    )
    if symmetric:
        symmetry = HandSymmetry(HAND)
        wanted = np.empty(HAND.dof)
        for turned, finger in zip(symmetry.copies(seen[None])[0], symmetry.finger_of(), strict=True):
            wanted[3 * finger : 3 * finger + 3] = by_hand(arrays, turned)
    else:
        wanted = by_hand(arrays, seen)
    np.testing.assert_allclose(action, np.clip(wanted, -1.0, 1.0), atol=1e-5)
    assert np.ptp(action) > 0.05
    assert policy.card.config["training"]["steps"] == 64
    assert policy.card.config["training"]["reward"]["success_needs"] == "object"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hand": "tentacle"}, "unknown hand 'tentacle'"),
        ({"hand": "dclaw4"}, "layer 0 is"),
        ({"clip": None}, "says clip None"),
        ({"training": {"hand": "dclaw3"}}, "settings are missing"),
        ({"arrays": {"layer.1.bias": np.full(9, np.nan)}}, "'layer.1.bias' in the actor is not finite"),
        ({"arrays": {"layer.1.weight": np.zeros((9, 11))}}, "layer 1 is (9, 11)"),
        ({"arrays": {"normaliser.std": np.zeros(WIDTH)}}, "divides by nothing"),
    ],
)
def test_a_file_that_is_no_actor_is_refused_in_one_line(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    path, _ = actor_file(tmp_path / "actor.safetensors", symmetric=False, **changes)
    with pytest.raises(InputError) as refused:
        script("to_policy").to_policy(path, tmp_path / "policy", "teacher")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "policy").exists()


def test_a_file_cut_short_ends_the_command_with_2_and_one_line(tmp_path: Path) -> None:
    path, _ = actor_file(tmp_path / "actor.safetensors", symmetric=True)
    path.write_bytes(path.read_bytes()[:-100])
    command = [sys.executable, str(GPU / "to_policy.py"), str(path), str(tmp_path / "policy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "the actor cannot be read" in done.stderr
    assert not (tmp_path / "policy").exists()


def test_the_scene_for_mjx_weighs_and_feels_as_the_training_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(GPU))
    scenes, models = script("mjx_scene").training_models(HAND, ("truck", "bunny"), pairs=8, contacts=8, iterations=10)
    for scene, model in zip(scenes, models, strict=True):
        own = scene.model
        for body in ("object", *HAND.link_names):
            ours, theirs = own.body(body), model.body(body)
            np.testing.assert_allclose(theirs.mass, ours.mass)
            np.testing.assert_allclose(theirs.inertia, ours.inertia, rtol=1e-9)
            np.testing.assert_allclose(theirs.ipos, ours.ipos, atol=1e-12)
        np.testing.assert_allclose(model.actuator_gainprm, own.actuator_gainprm)
        np.testing.assert_allclose(model.dof_damping, own.dof_damping)
        for name in ("timestep", "impratio", "cone", "integrator", "iterations"):
            assert getattr(model.opt, name) == getattr(own.opt, name)
    assert list(models[0].geom_type) == list(models[1].geom_type)
    assert not (models[0].geom_type == 5).any(), "MJX knows no cylinder against a box"


def test_the_task_on_mjx_is_the_task_of_the_cpu() -> None:
    pytest.importorskip("jax", reason="JAX is not part of knuckle: run this where jax and mujoco-mjx are installed")
    command = [sys.executable, str(GPU / "check_equal.py"), "--no-physics"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
