"""The plain steps that ours are timed against do the same arithmetic, and the bench says what it measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from knuckle.cli import main
from knuckle.policy.offline.bench import made_up_transitions
from knuckle.policy.offline.iql import Iql, IqlConfig
from knuckle.policy.offline.learner import Rows
from knuckle.policy.offline.odice import Odice, OdiceConfig
from knuckle.policy.offline.plain_iql import PlainIql
from knuckle.policy.offline.plain_odice import PlainOdice, module_arrays

COLUMNS, DOUBLE = (11, 3), torch.float64


def _same(found: torch.Tensor, modules: torch.nn.Module) -> None:
    torch.testing.assert_close(found, module_arrays(modules), rtol=0.0, atol=1e-11)


@pytest.mark.parametrize("twin", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_the_plain_odice_step_gives_the_same_numbers(twin: bool, norm: bool) -> None:
    config = OdiceConfig(width=16, policy_width=16, twin=twin, norm=norm)
    rng, rows = np.random.default_rng(0), Rows(made_up_transitions(0), DOUBLE)
    learner = Odice(config, COLUMNS, rng, DOUBLE)
    plain = PlainOdice(learner)
    for _ in range(4):
        batch = rows.draw(32, rng)
        learner.update(batch, rng)
        plain.update(batch)
    _same(learner.v.flat, plain.v)
    _same(learner.v_bar.flat, plain.v_bar)
    mean = torch.cat([module_arrays(plain.mean), plain.log_std.detach()])
    torch.testing.assert_close(learner.policy.weights.flat, mean, rtol=0.0, atol=1e-11)


def test_the_plain_iql_step_gives_the_same_numbers() -> None:
    rng, rows = np.random.default_rng(0), Rows(made_up_transitions(0), DOUBLE)
    learner = Iql(IqlConfig(width=16), COLUMNS, rng, DOUBLE)
    plain = PlainIql(learner)
    for _ in range(4):
        batch = rows.draw(32, rng)
        learner.update(batch, rng)
        plain.update(batch)
    _same(learner.v.flat, plain.v)
    _same(learner.q.q.flat, plain.q)
    _same(learner.q.q_bar.flat, plain.q_bar)
    mean = torch.cat([module_arrays(plain.mean), plain.log_std.detach()])
    torch.testing.assert_close(learner.policy.weights.flat, mean, rtol=0.0, atol=1e-11)


def test_the_bench_writes_medians_with_ranges_and_how_far_the_two_are_apart(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    words = "bench offline --width 16 --policy-width 16 --batch 32 --repeats 2 --steps 7"
    assert main([*words.split(), "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    figures, ranges = written["figures"], written["intervals"]
    for name in ("odice", "iql"):
        low, high = ranges[f"{name}_cpu_ratio"]
        assert 0.0 < low <= figures[f"{name}_cpu_ratio"] <= high
        assert figures[f"{name}_weights_apart"] < 1e-4
    assert 0.0 < figures["odice_weighted_share"] <= 1.0
