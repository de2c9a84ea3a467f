"""A curve as a line of text, for a terminal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

MARKS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def curve(values: Sequence[float], width: int = WIDTH) -> str:
    """The finite ones of ``values`` as marks between their extremes, means of neighbours where more than ``width``."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    if len(known) > width:
        edges = [round(k * len(known) / width) for k in range(width + 1)]
        known = [sum(known[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, span = min(known), max(max(known) - min(known), 1e-12)
    return "".join(MARKS[min(int((value - low) / span * len(MARKS)), len(MARKS) - 1)] for value in known)
