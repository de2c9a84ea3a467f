"""Text files of numbers, read so that a line that cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

Array = NDArray[np.float64]
MAX_BYTES = 256 << 20


def read_lines(path: Path) -> list[str]:
    """The lines of a text file of at most 256 MiB; InputError where it cannot be read or has none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("the file is larger than 256 MiB", where=str(path), right="a text file of one recording")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = f"the file cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InputError(what, where=str(path), right="a text file") from error
    if not any(line.strip() for line in lines):
        raise InputError("no line", where=str(path), right="a text file with numbers")
    return lines


def numbers(words: list[str], where: str, right: str) -> list[float]:
    """Finite numbers from ``words``; InputError at ``where`` for one that is none."""
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise InputError(str(error), where=where, right=right) from error
    for word, value in zip(words, values, strict=True):
        if not np.isfinite(value):
            raise InputError(f"'{word}' is not finite", where=where, right=right)
    return values


def read_numbers(path: Path, columns: int, right: str) -> Array:
    """A table (n, columns) with ``columns`` numbers in every line that is not empty."""
    rows = []
    for line, text in enumerate(read_lines(path), 1):
        words = text.split()
        if words and len(words) != columns:
            raise InputError(f"{len(words)} columns", where=f"{path}:{line}", right=right)
        if words:
            rows.append(numbers(words, f"{path}:{line}", right))
    return np.array(rows)
