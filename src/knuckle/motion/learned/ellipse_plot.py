"""Forecasts as SVG: what was seen, what came, and each mode with its 90% ellipses, darker where more probable."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from knuckle.motion.learned.heads import Forecasts

Array = NDArray[np.float64]
PANEL, COLUMNS, PAD = 300.0, 3, 26.0
SEEN, CAME, MODE = "#333333", "#d55e00", "#0072b2"
Z90 = 2.1460
"""Deviations of a 90% ellipse in two dimensions."""
EVERY = 10


def ellipse_plot(title: str, history: Array, future: Array, forecasts: Forecasts, names: list[str]) -> str:
    """Panels of ``history`` (P, H, 2), ``future`` (P, T, 2) and forecasts of the same bodies, in their frames."""
    rows = -(-len(history) // COLUMNS)
    height = 34.0 + PANEL * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PANEL * COLUMNS:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="white"/><text x="12" y="20" fill="{SEEN}">{escape(title)}: seen grey, '
        "came orange, modes blue with 90% ellipses at each second</text>",
    ]
    weights = forecasts.mixture.log_weights.softmax(-1).double().numpy()
    mean, covariance = (part.double().numpy() for part in (forecasts.mixture.mean, forecasts.mixture.covariance))
    for k, name in enumerate(names):
        x, y = PANEL * (k % COLUMNS), 34.0 + PANEL * (k // COLUMNS)
        parts.append(f'<g transform="translate({x:g} {y:g})">')
        parts += _panel(name, history[k], future[k], weights[k], mean[k], covariance[k])
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(name: str, seen: Array, came: Array, weight: Array, mean: Array, covariance: Array) -> list[str]:
    everything = np.concatenate([seen, came, mean[weight > 0.02].reshape(-1, 2)])
    low, high = everything.min(0), everything.max(0)
    scale = (PANEL - 2 * PAD) / max(float((high - low).max()), 1.0)
    middle = (low + high) / 2

    def place(points: Array) -> Array:
        return np.asarray((points - middle) * [scale, -scale] + PANEL / 2)

    out = [f'<text x="8" y="14" fill="#666">{escape(name)}, {1 / scale * 50:.1f} m: </text>']
    out.append('<path d="M150 10h50" stroke="#666" stroke-width="2"/>')
    circle = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 40)), np.sin(t)], -1)
    for w, m, c in zip(weight, mean, covariance, strict=True):
        if w < 0.02:
            continue
        shade = f'stroke="{MODE}" stroke-opacity="{0.25 + 0.75 * w:.2f}" fill="none"'
        out.append(f'<path d="{_line(place(m))}" {shade}/>')
        for step in range(EVERY - 1, len(m), EVERY):
            value, vector = np.linalg.eigh(c[step])
            ring = m[step] + Z90 * circle * np.sqrt(np.maximum(value, 0)) @ vector.T
            out.append(f'<path d="{_line(place(ring))}Z" {shade} stroke-width="0.8"/>')
    out.append(f'<path d="{_line(place(seen))}" stroke="{SEEN}" stroke-width="2.5" fill="none"/>')
    out.append(f'<path d="{_line(place(came))}" stroke="{CAME}" stroke-width="1.8" fill="none"/>')
    return out


def _line(points: Array) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
