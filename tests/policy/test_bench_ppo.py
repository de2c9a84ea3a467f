"""`knuckle bench ppo`: what it says of training is of the preset's own worlds, beside the same without training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knuckle.core.errors import InputError
from knuckle.policy.learned.bench_command import bench_ppo
from knuckle.policy.learned.training_bench import Turn, figures_of
from knuckle.sim.bench import Cost


def test_figures_are_written_with_their_ranges(
    tmp_path: Path, start_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(start_folder))
    file = tmp_path / "figures.json"
    small = "worlds=8,steps=6,width=16,minibatches=2,judge_worlds=4,cached_starts=4"
    argv = ["--set", small, "--threads", "1", "--warm-up", "1", "--repeats", "2", "--json", str(file)]
    assert bench_ppo(argv) == 0
    written = json.loads(file.read_text())
    figures, ranges = written["figures"], written["intervals"]
    assert written["n"] == 2 and 0.0 < figures["world_share_of_training"] < 1.0
    # Training is collecting and updating; neither part is as long as the whole.
    assert 0.0 < figures["update_cpu_s_per_million"] < figures["training_cpu_s_per_million"]
    assert figures["training_world_steps_per_s"] > figures["training_steps_per_s"]
    for name, (low, high) in ranges.items():
        assert low <= figures[name] <= high, name


def test_the_share_is_taken_turn_by_turn() -> None:
    update = Cost(100, 0.1, 0.1)
    turns = [
        Turn(Cost(100, 2.0, 2.0), update, Cost(100, 1.0, 0.5), 1.0, 0.0),
        Turn(Cost(100, 8.0, 2.0), update, Cost(100, 6.0, 0.5), 4.0, 3.0),
    ]
    figures, ranges = figures_of(turns)
    assert figures["training_share_of_sim"] == pytest.approx((0.5 + 0.75) / 2)
    assert ranges["training_share_of_sim"] == (0.5, 0.75)
    assert figures["cpu_training_share_of_sim"] == 0.25 and figures["load_1min"] == 1.5
    assert figures["training_world_steps_per_s"] == pytest.approx((100 + 25) / 2)


def test_a_setting_that_is_not_known_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="unknown setting 'world'; did you mean 'worlds'"):
        bench_ppo(["--set", "world=9"])
