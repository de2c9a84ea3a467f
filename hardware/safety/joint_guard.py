"""What the driver believes of its joints: good readings, or for a few cycles the last good one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.quote import quote_all
from knuckle.hardware.spec.contracts import HandState
from knuckle.hardware.spec.hand_spec import HandSpec


class JointGuard:
    """Judges each reading. A bad one is replaced by the last good one for ``config.bad_cycles`` cycles at most."""

    def __init__(self, spec: HandSpec, config: Config) -> None:
        self._spec, self._config = spec, config
        self.good: HandState | None = None
        """The last good reading."""
        self.bad_in_a_row = 0
        self.bad_total = 0
        self.problem = "no joint state yet"
        """What is wrong with the newest reading; empty where it is good."""

    @property
    def lost(self) -> bool:
        """True where there were more bad cycles in a row than the last good reading may stand in for."""
        return self.bad_in_a_row > self._config.bad_cycles

    def take(self, reading: HandState, now_ns: int) -> HandState | None:
        """Judge a reading made at about ``now_ns``; it is given back where it is good."""
        problem = self.judge(reading, now_ns)
        if problem:
            self.miss(problem)
            return None
        self.good, self.problem, self.bad_in_a_row = reading, "", 0
        return reading

    def miss(self, problem: str) -> None:
        """Count a cycle without a good reading."""
        self.problem = problem
        self.bad_in_a_row += 1
        self.bad_total += 1

    def forget(self) -> None:
        """Drop the last good reading, as after a clock that ran backwards."""
        self.good = None

    def believed(self) -> HandState | None:
        """The reading to act on: the newest, the last good one standing in, or None where they are lost."""
        return None if self.lost else self.good

    def judge(self, reading: HandState, now_ns: int) -> str:
        """What is wrong with a reading, one line; empty where nothing is."""
        spec, config = self._spec, self._config
        arrays = (reading.q, reading.dq, reading.effort, reading.temperature, reading.error)
        if any(np.shape(values) != (spec.dof,) for values in arrays):
            return f"joint state has not {spec.dof} joints"
        bad = ~(np.isfinite(reading.q) & np.isfinite(reading.dq))
        if bad.any():
            return f"joint state is NaN or infinite for {self._names(bad)}"
        beyond = (reading.q < spec.lower - config.outside_rad) | (reading.q > spec.upper + config.outside_rad)
        if beyond.any():
            return f"joint state is far beyond the limits for {self._names(beyond)}"
        age_s = (now_ns - reading.stamp_ns) * 1e-9
        if age_s > config.state_age_s:
            return f"joint state is {age_s * 1e3:.0f} ms old"
        if -age_s > config.max_future_s:
            return f"joint state is stamped {-age_s * 1e3:.0f} ms in the future"
        if self.good is not None and reading.stamp_ns < self.good.stamp_ns:
            return "joint state is older than the one before it"
        return ""

    def _names(self, mask: NDArray[np.bool_]) -> str:
        return quote_all(name for name, hit in zip(self._spec.joint_names, mask, strict=True) if hit)
