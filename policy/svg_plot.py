"""The frame of a plot as SVG: two axes, their ticks, and where a value lies. Text is escaped, nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

INK, FAINT, GRID = "#333", "#666", "#e4e4e4"


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``, with ``ticks`` (value, what is written there); ``log`` for a logarithmic one."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str
    log: bool = False

    def share(self, value: float) -> float:
        """Where ``value`` lies: 0 at ``low``, 1 at ``high``, never outside."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Panel:
    """The area between two axes, in an image of ``width`` by ``height``."""

    x: Axis
    y: Axis
    width: float = 520.0
    height: float = 330.0
    left: float = 52.0
    right: float = 14.0
    top: float = 30.0
    bottom: float = 44.0

    def px(self, value: float) -> float:
        """Pixels from the left of an x."""
        return self.left + self.x.share(value) * (self.width - self.left - self.right)

    def py(self, value: float) -> float:
        """Pixels from the top of a y."""
        return self.height - self.bottom - self.y.share(value) * (self.height - self.top - self.bottom)

    def image(self, name: str, inside: Sequence[str]) -> str:
        """The whole SVG, called ``name`` for those who cannot see it: grid, what is ``inside``, axes."""
        box = f"0 0 {self.width:g} {self.height:g}"
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{escape(name)}">'
        return "\n".join([head, *self._grid(), *inside, *self._axes(), "</svg>"])

    def _grid(self) -> list[str]:
        x0, x1 = self.px(self.x.low), self.px(self.x.high)
        rows = [self.py(value) for value, _ in self.y.ticks]
        return [f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="{GRID}"/>' for y in rows]

    def _axes(self) -> list[str]:
        x0, x1, y0, y1 = self.px(self.x.low), self.px(self.x.high), self.py(self.y.low), self.py(self.y.high)
        parts = [f'<path d="M{x0:.1f} {y0:.1f}H{x1:.1f}" stroke="{INK}" fill="none"/>']
        for value, written in self.x.ticks:
            parts.append(f'<path d="M{self.px(value):.1f} {y0:.1f}v4" stroke="{INK}"/>')
            parts.append(text(self.px(value), y0 + 16, written, "middle"))
        parts += [text(x0 - 6, self.py(value) + 4, written, "end") for value, written in self.y.ticks]
        parts.append(text(0.5 * (x0 + x1), self.height - 8, self.x.label, "middle", colour=INK))
        middle = 0.5 * (y0 + y1)
        parts.append(text(12, middle, self.y.label, "middle", colour=INK, extra=f'transform="rotate(-90 12 {middle})"'))
        return parts


def text(x: float, y: float, words: str, anchor: str = "start", *, colour: str = FAINT, extra: str = "") -> str:
    """One line of text at a place."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place} {extra}>{escape(words)}</text>"


def steps(panel: Panel, points: Sequence[tuple[float, float]]) -> str:
    """The path of a staircase: each y holds from its x to the next one's, the last to the end of the axis."""
    return _path(_corners(panel, points))


def band(panel: Panel, low: Sequence[tuple[float, float]], high: Sequence[tuple[float, float]]) -> str:
    """The closed path between two staircases."""
    return _path([*_corners(panel, high), *reversed(_corners(panel, low))]) + "Z"


def _corners(panel: Panel, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    corners = [(panel.px(points[0][0]), panel.py(points[0][1]))]
    for x, y in points[1:]:
        corners += [(panel.px(x), corners[-1][1]), (panel.px(x), panel.py(y))]
    return [*corners, (panel.px(panel.x.high), corners[-1][1])]


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in corners)


def bar(left: float, right: float, top: float, bottom: float, colour: str) -> str:
    """A filled rectangle between four pixel coordinates."""
    size = f'width="{max(right - left, 0.0):.2f}" height="{max(bottom - top, 0.0):.2f}"'
    return f'<rect x="{left:.2f}" y="{top:.2f}" {size} fill="{colour}"/>'
