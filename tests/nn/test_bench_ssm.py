"""`knuckle bench ssm`: contenders that do the same work, ratios repeat by repeat, and one line where it cannot run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from knuckle.core.errors import InputError, RunError
from knuckle.nn import bench_scan, kernels
from knuckle.nn.bench import Costs, figures_of
from knuckle.nn.commands import bench_ssm

built = pytest.mark.skipif(bool(kernels.missing()), reason="the kernels are not built here")


def test_ratios_are_taken_repeat_by_repeat() -> None:
    costs = Costs({"a": [2.0, 9.0, 4.0], "b": [1.0, 3.0, 1.0]})
    assert costs.ratio("a", "b") == [2.0, 3.0, 4.0]
    assert figures_of({"r": costs.ratio("a", "b")}) == ({"r": 3.0}, {"r": (2.0, 4.0)})


def test_a_cost_is_that_of_one_unit_of_work() -> None:
    costs = Costs()
    costs.repeat({"many": (lambda: sum(range(200_000)), 10), "one": (lambda: sum(range(200_000)), 1)})
    assert costs.ratio("one", "many")[0] > 2.0
    assert len(costs.load) == 1


@built
def test_every_figure_of_the_goals_is_written(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert bench_ssm(["--length", "24", "--steps", "4", "--repeats", "2", "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    goals = {"scan_speedup_over_loop", "scan_speedup_over_lstm", "cost_ratio_24_to_192"}
    goals |= {"step_speedup_over_eager", "step_speedup_over_onnxruntime"}
    assert goals <= set(written["figures"])
    for name, (low, high) in written["intervals"].items():
        assert low <= written["figures"][name] <= high, name
    assert written["n"] == 2


@built
def test_a_scan_that_gives_something_else_is_not_timed() -> None:
    def wrong(u: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return bench_scan.loop(u, *others) * 1.001

    inputs = bench_scan.draw(9, torch.Generator().manual_seed(0))
    weight = torch.ones_like(inputs[0])
    bench_scan._require_equal(bench_scan.ours(""), inputs, weight)
    with pytest.raises(RunError, match="gradients differ by 1.0e-03 of the largest"):
        bench_scan._require_equal(wrong, inputs, weight)


def test_without_the_kernels_there_is_nothing_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNUCKLE_INSTRUCTION_SET", "none")
    with pytest.raises(InputError, match="the C\\+\\+ kernels cannot run"):
        bench_ssm([])
    monkeypatch.delenv("KNUCKLE_INSTRUCTION_SET")
    if kernels.available():
        with pytest.raises(InputError, match="unknown instruction set 'mmx'"):
            bench_ssm(["--instructions", "mmx"])
