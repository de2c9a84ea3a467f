"""Reads strokes that a magnetic skin felt: the files that ``knuckle data skin`` writes.

A folder holds ``skin.json``, which says what its strokes are, and ``strokes/000017.safetensors`` and so on, each whole.
Nothing is unpickled; what does not fit is refused with the file's name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from knuckle.core.errors import RecordingError
from knuckle.sensors.estimator import Array

CARD, STROKES = "skin.json", "strokes"
SET_FORMAT, STROKE_FORMAT, VERSION = "knuckle skin", "knuckle skin stroke", 1
SPLITS = ("train", "validation", "test")
_COLUMNS = {"velocity": 2, "place": 2, "force": 3}


@dataclass(frozen=True)
class SkinRecording:
    """One stroke of K targets, ``every`` samples to each; float64.

    ``signals`` (every K, C) uT; ``velocity`` (K, 2) m/s, target k being the mean velocity of the tip up to sample
    every k + every - 1, the last one of its chunk; ``place`` (every K, 2) m and ``force`` (every K, 3) N, on the tip,
    are the truth that the simulation knows and no estimator may use. ``facts`` are those of its header.
    """

    name: str
    rate_hz: float
    every: int
    signals: Array
    velocity: Array
    place: Array
    force: Array
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.signals)


class SkinStrokes:
    """The strokes of a folder. RecordingError where it is none of ``knuckle data skin``."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        card = _read_card(self.folder / CARD)
        self.card = card
        self.rate_hz, self.every = float(card["rate_hz"]), int(card["samples_per_target"])
        self.channels = tuple(str(name) for name in card["channels"])

    def there(self) -> list[int]:
        """The numbers of the strokes that are there, in order."""
        return sorted(int(path.stem) for path in (self.folder / STROKES).glob("[0-9]*.safetensors"))

    def split(self, part: str) -> list[int]:
        """The strokes of ``part`` (train, validation or test): of ten in a row, the last is for the test and the last
        but one for validation, however many there are. RecordingError where there is none."""
        if part not in SPLITS:
            raise RecordingError(f"no part '{part}'", where=str(self.folder), right=f"one of {', '.join(SPLITS)}")
        chosen = [k for k in self.there() if SPLITS[max(0, k % 10 - 7)] == part]
        if not chosen:
            raise RecordingError(f"no stroke for {part}", where=str(self.folder), right="at least 10 strokes")
        return chosen

    def stroke(self, k: int) -> SkinRecording:
        """Stroke ``k``; RecordingError where it is absent, truncated, foreign, misshapen or not finite."""
        path = self.folder / STROKES / f"{k:06d}.safetensors"
        where = str(path)
        try:
            with safe_open(path, framework="numpy") as stored:
                facts = json.loads((stored.metadata() or {})["facts"])
                arrays = {name: stored.get_tensor(name) for name in ("signals", *_COLUMNS)}
        except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
            right = "a stroke of knuckle data skin; delete it, and it is made again"
            raise RecordingError(f"the stroke cannot be read ({error})", where=where, right=right) from error
        if not isinstance(facts, dict) or (facts.get("format"), facts.get("version")) != (STROKE_FORMAT, VERSION):
            right = f"format '{STROKE_FORMAT}', version {VERSION}"
            raise RecordingError("the stroke is of another format", where=where, right=right)
        targets = len(arrays["velocity"]) if arrays["velocity"].ndim else 0
        for name, array in arrays.items():
            rows = targets if name == "velocity" else targets * self.every
            columns = _COLUMNS.get(name, len(self.channels))
            if targets == 0 or array.shape != (rows, columns) or array.dtype.kind != "f":
                right = f"floats of shape ({rows or 'N'}, {columns})"
                raise RecordingError(f"'{name}' is {array.dtype} of {array.shape}", where=where, right=right)
            good = np.isfinite(array).all(axis=1)
            if not good.all():
                what = f"'{name}' is not finite at row {int(np.argmin(good))}"
                raise RecordingError(what, where=where, right="numbers in every row")
        whole = {name: array.astype(np.float64) for name, array in arrays.items()}
        return SkinRecording(where, self.rate_hz, self.every, facts=facts, **whole)


def _read_card(path: Path) -> dict[str, Any]:
    where, right = str(path), "the folder of a knuckle data skin"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordingError(f"no strokes of a skin here ({error})", where=where, right=right) from error
    if not isinstance(card, dict) or (card.get("format"), card.get("version")) != (SET_FORMAT, VERSION):
        raise RecordingError("the strokes are of another format", where=where, right=right)
    rate, every, channels = (card.get(key) for key in ("rate_hz", "samples_per_target", "channels"))
    numbers = all(isinstance(n, (int, float)) and not isinstance(n, bool) and n > 0 for n in (rate, every))
    if not (numbers and isinstance(every, int) and isinstance(channels, list) and channels):
        what = "rate_hz, samples_per_target or channels cannot be used"
        raise RecordingError(what, where=where, right="a positive rate, a whole number of samples, names of channels")
    return card
