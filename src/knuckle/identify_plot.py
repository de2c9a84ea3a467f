"""The plot of an identification: each joint's commands, what was measured, and what the fitted finger does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knuckle.core.errors import RunError
from knuckle.core.figures import write_text
from knuckle.hardware.identification.record import FingerRecord
from knuckle.hardware.identification.servo_fit import Fit
from knuckle.policy.svg_plot import Axis, Panel, text

COLOURS = {"commanded": "#b9b9b9", "measured": "#2166ac", "fitted": "#d6604d"}
WIDTH, HEIGHT, GAP = 900.0, 260.0, 10.0
POINTS = 1500


def write_plot(path: Path, record: FingerRecord, fit: Fit) -> None:
    """One panel a joint, below each other, as one SVG file; RunError where it cannot be written."""
    targets, measured = record.on_grid(1)
    n = min(len(measured), len(fit.q))
    panels = []
    for k, name in enumerate(fit.names):
        lines = {"commanded": targets[:n, k], "measured": measured[:n, k], "fitted": fit.q[:n, k]}
        title = f"{name}: {1e3 * fit.residual_rad[k]:.2f} mrad left"
        inner = _panel(title, fit.time_s[:n], lines)
        panels.append(f'<g transform="translate(0 {k * (HEIGHT + GAP):g})">{inner}</g>')
    whole = f"0 0 {WIDTH:g} {len(panels) * (HEIGHT + GAP):g}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{whole}" font-family="sans-serif" font-size="12">'
    try:
        write_text(path, "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *panels, "</svg>\n"]))
    except OSError as error:
        what = f"the plot cannot be written ({error.strerror})"
        raise RunError(what, where=str(path), right="a file in a folder of yours") from error


def _panel(title: str, time_s: np.ndarray, lines: dict[str, np.ndarray]) -> str:
    low, high = min(float(v.min()) for v in lines.values()), max(float(v.max()) for v in lines.values())
    room = 0.05 * (high - low) + 1e-3
    ticks = tuple((float(v), f"{v:.2f}") for v in np.linspace(low, high, 5))
    seconds = tuple((float(v), f"{v:.0f}") for v in np.linspace(0.0, float(time_s[-1]), 7))
    x = Axis(0.0, float(time_s[-1]), seconds, "time, s")
    panel = Panel(x, Axis(low - room, high + room, ticks, "angle, rad"), width=WIDTH, height=HEIGHT)
    # All extremes stay: of each stretch the least and the largest value are drawn.
    stretch = max(1, len(time_s) // POINTS)
    inside = []
    for name, values in lines.items():
        width = 1.0 if name == "fitted" else 1.6
        inside.append(
            f'<path d="{_path(panel, time_s, values, stretch)}" fill="none" stroke="{COLOURS[name]}" '
            f'stroke-width="{width}"/>'
        )
    inside.append(text(52.0, 20.0, title))
    for k, (name, colour) in enumerate(COLOURS.items()):
        inside.append(text(WIDTH - 250.0 + 80.0 * k, 20.0, name, colour=colour))
    # Inside another image it must say how large it is.
    return panel.image(title, inside).replace("<svg ", f'<svg width="{WIDTH:g}" height="{HEIGHT:g}" ', 1)


def _path(panel: Panel, time_s: np.ndarray, values: np.ndarray, stretch: int) -> str:
    points = []
    for k in range(0, len(values), stretch):
        part = values[k : k + stretch]
        ends = sorted({k + int(part.argmin()), k + int(part.argmax())})
        points += [f"{panel.px(float(time_s[i])):.1f} {panel.py(float(values[i])):.1f}" for i in ends]
    return "M" + "L".join(points)
