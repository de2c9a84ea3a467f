"""Estimates beside the truth as SVG: a row for each target, the band where 90% of the truth should lie."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
WIDTH, ROW, LEFT, TOP = 900.0, 170.0, 70.0, 28.0
TRUTH, ESTIMATE, BAND = "#333333", "#0072B2", "#bcd9ec"
Z90 = 1.6449


def trace_plot(title: str, names: Sequence[str], times: Array, mean: Array, deviation: Array, truth: Array) -> str:
    """``mean``, ``deviation``, ``truth`` (K, T) over ``times`` (K,) in s; truth may have NaN. The whole SVG."""
    height = TOP + ROW * len(names) + 24.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">',
        f'<text x="{LEFT:g}" y="18" fill="#333">{escape(title)}: truth grey, estimate blue, 90% band</text>',
    ]
    for k, name in enumerate(names):
        parts += _row(name, TOP + k * ROW, times, mean[:, k], Z90 * deviation[:, k], truth[:, k])
    parts.append(f'<text x="{WIDTH / 2:g}" y="{height - 6:g}" fill="#333">time, s</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(name: str, top: float, times: Array, mean: Array, half: Array, truth: Array) -> list[str]:
    known = truth[np.isfinite(truth)]
    everything = np.concatenate([mean, known])
    low, high = float(everything.min()), float(everything.max())
    span = max(high - low, 1e-9)
    x = LEFT + (times - times[0]) / max(float(times[-1] - times[0]), 1e-9) * (WIDTH - LEFT - 12.0)

    def y(values: Array) -> Array:
        return top + 10.0 + (ROW - 30.0) * (1.0 - np.clip((values - low) / span, -0.1, 1.1))

    band = [*zip(x, y(mean + half), strict=True), *reversed(list(zip(x, y(mean - half), strict=True)))]
    ticks = [
        f'<text x="{LEFT - 6:g}" y="{float(y(np.array(value))):.1f}" text-anchor="end" fill="#666">{value:.3g}</text>'
        for value in (low, high)
    ]
    return [
        f'<text x="6" y="{top + ROW / 2:g}" fill="#333">{escape(name)}</text>',
        f'<path d="{_path(band)}Z" fill="{BAND}"/>',
        *(f'<path d="{line}" fill="none" stroke="{TRUTH}"/>' for line in _broken(x, y(truth))),
        f'<path d="{_path(list(zip(x, y(mean), strict=True)))}" fill="none" stroke="{ESTIMATE}"/>',
        *ticks,
    ]


def _broken(x: Array, y: Array) -> list[str]:
    """Paths over the stretches where ``y`` is known."""
    good = np.isfinite(y)
    edges = np.flatnonzero(np.diff(good.astype(np.int8))) + 1
    stretches = [s for s in np.split(np.arange(len(y)), edges) if good[s[0]]]
    return [_path(list(zip(x[s], y[s], strict=True))) for s in stretches]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
