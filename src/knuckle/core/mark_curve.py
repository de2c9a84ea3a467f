"""A curve as a line of text, for a terminal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

MARKS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def curve(values: Sequence[float], width: int = WIDTH, ends: tuple[float, float] | None = None) -> str:
    """The finite ones of ``values`` as marks from the least to the greatest, means of neighbours where more than
    ``width``; ``ends`` are the least and the greatest, empty for those of the values."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    if len(known) > width:
        edges = [round(k * len(known) / width) for k in range(width + 1)]
        known = [sum(known[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, high = ends or (min(known), max(known))
    span = max(high - low, 1e-12)
    return "".join(MARKS[min(int((value - low) / span * len(MARKS)), len(MARKS) - 1)] for value in known)
