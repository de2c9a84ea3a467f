"""When a policy that gets no further lets go: the hand opens about the object, and turning begins anew.

A policy that looks half a second ahead stands still where nothing that it draws gains anything in that time: fingers
that are folded above an object come near it again only by a way on which nothing is gained. An open hand is where
turning began, so from there it has another chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.learned.opening import Opening, finger_beads
from knuckle.sim.objects import object_shape

REPLANNED, LONGEST = 4, 30
"""Control steps after which the way home is looked for anew, for the object moves; and after which the hand is taken to
be as open as it gets."""
OPEN_RAD = 0.2
"""How far from where its way ends the hand counts as open."""


@dataclass(frozen=True)
class RegraspConfig:
    """When a hand lets go; in a policy's card. Far from the goal little is lost by it, near it what was gained."""

    after: int = setting(0, "control steps without gain after which the hand opens, 0: it never does", low=0, high=1000)
    after_near: int = setting(40, "the same near the goal", low=1, high=1000)
    near: float = setting(0.8, "angle to the goal below which that counts", low=0.0, high=3.14, unit="rad")
    gain: float = setting(0.08, "how much nearer to the goal counts as gain", low=0.0, high=3.14, unit="rad")


class RegraspRule:
    """Watches one goal of ``hand``, which does not open within ``reached`` rad of it.

    InputError for a hand that cannot be opened, where it is to be.
    """

    def __init__(self, config: RegraspConfig, hand: HandSpec, reached: float) -> None:
        self.config, self.hand, self.reached = config, hand, reached
        if config.after:
            finger_beads(hand)
        self._opening: Opening | None = None
        self._best, self._since, self._opened = math.inf, 0, 0
        self._way: Array = np.zeros((0, hand.dof))

    def reset(self, goal: Goal) -> None:
        """Begin ``goal``. In the air the hand never opens."""
        self.forget()
        if self.config.after == 0 or math.isfinite(goal.table_s):
            self._opening = None
        elif self._opening is None or self._opening.shape.name != goal.object_name:
            self._opening = Opening(self.hand, object_shape(goal.object_name))

    def posture(self, state: SceneState, angle: float) -> Array | None:
        """The posture (dof,), rad, to go for in ``state`` with ``angle`` rad left, None while there is no need to let
        go."""
        if self._opening is None:
            return None
        if self._opened == 0 and not self._stuck(angle):
            return None
        q = np.asarray(state.q)
        is_open = self._opened > 0 and np.abs(q - self._way[-1]).max() < OPEN_RAD
        if is_open or angle <= self.reached or self._opened >= LONGEST:
            self.forget()
            return None
        if self._opened % REPLANNED == 0:
            self._way = self._opening(q, np.asarray(state.position), np.asarray(state.quaternion))
        at = min(self._opened % REPLANNED, len(self._way) - 1)
        self._opened += 1
        return np.asarray(self._way[at])

    def _stuck(self, angle: float) -> bool:
        """Whether nothing was gained for long enough."""
        gained = angle < self._best - self.config.gain
        self._best, self._since = (angle, 0) if gained else (self._best, self._since + 1)
        patience = self.config.after_near if angle < self.config.near else self.config.after
        return self._since >= patience and angle > self.reached

    def forget(self) -> None:
        """Count anew, and end an opening."""
        self._best, self._since, self._opened = math.inf, 0, 0
