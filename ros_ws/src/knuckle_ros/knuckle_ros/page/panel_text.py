"""The words of the panel, as HTML: pure functions of what was heard. Everything from the bus is escaped."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from knuckle.hardware.spec.hand_spec import Array
from knuckle_ros.page import palette
from knuckle_ros.page.heard import SILENT_S, Health, Safety, Zone

_LEVELS = {0: palette.OK, 1: palette.WARN, 2: palette.ERROR, 3: palette.STALE}
_STATES = {
    "ARMED": (palette.OK, "commands are followed"),
    "HOLD": (palette.ACCENT, "keeping its posture"),
    "RELEASED": (palette.WARN, "torque off"),
    "STOPPED": (palette.ERROR, "latched: re-arm to go on"),
}
_CARD = f"padding:2px 10px 4px;color:{palette.TEXT};font-size:13px;line-height:1.5"
_FAINT = f"color:{palette.FAINT}"


def safety_card(safety: Safety | None, task: str, factor: float | None, watch: WatchWords | None = None) -> str:
    """The driver's state in large letters, what the policy is doing, the real-time factor, and a threat if any.

    ``watch`` is what is known of the zone round the hand, None where nobody speaks of one.
    """
    if safety is None:
        colour, state, line = palette.STALE, "NO HAND", "no driver has said its state yet"
    else:
        colour, meaning = _STATES.get(safety.state, (palette.STALE, ""))
        state = safety.state
        line = f"held by {safety.holder}" if safety.holder else safety.reason or meaning
        if state == "STOPPED":
            line = f"{safety.reason}; {meaning}" if safety.reason else meaning
    speed = "–" if factor is None else f"{factor:.2f}×"
    return (
        f'<div style="{_CARD}">'
        '<div style="display:flex;justify-content:space-between;align-items:baseline">'
        f'<span style="font-size:22px;font-weight:650;letter-spacing:.04em;color:{colour}">{escape(state)}</span>'
        f'<span title="simulated seconds for each second">real time <b>{speed}</b></span></div>'
        f'<div style="{_FAINT}">{escape(line)}</div>'
        f"<div>{escape(task) or 'no policy has spoken yet'}</div>{watch_line(watch)}</div>"
    )


@dataclass(frozen=True)
class WatchWords:
    """What is said of the zone, and whether that is a ``threat``, or that nobody watches (``blind``), or neither."""

    text: str
    threat: bool = False
    blind: bool = False


def watch_words(threat: str | None, zone: Zone | None, now_s: float) -> WatchWords | None:
    """What ``zone/threat`` and ``zone/state`` come to; None where nobody ever spoke of a zone.

    A zone is called free only while a watch says that it sees.
    """
    if threat:
        return WatchWords(threat, threat=True)
    if zone is None:
        return None
    if not zone.off and now_s - zone.heard_s > SILENT_S:
        return WatchWords("nobody watches the zone: its watch is silent", blind=True)
    if not zone.sees:
        return WatchWords(f"nobody watches the zone: {zone.reason}", blind=True)
    return WatchWords("the zone round the hand is free")


def watch_line(watch: WatchWords | None) -> str:
    """The line for the card; nothing where there is no watch."""
    if watch is None:
        return ""
    if watch.threat or watch.blind:
        return f'<div style="color:{palette.ERROR if watch.threat else palette.WARN}">⚠ {escape(watch.text)}</div>'
    return f'<div style="{_FAINT}">{escape(watch.text)}</div>'


def angle_line(degrees: float | None, object_name: str, seen: bool) -> str:
    """The angle left to the goal, or what is missing for it."""
    if not seen:
        text = f'<span style="{_FAINT}">no object pose has come yet</span>'
    elif degrees is None:
        text = f'{escape(object_name)}: <span style="{_FAINT}">no goal now</span>'
    else:
        text = f"{escape(object_name)}: <b>{degrees:.0f}°</b> from its goal ({math.radians(degrees):.2f} rad)"
    return f'<div style="{_CARD}">{text}</div>'


def stream_card(orientation: Array | None, valid: bool, deviation_deg: float | None, source: str) -> str:
    """The stream's estimate in numbers, and what is streaming."""
    if orientation is None:
        body = f'<span style="{_FAINT}">no estimate has come yet</span>'
    else:
        w, x, y, z = orientation
        roll, pitch, yaw = np.degrees(_roll_pitch_yaw(orientation))
        numbers = "font-variant-numeric:tabular-nums"
        mark = "" if valid else f' <span style="color:{palette.WARN}">not valid yet</span>'
        sigma = "" if deviation_deg is None else f" ± {deviation_deg:.1f}°"
        body = (
            f'<span style="{numbers}">roll <b>{roll:.1f}°</b> pitch <b>{pitch:.1f}°</b> yaw <b>{yaw:.1f}°</b>'
            f"{sigma}</span>{mark}<br>"
            f'<span style="{numbers};{_FAINT}">w {w:+.3f} x {x:+.3f} y {y:+.3f} z {z:+.3f}</span>'
        )
    return f'<div style="{_CARD}">{body}<div style="{_FAINT}">{escape(source)}</div></div>'


def stream_source(publishers: Collection[str], recording: str) -> str:
    """What is streaming: ``publishers`` are the nodes that publish ``imu``, ``recording`` what a player plays."""
    if recording:
        return f"Streaming the recording {recording}."
    if not publishers:
        return "Nothing streams: no node publishes an IMU."
    if "imu" in publishers:
        return "No recording is at hand: the palm's simulated IMU is streaming."
    return f"Streaming from {', '.join(sorted(publishers))}."


def cloud_line(points: int | None, camera: bool) -> str:
    """How many points the newest cloud has, or why there is none."""
    if points is None:
        text = "no cloud yet: waiting for joint states" if camera else "no camera: no depth image has come"
    else:
        text = f"{points} points: object amber, table grey, fingers each in a colour"
    return f'<div style="{_CARD};{_FAINT}">{text}</div>'


def health_table(nodes: Mapping[str, Health], now_s: float) -> str:
    """One row a node: a dot, its name, its rate, what it says. Silent nodes turn grey."""
    if not nodes:
        return f'<div style="{_CARD};{_FAINT}">no node has reported yet</div>'
    rows = []
    for name, health in sorted(nodes.items()):
        age = now_s - health.heard_s
        silent = age > SILENT_S
        colour = palette.STALE if silent else _LEVELS.get(health.level, palette.ERROR)
        text = f"silent for {age:.0f} s" if silent else health.text
        known = health.rate_hz is not None and math.isfinite(health.rate_hz) and not silent
        rate = f"{health.rate_hz:.0f} Hz" if known else ""
        rows.append(
            f'<tr><td style="color:{colour};padding-right:7px">●</td><td style="padding-right:10px">{escape(name)}</td>'
            f'<td style="text-align:right;padding-right:10px;white-space:nowrap;{_FAINT}">{rate}</td>'
            f'<td style="{_FAINT};overflow-wrap:anywhere">{escape(text)}</td></tr>'
        )
    return f'<div style="{_CARD}"><table style="border-collapse:collapse">{"".join(rows)}</table></div>'


def _roll_pitch_yaw(q: Array) -> Array:
    """Angles (3,) rad about x, y, z, applied in the order yaw, pitch, roll."""
    w, x, y, z = q
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return np.array([roll, pitch, yaw])
