"""What one IMU sample may hold: finite numbers inside the sensor's range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.sensors.estimator import Array, ImuSample


@dataclass(frozen=True)
class SampleLimits:
    """Saturation per axis: ``gyr`` rad/s and ``acc`` m/s^2; and ``mag`` T, beyond which the field is not credible."""

    gyr: float
    acc: float
    mag: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sample fit for use, and what was wrong: ``nan`` means it must not be used at all."""

    sample: ImuSample
    nan: bool = False
    saturated: bool = False
    bad_mag: bool = False


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """The same of a row of numbers, which has no field of its own."""

    sample: Array
    nan: bool = False
    saturated: bool = False
    bad_mag: bool = False


def check(sample: ImuSample, limits: SampleLimits) -> Verdict:
    """Judge a sample. A good one comes back as it is.

    A rate or acceleration at its limit is clipped to it and called saturated; a field that is not finite or beyond
    its limit (a stream in microtesla, say) is left out.
    """
    gyr, acc = sample.gyr.tolist(), sample.acc.tolist()
    if not all(map(math.isfinite, gyr + acc)):
        return Verdict(sample, nan=True)
    bad_mag = sample.mag is not None and not all(abs(v) < limits.mag for v in sample.mag.tolist())
    mag = None if bad_mag else sample.mag
    if max(map(abs, gyr)) >= limits.gyr or max(map(abs, acc)) >= limits.acc:
        clipped_gyr = np.clip(sample.gyr, -limits.gyr, limits.gyr)
        clipped_acc = np.clip(sample.acc, -limits.acc, limits.acc)
        return Verdict(ImuSample(clipped_gyr, clipped_acc, mag), saturated=True, bad_mag=bad_mag)
    return Verdict(ImuSample(sample.gyr, sample.acc, mag) if bad_mag else sample, bad_mag=bad_mag)


def between(a: ImuSample, b: ImuSample, share: float) -> ImuSample:
    """The sample at ``share`` (0 to 1) of the way from ``a`` to ``b``; with a field only where both have one."""
    mag = None if a.mag is None or b.mag is None else a.mag + share * (b.mag - a.mag)
    return ImuSample(a.gyr + share * (b.gyr - a.gyr), a.acc + share * (b.acc - a.acc), mag)
