"""Columns of a user's own recording, by name: a CSV file with a header, or an MCAP file of ROS 2 messages.

A column of an MCAP file is ``topic:field``, for instance ``/imu:angular_velocity.x`` or ``/skin:field[3]``. Rows are
the messages of the first column's topic; columns of other topics hold their newest value.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import RecordingError, unknown_name

Array = NDArray[np.float64]
UNITS_NS = {"_ns": 1.0, "_us": 1e3, "_ms": 1e6}
"""Endings of a time column's name that say its unit; without one of them it is in seconds."""


def read_columns(path: Path, columns: Sequence[str]) -> Array:
    """``columns`` of the file at ``path``, (N, len(columns)); NaN where a cell is empty. RecordingError in one line."""
    rows = _mcap(path, columns) if path.suffix == ".mcap" else _csv(path, columns)
    if not rows:
        raise RecordingError("the recording is empty", where=str(path), right="a header and rows of numbers")
    return np.array(rows, dtype=np.float64)


def header_of(path: Path) -> list[str]:
    """The names in the first line of a CSV file; RecordingError where it cannot be read."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            return [name.strip() for name in next(csv.reader(stream), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        where, right = str(path), "a CSV file in UTF-8"
        raise RecordingError(f"the file cannot be read ({error})", where=where, right=right) from error


def stamps_of(column: Array, name: str, *, where: str) -> NDArray[np.int64]:
    """A time column as stamps in ns from 0 on; RecordingError where it does not increase or cannot be in its unit."""
    factor = next((f for end, f in UNITS_NS.items() if name.endswith(end)), 1e9)
    if not np.isfinite(column).all():
        what = f"'{name}' is empty at row {int(np.argmin(np.isfinite(column)))}"
        raise RecordingError(what, where=where, right="a time in every row")
    steps = np.diff(column)
    if len(steps) and not (steps > 0.0).all():
        what = f"'{name}' runs backwards or stands still at row {int(np.argmin(steps > 0.0)) + 1}"
        raise RecordingError(what, where=where, right="time that increases")
    step_s = float(np.median(steps)) * factor / 1e9 if len(steps) else 1.0
    if not 1e-5 <= step_s <= 100.0:
        what = f"'{name}' has steps of {step_s:g} s"
        raise RecordingError(what, where=where, right="seconds, or a name that ends in _ms, _us or _ns")
    return np.asarray(np.rint((column - column[0]) * factor), dtype=np.int64)


def _csv(path: Path, columns: Sequence[str]) -> list[list[float]]:
    where = str(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            for name in columns:
                if name not in header:
                    raise unknown_name("column", name, header, where=where)
            places = [header.index(name) for name in columns]
            return [_numbers(row, places, header, k, where) for k, row in enumerate(reader) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"the file cannot be read ({error})", where=where, right="a CSV file in UTF-8") from error


def _numbers(row: list[str], places: list[int], header: list[str], k: int, where: str) -> list[float]:
    if len(row) != len(header):
        what = f"row {k} has {len(row)} cells"
        raise RecordingError(what, where=where, right=f"{len(header)}, as the header says")
    try:
        return [float(row[place]) if row[place].strip() else math.nan for place in places]
    except ValueError as error:
        raise RecordingError(f"row {k}: {error}", where=where, right="numbers") from error


def _mcap(path: Path, columns: Sequence[str]) -> list[list[float]]:
    from mcap.exceptions import McapError
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    where = str(path)
    places = [column_place(name, where) for name in columns[1:]]  # the first column is the time: that of the message
    topics = {topic for topic, _ in places}
    newest, rows = [math.nan] * len(places), []
    try:
        with open(path, "rb") as stream:
            reader = make_reader(stream, decoder_factories=[DecoderFactory()])
            summary = reader.get_summary()
            known = sorted(c.topic for c in summary.channels.values()) if summary is not None else []
            for topic in sorted(topics):
                if known and topic not in known:
                    raise unknown_name("topic", topic, known, where=where)
            for _, channel, message, decoded in reader.iter_decoded_messages(topics=sorted(topics)):
                for k, (topic, field) in enumerate(places):
                    if topic == channel.topic:
                        newest[k] = field_value(decoded, field, columns[k + 1], where)
                if channel.topic == places[0][0] and not any(map(math.isnan, newest)):
                    rows.append([message.log_time * _unit(columns[0]), *newest])
    except (OSError, McapError, ValueError) as error:
        raise RecordingError(f"the file cannot be read ({error})", where=where, right="an MCAP file") from error
    return rows


def _unit(name: str) -> float:
    """What turns nanoseconds into the unit that the time column's name says."""
    return 1.0 / next((f for end, f in UNITS_NS.items() if name.endswith(end)), 1e9)


def column_place(name: str, where: str) -> tuple[str, list[str]]:
    """Topic and path of a column ``topic:field``; RecordingError where it is none."""
    topic, colon, field = name.partition(":")
    if not (topic and colon and field):
        raise RecordingError(f"'{name}' is no column", where=where, right="topic:field, as /imu:angular_velocity.x")
    return topic, [part for part in re.split(r"[.\[\]]+", field) if part]


def field_value(message: Any, field: list[str], name: str, where: str) -> float:
    """The number at the path ``field`` of a message; RecordingError where there is none."""
    value = message
    for part in field:
        if part.isdigit():
            if not (hasattr(value, "__len__") and int(part) < len(value)):
                raise RecordingError(f"'{name}' is not in the message", where=where, right="an index that is there")
            value = value[int(part)]
        elif hasattr(value, part):
            value = getattr(value, part)
        else:
            raise unknown_name("field", part, _fields(value), where=f"{where}: {name}")
    if isinstance(value, Real):
        return float(value)
    inside = ", ".join(f"{name}.{part}" for part in _fields(value)[:3])
    if not inside and hasattr(value, "__len__") and not isinstance(value, str | bytes):
        inside = f"{name}[0]"
    what = f"'{name}' is not a number but {type(value).__name__}"
    raise RecordingError(what, where=where, right=inside or "a field that is a number")


def _fields(message: Any) -> list[str]:
    """Names of a message's fields; none where it is no message."""
    if hasattr(message, "get_fields_and_field_types"):
        return list(message.get_fields_and_field_types())
    return [name for name in getattr(message, "__slots__", ()) if not name.startswith("_")]
