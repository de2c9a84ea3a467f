"""`knuckle bench sim`: its figures are what they say, and bare physics does the same steps as the batch world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.bench import BenchResult, Cost, _Recorder, figures_of
from knuckle.sim.commands import bench_sim
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.single_env import ReorientEnv

QUICK = ["--worlds", "4", "--threads", "1", "--repeats", "2", "--steps", "3", "--objects", "duck"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_figures_are_written_with_their_ranges(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert bench_sim([*QUICK, "--processes", "0", "--starts", "table", "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    figures, ranges = written["figures"], written["intervals"]
    assert written["n"] == 2 and 0.0 < figures["ratio_to_bare_rollout"] < 1.5
    assert "ratio_to_subprocvecenv" not in figures
    assert figures["episodes"] >= 8 and figures["broken_episodes"] == 0
    for name, (low, high) in ranges.items():
        assert low <= figures[name] <= high, name


@pytest.mark.slow
def test_single_worlds_in_processes_are_timed_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert bench_sim([*QUICK, "--processes", "2", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["figures"]["ratio_to_subprocvecenv"] > 0.0


def test_ratios_are_taken_repeat_by_repeat() -> None:
    ours, bare = [Cost(100, 1.0, 2.0), Cost(100, 4.0, 2.0)], [Cost(100, 0.5, 1.0), Cost(100, 4.0, 1.8)]
    figures, ranges = figures_of(BenchResult(ours, bare, [Cost(10, 1.0, 1.0)] * 2, [0.5, 0.7]))
    assert figures["ratio_to_bare_rollout"] == 0.75 and ranges["ratio_to_bare_rollout"] == (0.5, 1.0)
    assert figures["ratio_to_subprocvecenv"] == pytest.approx((10.0 + 2.5) / 2)
    assert figures["steps_per_s"] == (100 + 25) / 2 and figures["bare_cpu_s"] == pytest.approx(1.4)


def test_bare_physics_ends_in_the_states_that_the_batch_world_reached(start_folder: Path) -> None:
    config = BatchConfig(worlds=4, cached_starts=8, threads=1, randomisation="default")
    world = BatchWorld(hand_spec("dclaw3"), ("truck", "duck"), config, cache_folder=start_folder)
    recorder = _Recorder(world.stepper)
    world.step(np.full((4, 9), 0.3))
    recorder.note()
    assert recorder.replay().steps == 4 and recorder.replay().steps == 0
    np.testing.assert_array_equal(recorder._path[:, -1], world.states)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objects", "lorries"], r"--objects: unknown object or family 'lorries'; .*known: "),
        (["--hand", "dclaw5"], r"--hand: unknown hand 'dclaw5'; .*known: dclaw3, dclaw4"),
        (["--worlds", "0"], r"worlds: 0 is out of range; 1 to 65536"),
        (["--physics", "lunar"], r"unknown physics 'lunar'"),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench_sim([*QUICK, "--processes", "0", *words])


@pytest.mark.filterwarnings("ignore:.*")
def test_one_world_is_an_environment_as_gymnasium_and_sb3_want_it(start_folder: Path) -> None:
    config = BatchConfig(cached_starts=8, episode_s=0.5)
    env = ReorientEnv("dclaw3", "duck", config, cache_folder=start_folder)
    check_env(env, skip_render_check=True)
    check_env_for_sb3(env, skip_render_check=True)
    first, _ = env.reset(seed=4)
    for step in range(1, 7):
        _, reward, terminated, truncated, info = env.step(np.zeros(9, np.float32))
        assert isinstance(reward, float) and not terminated and truncated is (step == 6)
    assert info["episode"]["l"] == 6 and env.reset(seed=4)[0].tolist() == first.tolist()
    env.close()
