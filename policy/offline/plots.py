"""The pictures of a comparison: means with intervals, and values over a plane, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.policy.svg_plot import INK, Axis, Panel, text

MARK = "#0072B2"
LOW_COLOUR, HIGH_COLOUR = (68, 1, 84), (253, 231, 37)
MIDDLE_COLOUR = (33, 145, 140)
"""Viridis at its ends and in the middle: brightness alone tells high from low."""


@dataclass(frozen=True)
class Bar:
    """A row of `interval_plot`: a mean and its bounds."""

    label: str
    value: float
    low: float
    high: float


def interval_plot(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """Means with their intervals, one row each, the first on top; rows that are not finite are left out."""
    shown = [bar for bar in bars if np.isfinite([bar.value, bar.low, bar.high]).all()]
    top = max([*(bar.high for bar in shown), 0.0])
    bottom = min([*(bar.low for bar in shown), 0.0])
    span = (top - bottom) or 1.0  # all are 0 where nobody succeeds
    top = bottom + span
    ticks = tuple((bottom + span * k / 4, f"{bottom + span * k / 4:.3g}") for k in range(5))
    rows = tuple((float(len(shown) - k), bar.label) for k, bar in enumerate(shown))
    height = 80.0 + 26.0 * len(shown)
    panel = Panel(Axis(bottom, top, ticks, unit), Axis(0.3, len(shown) + 0.7, rows, ""), height=height, left=130.0)
    parts = [text(panel.left, 18, title, colour=INK)]
    for (row, _), bar in zip(rows, shown, strict=True):
        y = panel.py(row)
        parts.append(
            f'<path d="M{panel.px(bar.low):.1f} {y:.1f}H{panel.px(bar.high):.1f}" stroke="{MARK}" stroke-width="3"/>'
        )
        parts.append(f'<circle cx="{panel.px(bar.value):.1f}" cy="{y:.1f}" r="5" fill="{MARK}"/>')
    return panel.image(title, parts)


def value_maps(planes: dict[str, NDArray[np.float64]], seen: NDArray[np.float64], title: str, *, side: int = 18) -> str:
    """The value over the unit square by each of ``planes`` (cells^2,), in a range of its own; ``seen`` (N, 2): dots."""
    size, gap, top = 230.0, 24.0, 46.0
    width, height = gap + len(planes) * (size + gap), top + size + 20.0
    box = f"0 0 {width:g} {height:g}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{title}">']
    parts.append(text(gap, 18, title, colour=INK))
    for k, (name, values) in enumerate(planes.items()):
        left, cells = gap + k * (size + gap), round(len(values) ** 0.5)
        grid = values.reshape(cells, cells)
        step = max(cells // side, 1)
        coarse = grid.reshape(cells // step, step, cells // step, step).mean(axis=(1, 3))
        low, high = float(coarse.min()), float(coarse.max())
        parts.append(text(left, top - 8, f"{name}: {low:.1f} to {high:.1f}", colour=INK))
        cell = size / len(coarse)
        for i, row in enumerate((coarse - low) / ((high - low) or 1.0)):
            y = top + size - (i + 1) * cell
            parts += [
                f'<rect x="{left + j * cell:.1f}" y="{y:.1f}" width="{cell + 0.3:.1f}" height="{cell + 0.3:.1f}" '
                f'fill="{_colour(share)}"/>'
                for j, share in enumerate(row)
            ]
        dots = [f"M{left + size * x:.1f} {top + size * (1.0 - y):.1f}h0" for x, y in seen]
        parts.append(f'<path d="{"".join(dots)}" stroke="#fff" stroke-width="2" stroke-linecap="round" opacity="0.7"/>')
    return "\n".join([*parts, "</svg>"])


def _colour(share: float) -> str:
    ends = (LOW_COLOUR, MIDDLE_COLOUR) if share < 0.5 else (MIDDLE_COLOUR, HIGH_COLOUR)
    t = 2.0 * share if share < 0.5 else 2.0 * share - 1.0
    mixed = [round(a + t * (b - a)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)
