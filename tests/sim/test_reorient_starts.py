"""Stable starts: they are stable, they are kept whole, and a cache that is broken or foreign is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.sim.contact_facts import contact_facts
from knuckle.sim.engine import mujoco
from knuckle.sim.reorient.stable_starts import StableStarts
from knuckle.sim.reorient.start_cache import cached_starts
from knuckle.sim.scene import Scene, planner_scene, without_table

HAND = hand_spec("dclaw4")
SCENE = planner_scene(HAND, "excavator")
COUNT = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own_starts")


@pytest.fixture(scope="module")
def starts(folder: Path) -> StableStarts:
    return cached_starts(SCENE, count=COUNT, folder=folder)


def moved(scene: Scene, state: np.ndarray, target: np.ndarray, seconds: float = 1.0) -> tuple[float, float]:
    """How far, m and rad, the object gets from ``state`` while ``target`` is held, stepped one world at a time."""
    data = scene.new_data()
    scene.write_state(data, state)
    data.ctrl[:] = target
    for _ in range(round(seconds / scene.dt_s)):
        mujoco.mj_step(scene.model, data)
    (a, p), (b, q) = scene.object_pose_of(state), scene.object_pose_of(scene.state_of(data))
    return float(np.linalg.norm(b - a)), float(rotations.angle_between(p, q))


def test_resting_poses_stay_where_they_are(starts: StableStarts) -> None:
    assert starts.settled.shape == (COUNT, SCENE.nstate) and (starts.settled[:, 0] == 0.0).all()
    for state in starts.settled[:8]:
        distance, angle = moved(SCENE, state, HAND.home)
        assert distance < 0.004 and angle < 0.08


def test_grasps_touch_the_object_and_hold_it(starts: StableStarts) -> None:
    assert len(starts.grasps) >= COUNT // 4
    data = SCENE.new_data()
    for state, target in zip(starts.grasps[:6], starts.targets, strict=False):
        distance, angle = moved(SCENE, state, target)
        assert distance < 0.005 and angle < 0.1
        data.ctrl[:] = target
        SCENE.write_state(data, state)
        assert (contact_facts(SCENE, data).tips > 0.0).sum() >= 2
        closed, home = (TipKinematics(HAND, "world").poses(q)[0] for q in (SCENE.joints_of(state), HAND.home))
        centre = SCENE.object_pose_of(state)[0]
        assert np.linalg.norm(closed - centre, axis=1).mean() < np.linalg.norm(home - centre, axis=1).mean()


def test_grasps_marked_for_the_air_hold_without_the_table(starts: StableStarts) -> None:
    aloft = without_table(SCENE)
    moves = np.array([moved(aloft, s, t) for s, t in zip(starts.grasps, starts.targets, strict=True)])
    held, rest = moves[starts.in_air], moves[~starts.in_air]
    assert len(held) > 3 and held[:, 0].max() < 0.02 and held[:, 1].max() < 0.4
    # The rest are not marked because they give way.
    assert np.median(rest[:, 1]) > 2.0 * np.median(held[:, 1])
    home = SCENE.hand.home
    assert min(moved(aloft, s, home)[0] for s in starts.settled) > 0.1  # what nobody grasps does fall


def test_the_cache_gives_the_same_states_again_and_makes_the_same_anew(
    starts: StableStarts, folder: Path, tmp_path: Path
) -> None:
    files = sorted(folder.iterdir())
    assert [path.suffix for path in files] == [".json", ".npz"]
    card = json.loads(files[0].read_text())
    assert (card["hand"], card["object"], card["settled"], card["grasps"]) == (
        "dclaw4",
        "excavator",
        COUNT,
        len(starts.grasps),
    )
    written = files[1].read_bytes()
    for again in (cached_starts(SCENE, count=COUNT, folder=folder), cached_starts(SCENE, count=COUNT, folder=tmp_path)):
        for name in ("settled", "grasps", "targets", "in_air"):
            np.testing.assert_array_equal(getattr(again, name), getattr(starts, name))
    assert files[1].read_bytes() == written == next(tmp_path.glob("*.npz")).read_bytes()


@pytest.mark.parametrize("damage", ["states", "card", "key", "version", "gone"])
def test_a_broken_or_foreign_cache_is_refused_in_one_line_and_remade_on_request(tmp_path: Path, damage: str) -> None:
    cached_starts(SCENE, count=2, folder=tmp_path)
    card, states = sorted(tmp_path.iterdir())
    good = states.read_bytes()
    content = json.loads(card.read_text())
    if damage == "states":
        states.write_bytes(good[:-40])
    elif damage == "gone":
        states.unlink()
    elif damage == "card":
        card.write_text("{")
    else:
        card.write_text(json.dumps(content | {damage: 0}))
    with pytest.raises(InputError, match=r"cache|file cannot be read") as error:
        cached_starts(SCENE, count=2, folder=tmp_path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    cached_starts(SCENE, count=2, folder=tmp_path, remake=True)
    assert states.read_bytes() == good
    cached_starts(SCENE, count=2, folder=tmp_path)


def test_states_that_nobody_vouches_for_yet_are_made_anew(tmp_path: Path) -> None:
    first = cached_starts(SCENE, count=2, folder=tmp_path)
    next(tmp_path.glob("*.json")).unlink()
    next(tmp_path.glob("*.npz")).write_bytes(b"half")
    np.testing.assert_array_equal(cached_starts(SCENE, count=2, folder=tmp_path).settled, first.settled)


def test_a_folder_that_cannot_be_written_to_costs_the_making_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(cached_starts(SCENE, count=2, folder=tmp_path / "file").settled) == 2
