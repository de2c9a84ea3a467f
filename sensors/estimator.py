"""The contract of every streaming estimator, and the sample and the estimate it trades in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImuSample:
    """One reading in the sensor's frame: ``gyr`` (3,) rad/s, ``acc`` (3,) m/s^2, ``mag`` (3,) T or None."""

    gyr: Array
    acc: Array
    mag: Array | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The orientation of the sensor in the earth frame (x east, y north, z up) at ``stamp_ns``.

    ``orientation`` (4,) is w x y z. ``covariance`` (3, 3) in rad^2 is that of the small rotation e about the earth's
    axes with q_estimate = exp(e) ⊗ q_true; None where the estimator gives none. ``valid`` is false where the estimate
    should not be acted upon, and ``reason`` then says why in a word or two.
    """

    stamp_ns: int
    orientation: Array
    covariance: Array | None = None
    valid: bool = True
    reason: str = ""


class Estimator(Protocol):
    """A model fed one sample at a time; it need not care for gaps, jitter, order or NaN: the stream guard does."""

    def push(self, stamp_ns: int, sample: ImuSample) -> Estimate | None:
        """Take the sample of ``stamp_ns`` and return the estimate for that time, or None where there is none yet."""
        ...

    def state(self) -> bytes:
        """All that the next ``push`` depends on, as JSON text in UTF-8: plain numbers, never a pickle."""
        ...

    def restore(self, state: bytes) -> None:
        """Go on from ``state`` bit for bit; InputError where it is not a state of this estimator."""
        ...
