"""What a motion model learns from: stretches of tracks without a hole, and noise like the detector's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import Array
from knuckle.perception.tracking.detection_recipe import NOISE, SMALLEST
from knuckle.perception.tracking.sequence import Sequence


def stretches(films: Iterable[Sequence], rows: int, step: int) -> Array:
    """Stretches (W, rows, 4) of one track each in frames that follow each other, begun every ``step`` frames.

    Raises InputError where no track is long enough.
    """
    found = []
    for film in films:
        order = np.lexsort((film.frame, film.track))
        frame, track, boxes = film.frame[order], film.track[order], film.boxes[order]
        if len(frame) < rows:
            continue
        begins = np.arange(0, len(frame) - rows + 1)
        whole = (track[begins] == track[begins + rows - 1]) & (frame[begins + rows - 1] - frame[begins] == rows - 1)
        begins = begins[whole & (frame[begins] % step == 0)]
        found.append(boxes[begins[:, None] + np.arange(rows)[None, :]])
    if not sum(len(some) for some in found):
        raise InputError(f"no track is seen for {rows} frames in a row", where="films", right="longer films")
    return np.concatenate(found)


def noisy(boxes: Array, rng: np.random.Generator, noise: float = NOISE) -> Array:
    """``boxes`` (..., 4) as the detector of the recipe would see them."""
    out = boxes + noise * np.concatenate([boxes[..., 2:]] * 2, axis=-1) * rng.standard_normal(boxes.shape)
    out[..., 2:] = np.maximum(out[..., 2:], SMALLEST * boxes[..., 2:])
    return np.asarray(out)
