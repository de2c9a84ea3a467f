"""What the planner is doing: turning, letting go for a new grasp, or settling to declare itself done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from knuckle.policy.mpc_config import MpcConfig


class Phase(Enum):
    """The planner's phases."""

    TURN = "turn"
    REGRASP = "regrasp"
    SETTLE = "settle"


@dataclass
class TurningPhase:
    """Decides the phase from the angle left, the stillness and the steps gone by; no clock is read.

    Stuck (no progress of ``stuck_angle`` over ``stuck_steps``) leads to REGRASP for ``regrasp_steps``. SETTLE comes at
    ``settle_angle``, or inside the tolerance after ``content_steps`` without progress, or when the time runs out; it
    is left again when the angle slips. Done: ``settle_steps`` still steps of SETTLE inside the tolerance.
    """

    config: MpcConfig
    tolerance: float
    limit_steps: int
    rate_hz: float
    phase: Phase = Phase.TURN
    step: int = 0
    best: float = float("inf")
    since_best: int = 0
    since_regrasp: int = 0
    regrasps: int = 0
    in_phase: int = 0
    still_steps: int = 0
    settled_at: float = float("inf")

    def update(self, angle: float, still: bool) -> Phase:
        """The phase for this control step."""
        self.step += 1
        self.in_phase += 1
        self.since_regrasp += 1
        if angle < self.best - self.config.stuck_angle:
            self.best, self.since_best = angle, 0
        else:
            self.since_best += 1
        wanted = self._next(angle)
        if wanted is not self.phase:
            self.phase, self.in_phase, self.still_steps = wanted, 0, 0
            if wanted is Phase.REGRASP:
                self.regrasps += 1
                self.since_regrasp, self.best, self.since_best = 0, float("inf"), 0
            if wanted is Phase.SETTLE:
                self.settled_at = angle
        self.still_steps = self.still_steps + 1 if still and self.phase is Phase.SETTLE else 0
        return self.phase

    @property
    def detour_over(self) -> bool:
        """Whether the time of a detour after the last regrasp has passed."""
        return self.since_regrasp >= self.config.regrasp_steps + self.config.detour_steps

    def done(self, angle: float) -> bool:
        """Whether it is time to stop: settled, still for long enough, inside the tolerance."""
        return self.phase is Phase.SETTLE and self.still_steps >= self.config.settle_steps and angle <= self.tolerance

    def _next(self, angle: float) -> Phase:
        last_call = self.step >= self.limit_steps - round(self.config.settle_time * self.rate_hz)
        if last_call:
            return Phase.SETTLE
        if self.phase is Phase.SETTLE:
            slipped = angle > max(1.5 * self.settled_at, self.settled_at + 0.05)
            return Phase.TURN if slipped and self.in_phase > 1 else Phase.SETTLE
        if self.phase is Phase.REGRASP and self.in_phase < self.config.regrasp_steps:
            return Phase.REGRASP
        if angle <= self.config.settle_angle:
            return Phase.SETTLE
        if angle <= self.tolerance and self.since_best >= self.config.content_steps:
            return Phase.SETTLE
        if angle > self.tolerance and self.since_best >= self.config.stuck_steps:
            return Phase.REGRASP
        return Phase.TURN
