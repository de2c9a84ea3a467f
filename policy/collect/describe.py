"""What a collection holds: how its episodes ended, how far goals were and about which axes, how objects lay, at what
cost. As figures, as lines in the terminal, and as a small plot."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knuckle.core import rotations
from knuckle.core.errors import RunError
from knuckle.core.figures import wilson, write_text
from knuckle.policy.collect.recorder import Episode
from knuckle.policy.svg_plot import Axis, Panel, bar

if TYPE_CHECKING:
    from rich.console import Console

DESCRIPTION, PLOT = "description.json", "coverage.svg"
ANGLE_EDGES = np.linspace(0.0, np.pi, 7)
TILT_EDGES = np.linspace(0.0, np.pi / 2, 4)
"""How far the axis of the wanted turn is from the vertical."""
FACES = ("+x", "-x", "+y", "-y", "+z", "-z")
"""The object's axis that points up most, as it lies at first."""
WIDTH = 30


def describe(episodes: Sequence[Episode]) -> dict[str, Any]:
    """What ``episodes`` hold: how many and how they ended, from which angles, of which objects and poses, at what
    cost."""
    facts = [episode.facts for episode in episodes]
    won = [bool(fact["succeeded"]) for fact in facts]
    angles = np.array([fact["start_angle_rad"] for fact in facts])
    ended = Counter(_ending(fact) for fact in facts)
    told: dict[str, Any] = {
        "episodes": len(facts),
        "steps": sum(len(episode.actions) for episode in episodes),
        "succeeded": sum(won),
        "success_0p4": sum(won) / len(facts) if facts else None,
        "success_0p4_interval": list(wilson(sum(won), len(facts))),
        "dropped": sum(fact["dropped"] for fact in facts),
        "ended": dict(sorted(ended.items())),
        "start_angle_edges_rad": [round(float(edge), 4) for edge in ANGLE_EDGES],
        "axis_tilt_edges_rad": [round(float(edge), 4) for edge in TILT_EDGES],
    }
    told |= _shares("start_angle", _binned(angles, ANGLE_EDGES), won, len(ANGLE_EDGES) - 1)
    told |= _shares("axis_tilt", _binned(_tilts(episodes), TILT_EDGES), won, len(TILT_EDGES) - 1)
    for name, keys in (
        ("object", [fact["object"] for fact in facts]),
        ("face_up", [_face_up(episode) for episode in episodes]),
        ("rung", [fact.get("rung", "") for fact in facts]),
    ):
        if any(keys):
            tried, hits = Counter(keys), Counter(key for key, hit in zip(keys, won, strict=True) if hit)
            told[f"episodes_by_{name}"] = dict(sorted(tried.items()))
            told[f"succeeded_by_{name}"] = {key: hits[key] for key in sorted(tried)}
    told["cpu_hours"] = round(sum(fact["cpu_s"] for fact in facts) / 3600, 4)
    return told


def write_description(folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Write ``told`` and its plot to ``folder``; ``told`` itself. RunError where that is impossible."""
    try:
        write_text(folder / DESCRIPTION, json.dumps(told, indent=2) + "\n")
        write_text(folder / PLOT, coverage_plot(told) + "\n")
    except OSError as error:
        what = f"the description cannot be written ({error.strerror})"
        raise RunError(what, where=str(folder), right="room on the disk; the episodes are all kept") from error
    return told


def print_description(told: Mapping[str, Any], console: Console) -> None:
    """Say what a collection holds: a line of totals, then a line with a bar for each kind of start."""
    low, high = told["success_0p4_interval"]
    ended = ", ".join(f"{n} {how}" for how, n in told["ended"].items())
    console.print(
        f"{told['episodes']} episodes, {told['steps']} steps, {told['success_0p4']:.0%} [{low:.0%}, {high:.0%}] "
        f"succeeded ({ended}), {told['cpu_hours']:.2f} CPU-hours",
        soft_wrap=True,
        highlight=False,
    )
    asked = " ".join(f"{name} {told[name]}" for name in ("controller", "world", "hand", "rung", "seed") if name in told)
    wanted = f", {told['episodes_wanted']} episodes wanted" if "episodes_wanted" in told else ""
    console.print(f"{asked}{wanted}; {told.get('broken_down', 0)} broke down", soft_wrap=True, highlight=False)
    angles = _labels(told["start_angle_edges_rad"])
    tilts = _labels(told["axis_tilt_edges_rad"])
    for title, names, tried, hits in (
        ("goal's angle", angles, told["episodes_by_start_angle"], told["succeeded_by_start_angle"]),
        ("axis from vertical", tilts, told["episodes_by_axis_tilt"], told["succeeded_by_axis_tilt"]),
        *(
            (title, list(told[f"episodes_by_{key}"]), told[f"episodes_by_{key}"], told[f"succeeded_by_{key}"])
            for title, key in (("rung", "rung"), ("object's axis up", "face_up"), ("object", "object"))
            if f"episodes_by_{key}" in told
        ),
    ):
        counts, wins = _values(tried), _values(hits)
        most = max([*counts, 1])
        console.print(title, style="bold")
        for name, n, hit in zip(names, counts, wins, strict=True):
            drawn = "█" * round(WIDTH * hit / most) + "░" * (round(WIDTH * n / most) - round(WIDTH * hit / most))
            console.print(f"  {name:18} {drawn:{WIDTH}} {hit:4} of {n}", highlight=False)


def coverage_plot(told: Mapping[str, Any]) -> str:
    """An SVG: episodes over the goal's angle, those that succeeded darker."""
    counts, hits = told["episodes_by_start_angle"], told["succeeded_by_start_angle"]
    most = max([*counts, 1])
    edges = [math.degrees(edge) for edge in told["start_angle_edges_rad"]]
    x = Axis(0.0, 180.0, tuple((edge, f"{edge:.0f}") for edge in edges), "angle to the goal at first, degrees")
    y = Axis(0.0, float(most), ((0.0, "0"), (float(most), str(most))), "episodes; dark: succeeded")
    panel, drawn = Panel(x, y), []
    for k, (n, hit) in enumerate(zip(counts, hits, strict=True)):
        left, right = panel.px(edges[k]) + 2, panel.px(edges[k + 1]) - 2
        drawn.append(bar(left, right, panel.py(n), panel.py(0.0), "#bcd0e6"))
        drawn.append(bar(left, right, panel.py(hit), panel.py(0.0), "#2b6cb0"))
    return panel.image("What was collected, by the goal's angle", drawn)


def _ending(fact: Mapping[str, Any]) -> str:
    if fact["dropped"]:
        return "dropped"
    return "succeeded" if fact["succeeded"] else "missed" if fact["declared_done"] else "timed out"


def _tilts(episodes: Sequence[Episode]) -> np.ndarray[Any, Any]:
    """The angle (n,) between the vertical and the axis of each wanted turn, rad."""
    turns = np.array([_part(episode, "quaternion_difference")[1:] for episode in episodes]).reshape(-1, 3)
    flat = np.linalg.norm(turns[:, :2], axis=1)
    return np.asarray(np.arctan2(flat, np.abs(turns[:, 2])))


def _face_up(episode: Episode) -> str:
    up = rotations.rotate(rotations.conjugate(_part(episode, "object_quaternion")), np.array([0.0, 0.0, 1.0]))
    k = int(np.abs(up).argmax())
    return FACES[2 * k + int(up[k] < 0.0)]


def _part(episode: Episode, name: str) -> np.ndarray[Any, Any]:
    """A part of the first observation, for whatever number of fingers its width is."""
    row = np.asarray(episode.observations[0], dtype=np.float64)
    fingers = (len(row) - 21) // 22
    begins = {"object_quaternion": 6 * fingers + 3, "quaternion_difference": 6 * fingers + 17}
    return row[begins[name] : begins[name] + 4]


def _binned(values: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.digitize(values, edges[1:-1]))


def _shares(name: str, bins: np.ndarray[Any, Any], won: list[bool], n: int) -> dict[str, list[int]]:
    hits = np.array(won, dtype=bool)
    return {
        f"episodes_by_{name}": [int((bins == k).sum()) for k in range(n)],
        f"succeeded_by_{name}": [int((hits & (bins == k)).sum()) for k in range(n)],
    }


def _labels(edges: Sequence[float]) -> list[str]:
    degrees = [math.degrees(edge) for edge in edges]
    return [f"{low:.0f} to {high:.0f} deg" for low, high in itertools.pairwise(degrees)]


def _values(counts: Any) -> list[int]:
    return list(counts.values()) if isinstance(counts, dict) else list(counts)
