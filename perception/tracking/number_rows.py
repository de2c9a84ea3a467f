"""Rows of numbers from a text file of others: bounded in size, and every complaint names file and line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import Array

MAX_BYTES = 256 << 20
MAX_DIGITS = 64


def read_lines(path: Path) -> list[str]:
    """The lines of a text file of at most 256 MiB. InputError where it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("the file is larger than 256 MiB", where=str(path), right="the labels of one sequence")
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = f"the file cannot be read ({getattr(error, 'strerror', None) or 'not text'})"
        raise InputError(what, where=str(path), right="a text file of labels") from error


def to_number(word: str, where: str) -> float:
    """A finite number. InputError otherwise."""
    text = word.strip()
    try:
        value = float(text) if len(text) <= MAX_DIGITS else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"'{text[:20]}' is not a finite number", where=where, right="numbers only")
    return value


def read_table(path: Path, *, at_least: int) -> Array:
    """Comma-separated numbers, (rows, columns): the ``at_least`` first columns. Empty lines are skipped.

    Raises InputError for a row that is too short or holds anything but finite numbers.
    """
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        words = line.split(",")
        if not line.strip():
            continue
        where = f"{path}:{number}"
        if len(words) < at_least:
            raise InputError(f"{len(words)} columns", where=where, right=f"at least {at_least}")
        rows.append([to_number(word, where) for word in words[:at_least]])
    return np.array(rows, dtype=np.float64).reshape(-1, at_least)


def whole(values: Array, what: str, where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """``values`` as whole numbers. InputError where one is none, or beyond 2**31."""
    wrong = (values != np.round(values)) | (np.abs(values) >= 2**31)
    if wrong.any():
        raise InputError(f"{what} {values[np.argmax(wrong)]:g}", where=where, right="whole numbers below 2**31")
    return values.astype(np.int64)
