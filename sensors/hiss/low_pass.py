"""The low-pass of the paper's ablation, Butterworth of order 3: causal, or as released: zero-phase, which looks ahead.

The released code filters with ``butter(3, 0.03)`` and ``filtfilt``: at 50 Hz a corner of 0.75 Hz, and every output
depends on all later inputs. That can be done to a recording, never to a stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from knuckle.core.config import setting, validate
from knuckle.core.errors import InputError

Array = NDArray[np.float64]
ORDER = 3


@dataclass(frozen=True)
class LowPass:
    """Which filter runs over the inputs before anything else."""

    kind: str = setting("off", "off, causal, or zero_phase (recordings only)", choices=("off", "causal", "zero_phase"))
    corner_hz: float = setting(0.75, "corner of the low-pass", low=1e-3, high=1e4, unit="Hz")


def design(config: LowPass, rate_hz: float) -> Array:
    """Second-order sections of the filter at ``rate_hz``; InputError where the corner is not below half the rate."""
    validate(config, where="low_pass")
    if config.corner_hz >= 0.5 * rate_hz:
        right = f"a corner below {0.5 * rate_hz:g} Hz, half the sample rate"
        raise InputError(f"a corner of {config.corner_hz:g} Hz", where="low_pass", right=right)
    return np.asarray(scipy.signal.butter(ORDER, config.corner_hz, fs=rate_hz, output="sos"))


def low_pass(x: Array, config: LowPass, rate_hz: float) -> Array:
    """``x`` (L, D) filtered; the causal one starts as if the first sample had always been."""
    if config.kind == "off":
        return x
    sections = design(config, rate_hz)
    if config.kind == "zero_phase":
        return np.asarray(
            scipy.signal.sosfiltfilt(sections, x, axis=0, padlen=min(3 * (2 * len(sections) + 1), len(x) - 1))
        )
    start = scipy.signal.sosfilt_zi(sections)[:, :, None] * x[0]
    return np.asarray(scipy.signal.sosfilt(sections, x, axis=0, zi=start)[0])


class LowPassStream:
    """The causal filter one sample of D channels at a time, with the bits of `low_pass`.

    ``state`` (sections, 2, D) is its memory, ``begun`` whether there has been a sample. InputError for a filter that
    looks ahead.
    """

    def __init__(self, config: LowPass, rate_hz: float, channels: int) -> None:
        if config.kind == "zero_phase":
            right = "low_pass causal or off; zero_phase is for recordings"
            raise InputError("a zero-phase filter looks ahead and cannot be streamed", where="low_pass", right=right)
        self._sections = design(config, rate_hz) if config.kind == "causal" else None
        self.state: Array = np.zeros((0 if self._sections is None else len(self._sections), 2, channels))
        self.begun = False

    def push(self, x: Array) -> Array:
        """The filtered sample (D,)."""
        if self._sections is None:
            return x
        if not self.begun:
            self.state = np.asarray(scipy.signal.sosfilt_zi(self._sections)[:, :, None] * x)
            self.begun = True
        y, self.state = scipy.signal.sosfilt(self._sections, x[None], axis=0, zi=self.state)
        return np.asarray(y[0])
