"""What a motion model learns from: stretches of tracks without a hole, and noise like the detector's."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import Array
from knuckle.perception.tracking.detection_recipe import DROPPED, NOISE, SMALLEST
from knuckle.perception.tracking.scene_path import ENOUGH, path_of
from knuckle.perception.tracking.sequence import Sequence

PATH_SEED = 5
SMOOTH = 4


def stretches(films: Iterable[Sequence], rows: int, step: int) -> Array:
    """Stretches (W, rows, 6) of one track each in frames that follow each other, begun every ``step`` frames: boxes,
    and where the scene was, px, as the film's tracks together show it through the detector's noise.

    Raises InputError where no track is long enough.
    """
    found = []
    for film in films:
        order = np.lexsort((film.frame, film.track))
        frame, track = film.frame[order], film.track[order]
        boxes = np.concatenate([film.boxes[order], film_path(film)[frame]], axis=1)
        if len(frame) < rows:
            continue
        begins = np.arange(0, len(frame) - rows + 1)
        whole = (track[begins] == track[begins + rows - 1]) & (frame[begins + rows - 1] - frame[begins] == rows - 1)
        begins = begins[whole & (frame[begins] % step == 0)]
        found.append(boxes[begins[:, None] + np.arange(rows)[None, :]])
    if not sum(len(some) for some in found):
        raise InputError(f"no track is seen for {rows} frames in a row", where="films", right="longer films")
    return np.concatenate(found)


def film_path(film: Sequence) -> Array:
    """Where the scene of a film was at each frame (frames, 2), px, from noisy boxes of it; the noise is the film's."""
    rng = np.random.default_rng([PATH_SEED, zlib.crc32(film.name.encode())])
    seen = np.flatnonzero(rng.random(len(film.frame)) >= DROPPED)
    frame, track, boxes = film.frame[seen], film.track[seen], noisy(film.boxes[seen], rng)
    steps, known = np.zeros((film.frames - 1, 2)), np.zeros(film.frames - 1, dtype=bool)
    starts = np.searchsorted(frame, np.arange(film.frames + 1))
    for k in range(film.frames - 1):
        before, after = slice(starts[k], starts[k + 1]), slice(starts[k + 1], starts[k + 2])
        _, a, b = np.intersect1d(track[before], track[after], assume_unique=True, return_indices=True)
        if len(a) >= ENOUGH:
            steps[k] = np.median(boxes[after][b, :2] - boxes[before][a, :2], axis=0)
            known[k] = True
    return path_of(steps, known)


def jerk(path: Array) -> Array:
    """What surprises at the newest row of scenes' paths (N, L, 2), px: its step less the mean of the four before."""
    past = min(SMOOTH, path.shape[-2] - 2)
    return np.asarray(path[:, -1] - path[:, -2] - (path[:, -2] - path[:, -2 - past]) / past)


def noisy(boxes: Array, rng: np.random.Generator, noise: float = NOISE) -> Array:
    """``boxes`` (..., 4) as the detector of the recipe would see them."""
    out = boxes + noise * np.concatenate([boxes[..., 2:]] * 2, axis=-1) * rng.standard_normal(boxes.shape)
    out[..., 2:] = np.maximum(out[..., 2:], SMALLEST * boxes[..., 2:])
    return np.asarray(out)
