"""The report of a soak: a page, its plots and its events, in a folder of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from knuckle.core.errors import RunError
from knuckle.core.figures import machine, write_text
from knuckle.policy.svg_plot import Axis, Panel, text
from knuckle_ros.soak.listener import Heard
from knuckle_ros.soak.soak import Outcome, Record

LINE, FAULT = "#2166ac", "#d6604d"
WIDTH, HEIGHT = 900.0, 240.0
STATES = ("STOPPED", "RELEASED", "HOLD", "ARMED")


def write_report(
    folder: Path, command: str, record: Record, states: Sequence[Heard], figures: Mapping[str, float]
) -> None:
    """Write ``README.md``, three plots and ``events.json`` into ``folder``; RunError where they cannot be."""
    faults = [outcome.began_s for outcome in record.outcomes]
    memory = [(at_s, usage.memory_mb) for at_s, usage in record.usage]
    descriptors = [(at_s, float(usage.descriptors)) for at_s, usage in record.usage]
    said = [(heard.at_s - record.began_s, heard.state) for heard in states]
    events = [_event(outcome) for outcome in record.outcomes]
    files = {
        "memory.svg": curve_plot("memory of all processes, MB", memory, faults, record.seconds),
        "descriptors.svg": curve_plot("open descriptors of all processes", descriptors, faults, record.seconds),
        "state.svg": state_plot(said, faults, record.seconds),
        "events.json": json.dumps(events, indent=2) + "\n",
        "README.md": _page(command, record, figures),
    }
    try:
        for name, content in files.items():
            write_text(folder / name, content)
    except OSError as error:
        what = f"the report cannot be written ({error.strerror})"
        raise RunError(what, where=str(folder), right="a folder of yours") from error


def curve_plot(name: str, points: Sequence[tuple[float, float]], faults: Sequence[float], seconds: float) -> str:
    """``points`` (s, value) over time, from 0 up, with a mark at each fault."""
    top = 1.1 * max((value for _, value in points), default=1.0)
    ticks = tuple((top * share, f"{top * share:.0f}") for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    panel = Panel(_time_axis(seconds), Axis(0.0, top, ticks, ""), width=WIDTH, height=HEIGHT)
    line = "L".join(f"{panel.px(at_s):.1f} {panel.py(value):.1f}" for at_s, value in points)
    drawn = [f'<path d="M{line}" fill="none" stroke="{LINE}" stroke-width="1.6"/>'] if points else []
    return _image(panel, name, [*_marks(panel, faults), *drawn])


def state_plot(changes: Sequence[tuple[float, str]], faults: Sequence[float], seconds: float) -> str:
    """The hand's state over time, from its changes (s, state), with a mark at each fault."""
    rows = tuple((float(n), name) for n, name in enumerate(STATES))
    panel = Panel(_time_axis(seconds), Axis(-0.5, 3.5, rows, ""), width=WIDTH, height=HEIGHT, left=80.0)
    path, end = "", 0.0
    for n, (at_s, state) in enumerate(changes):
        end = changes[n + 1][0] if n + 1 < len(changes) else seconds
        y = panel.py(float(STATES.index(state)))
        path += f"{'L' if path else 'M'}{panel.px(at_s):.1f} {y:.1f}H{panel.px(end):.1f}"
    drawn = [f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.6"/>'] if path else []
    name = "state of the hand"
    return _image(panel, name, [*_marks(panel, faults), *drawn])


def _image(panel: Panel, name: str, inside: Sequence[str]) -> str:
    image = panel.image(name, [*inside, text(panel.left, 20.0, name)])
    return image.replace("<svg ", '<svg font-family="sans-serif" font-size="12" ', 1) + "\n"


def _time_axis(seconds: float) -> Axis:
    ticks = tuple((seconds * share / 6.0, f"{seconds * share / 6.0:.0f}") for share in range(7))
    return Axis(0.0, max(seconds, 1e-9), ticks, "time, s; each red line is a fault")


def _marks(panel: Panel, faults: Sequence[float]) -> list[str]:
    top, bottom = panel.py(panel.y.high), panel.py(panel.y.low)
    lines = "".join(f"M{panel.px(at_s):.1f} {top:.1f}V{bottom:.1f}" for at_s in faults)
    return [f'<path d="{lines}" stroke="{FAULT}" stroke-width="0.8" opacity="0.6"/>'] if lines else []


def _event(outcome: Outcome) -> dict[str, object]:
    return {
        "planned_s": outcome.injection.at_s,
        "began_s": round(outcome.began_s, 3),
        "fault": str(outcome.injection),
        "held": outcome.held,
        "recovered_s": None if outcome.recovered_s is None else round(outcome.recovered_s, 3),
        "road": outcome.road,
    }


def _page(command: str, record: Record, figures: Mapping[str, float]) -> str:
    where = machine()
    rows = "\n".join(
        f"| {name} | {value:.0f} |" if value.is_integer() else f"| {name} | {value:.4g} |"
        for name, value in figures.items()
    )
    events = "\n".join(
        f"| {o.began_s:.1f} | {o.injection} | {'yes' if o.held else 'no'} | "
        f"{'**no**' if not o.recovered else f'{(o.recovered_s or 0.0) - o.began_s:.1f}'} | "
        f"{', '.join(o.road) or 'none'} |"
        for o in record.outcomes
    )
    reasons = ", ".join(f"{count} {reason}" for reason, count in record.unsafe.items()) or "none"
    return f"""# A soak

    {command}

On {where["cores"]} cores, load {where["load_1min"]} at its end, Python {where["python"]}.

| figure | value |
|---|---|
{rows}

Unsafe writes by reason: {reasons}. {record.last_unsafe}

![state](state.svg)
![memory](memory.svg)
![descriptors](descriptors.svg)

| s | fault | held | s to recovery | what an operator did |
|---|---|---|---|---|
{events}
"""
