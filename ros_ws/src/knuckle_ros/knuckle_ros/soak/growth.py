"""What a soak's record comes to, in figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from knuckle.sim.world import STEPS_PER_S
from knuckle_ros.soak.soak import Record

WARM_UP_SHARE = 0.2
"""Of a soak, in which caches fill and nothing is held against it."""


def soak_figures(record: Record, periods_ms: Sequence[float]) -> dict[str, float]:
    """The figures of a soak: see ``growth`` for the two of growth.

    ``jitter_p99_ms`` is by how much the period of the servo loop exceeds its own at the 99th percentile of 1024 cycles,
    the median over the soak; NaN where it was never said.
    """
    warm = [(at_s, usage) for at_s, usage in record.usage if at_s >= WARM_UP_SHARE * record.seconds]
    times = [at_s for at_s, _ in warm]
    memory = growth(times, [usage.memory_mb for _, usage in warm])
    descriptors = growth(times, [float(usage.descriptors) for _, usage in warm])
    told = [value for value in periods_ms if np.isfinite(value)]
    recovered = [o.recovered_s - o.began_s for o in record.outcomes if o.recovered_s is not None]
    return {
        "unsafe_writes": float(record.unsafe.total()),
        "packets_judged": float(record.packets),
        "faults_injected": float(len(record.outcomes)),
        "faults_unrecovered": float(sum(not outcome.recovered for outcome in record.outcomes)),
        "unasked_holds": float(record.unasked_holds),
        "recovery_median_s": float(np.median(recovered)) if recovered else float("nan"),
        "recovery_max_s": max(recovered, default=float("nan")),
        "memory_mb": memory[0],
        "memory_growth_percent": 100.0 * (memory[1] / memory[0] - 1.0),
        "descriptors": descriptors[0],
        "descriptor_growth": descriptors[1] - descriptors[0],
        "jitter_p99_ms": float(np.median(told)) - 1e3 / STEPS_PER_S if told else float("nan"),
        "soak_seconds": record.seconds,
    }


def growth(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and of the last third of the time; NaN where one of them has no sample."""
    if not times:
        return float("nan"), float("nan")
    at, seen = np.array(times), np.array(values)
    third = (at[-1] - at[0]) / 3.0
    first, last = seen[at <= at[0] + third], seen[at >= at[-1] - third]
    return float(np.median(first)), float(np.median(last))
