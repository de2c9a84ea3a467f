"""How long a step of learning takes: O-DICE's and IQL's beside the same steps written plainly, on one thread.

The plain ones (`plain_odice`, `plain_iql`) are what one writes first: torch's modules, autograd, a pass back for each
gradient. O-DICE's Adam there goes tensor by tensor, IQL's is torch's default. Both begin with the same weights and are
given the same batches, so they do the same arithmetic: how far their weights are apart after the first few steps is
measured too. The two take turns, every few steps. Costs are CPU seconds of this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch

from knuckle.policy.offline.iql import Iql, IqlConfig
from knuckle.policy.offline.learner import Batch, Rows
from knuckle.policy.offline.odice import Odice, OdiceConfig
from knuckle.policy.offline.plain_iql import PlainIql
from knuckle.policy.offline.plain_odice import PlainOdice, module_arrays
from knuckle.policy.offline.transitions import Transitions

TURN = 5
"""Steps that ours and the plain one do in turn within a repeat: the machine's other work then falls on both."""
COLUMNS = (11, 3)
"""Observations and actions, as Hopper's."""
BATCHES = 32


@dataclass
class Timed:
    """CPU seconds a step, a number each repeat; ``apart`` is the largest difference of the values' weights after the
    first steps, ``weighted_share`` the share of rows whose weight in O-DICE's policy is not 0."""

    ours: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    apart: float = 0.0
    weighted_share: float = float("nan")


def made_up_transitions(seed: int, count: int = 4096) -> Transitions:
    """Rows as wide as Hopper's and about as large: drawn, with rewards around 0 and an end in a hundred."""
    rng = np.random.default_rng(seed)
    seen = rng.standard_normal((count, COLUMNS[0])).astype(np.float32)
    return Transitions(
        observations=seen,
        actions=rng.uniform(-1.0, 1.0, (count, COLUMNS[1])).astype(np.float32),
        rewards=rng.standard_normal(count).astype(np.float32),
        next_observations=(seen + 0.1 * rng.standard_normal(seen.shape)).astype(np.float32),
        terminated=rng.uniform(size=count) < 0.01,
        truncated=np.zeros(count, dtype=np.bool_),
        episode=np.arange(count) // 100,
    )


def time_odice(config: OdiceConfig, *, seed: int, repeats: int, steps: int) -> Timed:
    """O-DICE's step beside the plain one, ``steps`` a repeat."""
    rng = np.random.default_rng(seed)
    learner = Odice(config, COLUMNS, rng)
    plain = PlainOdice(learner)
    shares: list[float] = []

    def ours(batch: Batch) -> None:
        learner.update(batch, rng)

    timed = Timed()
    batches = _warm_up(ours, plain.update, _batches(config.batch, seed))
    timed.apart = float((module_arrays(plain.v) - learner.v.flat).abs().max())
    _in_turns(timed, ours, plain.update, batches, repeats, steps)
    for batch in _batches(config.batch, seed)[:4]:
        shares.append(1.0 - learner.update(batch, rng, explain=True)["weight_zero_share"])
    timed.weighted_share = float(np.mean(shares))
    return timed


def time_iql(config: IqlConfig, *, seed: int, repeats: int, steps: int) -> Timed:
    """IQL's step beside the plain one, ``steps`` a repeat."""
    rng = np.random.default_rng(seed)
    learner = Iql(config, COLUMNS, rng)
    plain = PlainIql(learner)

    def ours(batch: Batch) -> None:
        learner.update(batch, rng)

    timed = Timed()
    batches = _warm_up(ours, plain.update, _batches(config.batch, seed))
    timed.apart = float((module_arrays(plain.v) - learner.v.flat).abs().max())
    _in_turns(timed, ours, plain.update, batches, repeats, steps)
    return timed


def figures_of(timed: dict[str, Timed]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Medians and ranges over the repeats, by the name of each pair; a ratio is taken within each repeat."""
    figures: dict[str, float] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, pair in timed.items():
        series: dict[str, Sequence[float]] = {
            f"{name}_cpu_ratio": [b / a for a, b in zip(pair.ours, pair.plain, strict=True)],
            f"{name}_step_cpu_ms": [1e3 * each for each in pair.ours],
            f"{name}_plain_step_cpu_ms": [1e3 * each for each in pair.plain],
        }
        figures |= {key: float(median(values)) for key, values in series.items()}
        ranges |= {key: (min(values), max(values)) for key, values in series.items()}
        figures[f"{name}_weights_apart"] = pair.apart
        if np.isfinite(pair.weighted_share):
            figures[f"{name}_weighted_share"] = pair.weighted_share
    figures["load_1min"] = float(median([load for pair in timed.values() for load in pair.load]))
    return figures, ranges


def _batches(count: int, seed: int) -> list[Batch]:
    rng, rows = np.random.default_rng([seed, 1]), Rows(made_up_transitions(seed))
    return [rows.draw(count, rng) for _ in range(BATCHES)]


Step = Callable[[Batch], None]


def _warm_up(ours: Step, plain: Step, batches: list[Batch]) -> list[Batch]:
    """The first steps of both, which are not timed."""
    torch.set_num_threads(1)
    for step in (ours, plain):
        for batch in batches[:TURN]:
            step(batch)
    return batches


def _in_turns(timed: Timed, ours: Step, plain: Step, batches: list[Batch], repeats: int, steps: int) -> None:
    done = 0
    for _ in range(repeats):
        timed.load.append(os.getloadavg()[0])
        spent = {"ours": 0.0, "plain": 0.0}
        for begun in range(0, steps, TURN):
            turn = min(TURN, steps - begun)
            for name, step in (("ours", ours), ("plain", plain)):
                used = time.process_time()
                for k in range(turn):
                    step(batches[(done + k) % BATCHES])
                spent[name] += time.process_time() - used
            done += turn
        timed.ours.append(spent["ours"] / steps)
        timed.plain.append(spent["plain"] / steps)
