"""The batch world refuses what cannot be used in one line, and saves the state of a world that broke."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.core.errors import ConfigError, InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim import objects
from knuckle.sim.engine import mujoco
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld

HAND = hand_spec("dclaw3")


def build(
    folder: Path, names: tuple[str, ...] = ("truck", "duck"), fault: Path | None = None, **settings: Any
) -> BatchWorld:
    config = BatchConfig(**({"worlds": 6, "cached_starts": 8, "threads": 1} | settings))
    return BatchWorld(HAND, names, config, cache_folder=folder, fault_folder=fault)


def test_objects_of_different_size_signature_are_refused(start_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duck = objects.object_shape("duck")
    larger = replace(duck, name="larger", primitives=(*duck.primitives, *duck.primitives))
    monkeypatch.setitem(objects.OBJECTS, "larger", lambda: larger)
    with pytest.raises(
        RunError, match=r"scene: the models of truck and larger differ in .*ngeom.*; one size signature"
    ):
        build(start_folder, ("truck", "larger"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rung": "61"}, r"batch world: unknown rung '61'; known: 30, 60, 90, so3, yaw60"),
        ({"names": ("truck", "lorry")}, r"batch world: unknown object 'lorry'; .*known: "),
        ({"names": ()}, r"batch world: no objects"),
        ({"physics": "lunar"}, r"batch world: unknown physics 'lunar'; .*known: coarse, execution, training"),
        ({"randomisation": "all"}, r"batch world: unknown randomisation 'all'; .*known: default, off"),
        ({"surface": "water"}, r"batch world.surface: 'water' is not a choice; one of: table, air"),
        ({"worlds": 0}, r"batch world.worlds: 0 is out of range"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(
    start_folder: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, ConfigError), match=message):
        build(start_folder, **settings)


def test_actions_of_another_shape_or_not_finite_are_refused_and_change_nothing(start_folder: Path) -> None:
    world = build(start_folder)
    before, action = world.states, np.zeros((6, 9))
    action[4, 2] = np.nan
    with pytest.raises(InputError, match=r"batch world: the action of world 4 for joint_f1_2 is nan; finite numbers"):
        world.step(action)
    with pytest.raises(InputError, match=r"batch world: actions of shape \(6, 12\); \(6, 9\): worlds, joints"):
        world.step(np.zeros((6, 12)))
    with pytest.raises(InputError, match=r"a mask of shape \(3,\) and type float64; \(6,\) bool"):
        world.reset(np.ones(3))
    with pytest.raises(InputError, match=r"goals of shape \(6, 4\); \(6, 4\) unit quaternions"):
        world.set_goals(np.zeros((6, 4)))
    np.testing.assert_array_equal(world.states, before)


def test_a_world_that_breaks_is_saved_cut_off_and_begun_anew_while_the_others_go_on(
    start_folder: Path, tmp_path: Path
) -> None:
    world = build(start_folder, fault=tmp_path)
    before = world.states
    world.stepper.models[2].opt.gravity[2] = np.nan
    seen, reward, terminated, truncated = world.step(np.full((6, 9), 0.1))
    only = [False, False, True, False, False, False]
    assert truncated.tolist() == only == world.info["broken"].tolist() and not terminated.any()
    assert np.isfinite(seen).all() and np.isfinite(reward).all() and reward[2] == 0.0 and world.guard.broken == 1
    np.testing.assert_array_equal(world.states[2], before[2])
    with np.load(tmp_path / "broken_world_1.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["before"], before[2])
        assert np.isnan(saved["after"]).any() and str(saved["object"]) == "truck"
        (tmp_path / "model.mjb").write_bytes(saved["model"].tobytes())
    assert np.isnan(mujoco.MjModel.from_binary_path(str(tmp_path / "model.mjb")).opt.gravity[2])
    world.stepper.models[2].opt.gravity[2] = -9.81
    world.reset(truncated)
    assert not world.step(np.zeros((6, 9)))[3].any()


def test_too_many_broken_worlds_end_the_run(start_folder: Path, tmp_path: Path) -> None:
    world = build(start_folder, fault=tmp_path)
    for model in world.stepper.models:
        model.opt.gravity[2] = np.nan
    with pytest.raises(RunError, match=r"batch world: 6 of 6 episodes broke down: world 0 \(truck\); states in "):
        world.step(np.zeros((6, 9)))
