"""The paper's first kind of task on the simulated skin: magnetometers in, the velocity of the tip at 5 Hz out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from knuckle.core.cards import Entry
from knuckle.core.errors import InputError
from knuckle.sensors.hiss.trial import CHUNK, Channels, Trial
from knuckle.sensors.skin_recording import SPLITS, SkinStrokes

CHANNELS = tuple(f"b{axis}{k}" for k in range(5) for axis in "xyz")
RATE_HZ = 50.0


def channels() -> Channels:
    """Inputs and targets of the task."""
    targets = tuple(
        Entry(f"velocity_{axis}", (), "m/s, of the tip in the skin's plane, mean over 0.2 s") for axis in "xy"
    )
    return Channels(tuple(Entry(name, (), "uT") for name in CHANNELS), targets, RATE_HZ)


def load_trials(folder: Path) -> list[Trial]:
    """Every stroke in ``folder``, its part as its group. InputError where it is not of 50 Hz and chunks of 10."""
    strokes = SkinStrokes(folder)
    if strokes.rate_hz != RATE_HZ or strokes.every != CHUNK:
        what = f"{strokes.rate_hz:g} Hz and {strokes.every} samples a target"
        raise InputError(what, where=str(folder), right=f"{RATE_HZ:g} Hz and {CHUNK}")
    if strokes.channels != CHANNELS:
        what = f"{len(strokes.channels)} channels: {', '.join(strokes.channels[:4])}, ..."
        raise InputError(what, where=str(folder), right=f"the {len(CHANNELS)} of five magnetometers, bx0 to bz4")
    return [_trial(strokes, k, part) for part in SPLITS for k in strokes.split(part)]


def _trial(strokes: SkinStrokes, k: int, part: str) -> Trial:
    stroke = strokes.stroke(k)
    targets = np.full((len(stroke), stroke.velocity.shape[1]), np.nan)
    targets[CHUNK - 1 :: CHUNK] = stroke.velocity
    return Trial(f"{k:06d}", part, stroke.signals, targets, np.isfinite(targets).all(axis=1))
