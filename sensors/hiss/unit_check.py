"""Mix-ups of units that can be seen: degrees for radians, g for m/s², microtesla for tesla, or what was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import RecordingError
from knuckle.sensors.hiss.features import FeatureConfig, raw_features
from knuckle.sensors.hiss.normaliser import Normaliser
from knuckle.sensors.hiss.trial import Channels, Trial
from knuckle.sensors.recording import ImuRecording

Array = NDArray[np.float64]
FASTEST = 35.0
"""rad/s that no common gyroscope reports (2000 deg/s)."""
FACTOR = 20.0
"""How many times as large as in training the inputs may be before they are taken for another unit."""
_LAG_S = 0.1


def require_si(recording: ImuRecording) -> None:
    """RecordingError where rates look like degrees, accelerations like g, or fields like microtesla, or an axis of
    any of them never changes."""
    where = recording.name
    for name in ("gyr", "acc", "mag"):
        rows = getattr(recording, name)
        still = np.zeros(3, dtype=np.bool_) if rows is None else np.ptp(rows, axis=0) == 0.0
        if still.any():
            k = int(np.argmax(still))
            what = f"channel '{name}_{'xyz'[k]}' is {rows[0, k]:g} in every sample"
            raise RecordingError(what, where=where, right="a sensor that is connected")
    norm = float(np.median(np.linalg.norm(recording.acc, axis=1)))
    if 0.5 < norm < 2.0:
        raise RecordingError(f"'acc' has a median of {norm:.2f}: g?", where=where, right="m/s^2, about 9.81 at rest")
    rate = float(np.quantile(np.linalg.norm(recording.gyr, axis=1), 0.999))
    if rate > FASTEST or _turns_too_little(recording):
        raise RecordingError(f"'gyr' reaches {rate:.0f}: degrees per second?", where=where, right="rad/s")
    if recording.mag is not None:
        field = float(np.median(np.linalg.norm(recording.mag, axis=1)))
        if field > 1e-2:
            raise RecordingError(f"'mag' has a median of {field:.3g}: microtesla?", where=where, right="T, about 5e-5")


def _turns_too_little(recording: ImuRecording) -> bool:
    """Whether gravity turns far less than the gyroscope says: by about 57 times less where it speaks degrees.

    Over a lag of 0.1 s, in samples whose acceleration is near gravity; only where there are enough of them that turn.
    """
    lag = max(1, round(_LAG_S * recording.rate_hz))
    if len(recording) <= 4 * lag:
        return False
    norm = np.linalg.norm(recording.acc, axis=1)
    down = recording.acc / np.maximum(norm, 1e-9)[:, None]
    turned = np.linalg.norm(down[lag:] - down[:-lag], axis=1)
    steps = np.cumsum(recording.gyr, axis=0) / recording.rate_hz
    said = np.linalg.norm(np.cross(steps[lag:] - steps[:-lag], down[:-lag]), axis=1)
    calm = (np.abs(norm[lag:] - 9.81) < 1.0) & (np.abs(norm[:-lag] - 9.81) < 1.0) & (said > 0.3)
    return bool(calm.sum() > recording.rate_hz and np.median(turned[calm] / said[calm]) < 0.1)


def require_scale(trial: Trial, channels: Channels, config: FeatureConfig, normaliser: Normaliser) -> None:
    """RecordingError where inputs of one unit are many times as large as those that the model was trained on."""
    d = len(channels.inputs)
    z = normaliser(raw_features(trial.inputs, config, channels.rate_hz))[:, :d]
    size = np.sqrt(np.mean(np.square(z), axis=0))
    for unit in sorted({entry.unit for entry in channels.inputs}):
        own = [k for k, entry in enumerate(channels.inputs) if entry.unit == unit]
        times = float(np.median(size[own]))
        if times > FACTOR:
            names = ", ".join(channels.inputs[k].name for k in own[:3])
            what = f"inputs {names} are {times:.0f} times as large as in training"
            right = f"the unit that the model was trained on ({unit})"
            if "rad" in unit and 0.4 < times / 57.3 < 2.5:
                right = "rad/s; these look like degrees per second"
            raise RecordingError(what, where=trial.name, right=right)
