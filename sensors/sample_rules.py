"""What the stream guard must know of one kind of samples: what is fit, what lies between two, when to doubt them."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeVar

import numpy as np

from knuckle.sensors.estimator import Array, Estimate, ImuSample
from knuckle.sensors.sample_check import RowVerdict, SampleLimits, Verdict, between, check

S = TypeVar("S")
_GRAVITY, _GRAVITY_TAU_S = 9.8, 2.0


class Rules(Protocol[S]):
    """The guard's view of samples of type S; what it keeps between samples is in ``values``."""

    def check(self, sample: S) -> Any:
        """The sample fit for use with what was wrong, as `Verdict` has it."""
        ...

    def between(self, a: S, b: S, share: float) -> S:
        """The sample at ``share`` (0 to 1) of the way from ``a`` to ``b``."""
        ...

    def begin(self) -> None:
        """The stream begins anew."""
        ...

    def used(self, sample: S) -> None:
        """The estimator has this sample."""
        ...

    def made(self, estimate: Any) -> None:
        """The estimator has answered."""
        ...

    def doubt(self) -> str:
        """Why estimates should not be acted upon, in a word or two; empty where they may."""
        ...

    def refusal(self, stamp_ns: int) -> Any:
        """What answers a sample that cannot be used; None for nothing."""
        ...

    def blank(self) -> S:
        """A sample of nothing, to stand before the first."""
        ...

    def plain(self, sample: S) -> list[list[float]]:
        """The sample as lists, always as long, for a state."""
        ...

    def sample(self, plain: list[list[float]]) -> S:
        """The inverse."""
        ...

    def values(self) -> dict[str, Any]:
        """All that the rules keep, for a state."""
        ...

    def set_values(self, values: dict[str, Any]) -> None:
        """The inverse."""
        ...


class ImuRules:
    """Samples of an IMU at ``rate_hz``: finite, in range, with gravity in the mean of the acceleration.

    A sample that cannot be used is answered by the newest orientation, invalid, where there are orientations.
    """

    def __init__(self, limits: SampleLimits, rate_hz: float, gravity_low: float) -> None:
        self._limits, self._rate_hz, self._gravity_low = limits, rate_hz, gravity_low
        self._gravity = _GRAVITY
        self._orientation, self._answered = [1.0, 0.0, 0.0, 0.0], False

    def check(self, sample: ImuSample) -> Verdict:
        """See `sample_check.check`."""
        return check(sample, self._limits)

    def between(self, a: ImuSample, b: ImuSample, share: float) -> ImuSample:
        """Linear in every axis."""
        return between(a, b, share)

    def begin(self) -> None:
        """Gravity is believed again."""
        self._gravity = _GRAVITY

    def used(self, sample: ImuSample) -> None:
        """Follow the mean of the acceleration."""
        norm = math.hypot(*sample.acc.tolist())
        self._gravity += (norm - self._gravity) / max(1.0, _GRAVITY_TAU_S * self._rate_hz)

    def made(self, estimate: Any) -> None:
        """Keep an orientation."""
        if isinstance(estimate, Estimate):
            self._orientation, self._answered = estimate.orientation.tolist(), True

    def doubt(self) -> str:
        """Whether gravity is missing: channels that were swapped, or a unit that is another."""
        return "no gravity" if self._gravity < self._gravity_low else ""

    def refusal(self, stamp_ns: int) -> Estimate | None:
        """The newest orientation, invalid."""
        if not self._answered:
            return None
        return Estimate(stamp_ns, np.array(self._orientation), None, False, "not finite")

    def blank(self) -> ImuSample:
        """Zeros, without a field."""
        return ImuSample(np.zeros(3), np.zeros(3))

    def plain(self, sample: ImuSample) -> list[list[float]]:
        """Rate, acceleration, field, and whether there is one."""
        mag = np.zeros(3) if sample.mag is None else sample.mag
        return [sample.gyr.tolist(), sample.acc.tolist(), mag.tolist(), [float(sample.mag is not None)]]

    def sample(self, plain: list[list[float]]) -> ImuSample:
        """The inverse."""
        gyr, acc, mag = (np.array(part, dtype=np.float64) for part in plain[:3])
        return ImuSample(gyr, acc, mag if plain[3][0] else None)

    def values(self) -> dict[str, Any]:
        """Mean acceleration and newest orientation."""
        return {"gravity": self._gravity, "orientation": [*self._orientation], "answered": self._answered}

    def set_values(self, values: dict[str, Any]) -> None:
        """The inverse."""
        self._gravity, self._answered = float(values["gravity"]), values["answered"]
        self._orientation = [float(v) for v in values["orientation"]]


class RowRules:
    """Rows of D numbers, each saturated where it is not between ``low`` (D,) and ``high`` (D,)."""

    def __init__(self, low: Array, high: Array) -> None:
        self._low, self._high = low, high

    def check(self, sample: Array) -> RowVerdict:
        """A row that is not finite is not used; one beyond the limits is cut to them."""
        if not np.isfinite(sample).all():
            return RowVerdict(sample, nan=True)
        if (sample > self._low).all() and (sample < self._high).all():
            return RowVerdict(sample)
        return RowVerdict(np.clip(sample, self._low, self._high), saturated=True)

    def between(self, a: Array, b: Array, share: float) -> Array:
        """Linear in every channel."""
        return np.asarray(a + share * (b - a))

    def begin(self) -> None:
        """Nothing is kept."""

    def used(self, sample: Array) -> None:
        """Nothing is kept."""

    def made(self, estimate: Any) -> None:
        """Nothing is kept."""

    def doubt(self) -> str:
        """Never."""
        return ""

    def refusal(self, stamp_ns: int) -> None:
        """Nothing: the next chunk answers."""

    def blank(self) -> Array:
        """Zeros."""
        return np.zeros_like(self._low)

    def plain(self, sample: Array) -> list[list[float]]:
        """The row."""
        return [sample.tolist()]

    def sample(self, plain: list[list[float]]) -> Array:
        """The inverse."""
        return np.array(plain[0], dtype=np.float64)

    def values(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def set_values(self, values: dict[str, Any]) -> None:
        """Nothing."""
