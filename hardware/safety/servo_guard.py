"""What each servo may push with, and which servos an operator must look at before the hand is armed again.

    temperature   from warm to hot the torque falls evenly to ``floor``; a hot servo is released
    effort        above ``strain`` of the servo's torque for ``strain_s``: ``floor``, until the hand is armed anew;
                  above what it may have by ``excess`` of it for ``strain_s``: it disobeys and is released
    error bits    the servo's own, silent, rebooted

A released servo, and any with a new error, is locked until ``acknowledge``; torque comes back with ``engage`` alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import CommandRefused
from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.quote import quote_all
from knuckle.hardware.spec.contracts import REBOOTED, SILENT, HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec

Mask = NDArray[np.bool_]
OWN_BITS = 0xFF


class Lasting:
    """For each joint, whether something has been so without a break for ``time_ns``."""

    def __init__(self, dof: int, time_ns: int) -> None:
        self._time_ns = time_ns
        self._since_ns: list[int | None] = [None] * dof

    def judge(self, now: Mask, stamp_ns: int) -> Mask:
        """What is so ``now`` (dof,), at ``stamp_ns``, and has been for long enough."""
        since = zip(now, self._since_ns, strict=True)
        # A clock that ran backwards begins anew.
        self._since_ns = [(stamp_ns if began is None else min(began, stamp_ns)) if so else None for so, began in since]
        return np.array([began is not None and stamp_ns - began >= self._time_ns for began in self._since_ns])


class ServoGuard:
    """Judges temperature, effort and error bits of the good readings of one hand."""

    def __init__(self, spec: HandSpec, config: Config) -> None:
        self._spec, self._config = spec, config
        self._locked: Mask = np.zeros(spec.dof, dtype=bool)
        self._released: Mask = np.zeros(spec.dof, dtype=bool)
        self._strained: Mask = np.zeros(spec.dof, dtype=bool)
        self._error: NDArray[np.int32] = np.zeros(spec.dof, dtype=np.int32)
        self._celsius: Array = np.full(spec.dof, -np.inf)
        self._strain = Lasting(spec.dof, round(config.strain_s * 1e9))
        self._excess = Lasting(spec.dof, round(config.strain_s * 1e9))

    @property
    def limit(self) -> Array:
        """Torque that each joint may have, (dof,), N m: at most the spec's, 0 where the servo is released."""
        config = self._config
        warmth = np.clip((self._celsius - config.warm_c) / (config.hot_c - config.warm_c), 0.0, 1.0)
        share = 1.0 - (1.0 - config.floor) * np.where(self._strained, 1.0, warmth)
        return np.asarray(np.where(self._released, 0.0, share * self._spec.effort_limit))

    @property
    def locked(self) -> bool:
        """Whether a servo waits for ``acknowledge``."""
        return bool(self._locked.any())

    def take(self, state: HandState) -> str:
        """Judge a good reading; the fault that it brings, one line, empty where it brings none."""
        config, torque = self._config, self._spec.effort_limit
        # More bits of a servo that already had some come with its recovery.
        fresh = (state.error != 0) & (self._error == 0)
        self._error = state.error.astype(np.int32)
        self._celsius = np.where(np.isnan(state.temperature), self._celsius, state.temperature)
        effort = np.abs(np.nan_to_num(state.effort))
        disobeys = self._excess.judge(effort > self.limit + config.excess * torque, state.stamp_ns) & ~self._released
        self._strained = self._strained | self._strain.judge(effort > config.strain * torque, state.stamp_ns)
        hot = (self._celsius >= config.hot_c) & ~self._released
        self._released = self._released | hot | disobeys
        self._locked = self._locked | hot | disobeys | fresh
        said = (
            ("too hot, released", hot),
            ("pushes harder than it may, released", disobeys),
            ("servo error", fresh & ((self._error & OWN_BITS) != 0)),
            ("no answer", fresh & ((self._error & SILENT) != 0)),
            ("rebooted", fresh & ((self._error & REBOOTED) != 0)),
        )
        return "; ".join(f"{what}: {self._names(which)}" for what, which in said if which.any())

    def trouble(self) -> str:
        """Why the hand cannot be armed, one line; empty where it can."""
        failing = self._error != 0
        waiting = self._locked & ~failing
        said = [f"servo error reported by {self._names(failing)}"] if failing.any() else []
        said += [f"not acknowledged yet: {self._names(waiting)}"] if waiting.any() else []
        return "; ".join(said)

    def check_cool(self) -> None:
        """CommandRefused while a servo that was released is still warm."""
        warm = self._released & (self._celsius > self._config.warm_c)
        if warm.any():
            right = f"wait until it is below {self._config.warm_c:g} degrees"
            raise CommandRefused(f"still warm: {self._names(warm)}", where="hand/rearm", right=right)

    def acknowledge(self) -> None:
        """An operator has looked at the servos: unlock them. CommandRefused as in ``check_cool``."""
        self.check_cool()
        self._locked = np.zeros(self._spec.dof, dtype=bool)

    def engage(self) -> None:
        """The hand is armed: released and strained servos have their torque again."""
        self._released = np.zeros(self._spec.dof, dtype=bool)
        self._strained = np.zeros(self._spec.dof, dtype=bool)

    def _names(self, mask: Mask) -> str:
        return quote_all(name for name, hit in zip(self._spec.joint_names, mask, strict=True) if hit)
