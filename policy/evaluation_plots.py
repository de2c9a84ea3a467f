"""The plots of an evaluation as inline SVG: success over angle and time, starts, ends, and shares of objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from knuckle.core.figures import wilson
from knuckle.policy.reorient_score import SCORE_DELAY_S, THRESHOLDS, TIME_LIMIT_S, EpisodeScore, angle_histogram
from knuckle.policy.svg_plot import FAINT, GRID, INK, Axis, Panel, band, bar, steps, text

# Okabe and Ito's colours, told apart by colour-blind readers too; dashes tell them apart in print.
STYLES = (("#0072B2", ""), ("#767676", "6 3"), ("#D55E00", "2 3"), ("#009E73", "8 3 2 3"), ("#CC79A7", "1 2"))
SUCCESS, FAILURE, DROP, PALE = "#0072B2", "#b8b8b8", "#D55E00", "#79b4d9"
REACHED = 0.4
LAST_S = TIME_LIMIT_S + SCORE_DELAY_S
SMALLEST_RAD = 0.05
SHARES = Axis(0.0, 1.0, tuple((k / 4, f"{25 * k}%") for k in range(5)), "share of episodes")
ANGLES = tuple((a, f"{a:g}") for a in (0.05, *THRESHOLDS, 1.6))

Results = dict[str, list[EpisodeScore]]
"""Scores by controller; the first is the one that is judged."""


@dataclass(frozen=True)
class Share:
    """A row of a bar plot: ``hits`` of ``n`` episodes reached the goal, ``drops`` ended on the floor."""

    label: str
    hits: int
    n: int
    drops: int


def success_curve(results: Results) -> str:
    """Share of episodes whose final angle counts and is at most x, for each controller; Wilson band for the first."""
    panel = Panel(Axis(SMALLEST_RAD, math.pi, ANGLES, "final angle, rad (logarithmic)", log=True), SHARES)
    marks = [
        f'<path d="M{panel.px(t):.1f} {panel.py(0):.1f}V{panel.py(1):.1f}" stroke="#bbb" stroke-dasharray="1 3"/>'
        for t in THRESHOLDS
    ]
    reached = {name: [s.final_angle for s in scores if s.succeeded(math.pi + 1e-9)] for name, scores in results.items()}
    return _curves(panel, "success over the final angle", results, reached, marks)


def success_over_time(results: Results) -> str:
    """Share of episodes that had reached 0.4 rad by time x, for each controller; Wilson band for the first."""
    ticks = tuple((t, f"{t:g}") for t in range(0, round(TIME_LIMIT_S) + 1, 3))
    panel = Panel(Axis(0.0, LAST_S, ticks, "time until the verdict, s"), SHARES)
    reached = {name: [s.duration for s in scores if s.succeeded(REACHED)] for name, scores in results.items()}
    return _curves(panel, "success over time", results, reached, [])


def starting_angles(scores: list[EpisodeScore], *, uniform: bool) -> str:
    """How far from the goal episodes began; ``uniform`` adds what goals uniform over SO(3) would give."""
    rows = angle_histogram(scores, bins=12)
    expected = [len(scores) * _uniform_share(low, high) for low, high, _ in rows] if uniform else []
    most = max([*(count for *_, count in rows), *(math.ceil(e) for e in expected), 1])
    ticks = tuple((k * math.pi / 4, ("0", "π/4", "π/2", "3π/4", "π")[k]) for k in range(5))
    panel = Panel(Axis(0.0, math.pi, ticks, "starting angle, rad"), _counts(most), height=260)
    parts = [
        bar(panel.px(low) + 1, panel.px(high) - 1, panel.py(count), panel.py(0), SUCCESS) for low, high, count in rows
    ]
    if expected:
        points = [(row[0], e) for row, e in zip(rows, expected, strict=True)]
        parts.append(f'<path d="{steps(panel, points)}" fill="none" stroke="{INK}" stroke-dasharray="4 2"/>')
        parts += _legend(panel, [("goals uniform over SO(3)", INK, "4 2")])
    return panel.image("starting angles", parts)


def endings(scores: list[EpisodeScore]) -> str:
    """When episodes ended, a bar a second, and how: within 0.4 rad and still, otherwise, dropped."""
    seconds = math.ceil(LAST_S)
    kinds = (("within 0.4 rad", SUCCESS), ("otherwise", FAILURE), ("dropped", DROP))
    counts = [[0, 0, 0] for _ in range(seconds)]
    for s in scores:
        kind = 2 if s.dropped else 0 if s.succeeded(REACHED) else 1
        counts[min(int(s.duration), seconds - 1)][kind] += 1
    ticks = tuple((t, f"{t:g}") for t in range(0, seconds + 1, 3))
    panel = Panel(Axis(0.0, seconds, ticks, "time at the end, s"), _counts(max(map(sum, counts))), height=260)
    parts = []
    for second, column in enumerate(counts):
        done = 0
        for count, (_, colour) in zip(column, kinds, strict=True):
            if count:
                left, right = panel.px(second) + 1, panel.px(second + 1) - 1
                parts.append(bar(left, right, panel.py(done + count), panel.py(done), colour))
            done += count
    return panel.image("when and how episodes ended", [*parts, *_legend(panel, [(k, c, "bar") for k, c in kinds])])


def start_to_final(scores: list[EpisodeScore]) -> str:
    """A dot an episode: the angle it ended at over the angle it began at; below the diagonal it came nearer."""
    ticks = tuple((k * math.pi / 4, ("0", "π/4", "π/2", "3π/4", "π")[k]) for k in range(5))
    panel = Panel(Axis(0.0, math.pi, ticks, "starting angle, rad"), Axis(0.0, math.pi, ticks, "final angle, rad"))
    ends = f"M{panel.px(0):.1f} {panel.py(0):.1f}L{panel.px(math.pi):.1f} {panel.py(math.pi):.1f}"
    parts = [f'<path d="{ends}" stroke="#bbb" stroke-dasharray="1 3"/>']
    for s in scores:
        paint = DROP if s.dropped else SUCCESS if s.succeeded(math.pi + 1e-9) else "#8a8a8a"
        fill = paint if paint == SUCCESS else "none"
        at = f'cx="{panel.px(s.start_angle):.1f}" cy="{panel.py(s.final_angle):.1f}"'
        parts.append(f'<circle {at} r="3.2" fill="{fill}" fill-opacity="0.6" stroke="{paint}"/>')
    legend = [("at rest", SUCCESS, "bar"), ("still moving", "#8a8a8a", "bar"), ("dropped", DROP, "bar")]
    return panel.image("final over starting angle", [*parts, *_legend(panel, legend)])


def share_bars(rows: Sequence[Share], name: str) -> str:
    """One bar a row: the share within 0.4 rad, with its Wilson interval, counts and drops at the right."""
    row_height = 19.0
    panel = Panel(
        Axis(0.0, 1.0, SHARES.ticks, "within 0.4 rad, with 95% interval"),
        Axis(0.0, float(max(len(rows), 1)), (), ""),
        height=row_height * len(rows) + 44.0,
        left=122.0,
        right=140.0,
        top=0.0,
    )
    parts = [f'<path d="M{panel.px(x):.1f} {panel.py(0):.1f}V0" stroke="{GRID}"/>' for x, _ in SHARES.ticks]
    for k, row in enumerate(rows):
        middle = row_height * (k + 0.5)
        low, high = (panel.px(share) for share in wilson(row.hits, row.n))
        parts.append(text(panel.left - 8, middle + 4, row.label, "end", colour=INK))
        parts.append(bar(panel.px(0), panel.px(row.hits / max(row.n, 1)), middle - 6, middle + 6, PALE))
        whisker = f"M{low:.1f} {middle - 3}v6m0 -3H{high:.1f}m0 -3v6"
        parts.append(f'<path d="{whisker}" fill="none" stroke="{INK}"/>')
        told = f"{row.hits} of {row.n}" + (f", {row.drops} dropped" if row.drops else "")
        parts.append(text(panel.width - panel.right + 8, middle + 4, told))
    return panel.image(name, parts)


def _curves(panel: Panel, name: str, results: Results, reached: dict[str, list[float]], under: list[str]) -> str:
    parts, lines = list(under), []
    for k, (controller, scores) in enumerate(results.items()):
        colour, dash = STYLES[k % len(STYLES)]
        at, n = [panel.x.low, *sorted(max(v, panel.x.low) for v in reached[controller])], len(scores)
        if k == 0:
            low = [(x, wilson(hits, n)[0]) for hits, x in enumerate(at)]
            high = [(x, wilson(hits, n)[1]) for hits, x in enumerate(at)]
            parts.append(f'<path d="{band(panel, low, high)}" fill="{colour}" fill-opacity="0.13"/>')
        path = steps(panel, [(x, hits / max(n, 1)) for hits, x in enumerate(at)])
        lines.append(
            f'<path class="curve" d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
    # The first on top of the others.
    styles = [(name, *STYLES[k % len(STYLES)]) for k, name in enumerate(results)]
    return panel.image(name, [*parts, *reversed(lines), *_legend(panel, styles)])


def _legend(panel: Panel, entries: Sequence[tuple[str, str, str]]) -> list[str]:
    """Above the plot: name, colour and dash of each entry; ``bar`` for a filled square."""
    parts, x = [], panel.left
    for label, colour, dash in entries:
        if dash == "bar":
            parts.append(bar(x, x + 10, 9, 19, colour))
            x += 16
        else:
            parts.append(f'<path d="M{x} 14h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>')
            x += 30
        parts.append(text(x, 18, label, colour=FAINT))
        x += 7.0 * len(label) + 22
    return parts


def _counts(most: int) -> Axis:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000) if most <= 5 * s)
    high = step * max(math.ceil(most / step), 1)
    return Axis(0.0, float(high), tuple((float(v), str(v)) for v in range(0, high + 1, step)), "episodes")


def _uniform_share(low: float, high: float) -> float:
    """Probability that a rotation uniform over SO(3) has an angle between ``low`` and ``high``."""
    return ((high - math.sin(high)) - (low - math.sin(low))) / math.pi
