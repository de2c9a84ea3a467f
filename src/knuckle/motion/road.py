"""Lanes at random: straights, bends and the tight turns of junctions, some behind a line to stop at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SPACING_M = 0.5


@dataclass(frozen=True)
class Road:
    """A lane's centre every 0.5 m: positions (M, 2) in m, headings (M,) in rad, curvatures (M,) in 1/m.

    ``stop`` is the index of the line to stop at, M where there is none.
    """

    centre: Array
    heading: Array
    curvature: Array
    stop: int


def random_road(rng: np.random.Generator, length_m: float, stop_share: float) -> Road:
    """A lane of at least ``length_m``; a share of them has a line to stop at, before a junction where one comes."""
    curvature: list[float] = []
    junctions: list[int] = []
    while len(curvature) * SPACING_M < length_m:
        side = rng.choice([-1.0, 1.0])
        kind = rng.choice(["straight", "bend", "junction"], p=[0.45, 0.35, 0.2])
        if kind == "straight":
            curvature += [0.0] * int(rng.uniform(15, 120) / SPACING_M)
            continue
        radius, angle = (rng.uniform(7, 14), np.pi / 2) if kind == "junction" else _bend(rng)
        if kind == "junction":
            curvature += [0.0] * int(20 / SPACING_M)
            junctions.append(len(curvature) - 2)
        curvature += [side / radius] * int(angle * radius / SPACING_M)
    # A road's curvature does not jump: steering takes time.
    smooth = np.convolve(np.pad(curvature, 6, mode="edge"), np.full(13, 1 / 13), mode="valid")
    heading = rng.uniform(-np.pi, np.pi) + np.cumsum(smooth) * SPACING_M
    steps = np.stack([np.cos(heading), np.sin(heading)], 1) * SPACING_M
    stop = len(smooth)
    if rng.random() < stop_share:
        stop = junctions[0] if junctions else int(rng.integers(len(smooth) // 8, len(smooth) // 2))
    return Road(rng.uniform(-100, 100, 2) + np.cumsum(steps, 0), heading, smooth, stop)


def _bend(rng: np.random.Generator) -> tuple[float, float]:
    return rng.uniform(25, 250), rng.uniform(0.2, 1.4)
