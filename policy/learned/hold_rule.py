"""Coming to rest: near the goal a policy keeps the posture that it was about to take, as gently as counts as rest.

A policy that turns an object presses on it. What it pressed towards when the goal came near is what holds the object
there, so that target is kept, with no more action than the conditions of success allow.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.sim.reorient.success import ACTION_NORM

GENTLE = 0.95 * ACTION_NORM
"""The largest norm of the smoothed action while it holds."""
LEAVE = 1.2
"""It lets go where the angle has grown to this many times that at which it began to hold."""
PATIENCE = 12
"""Control steps for which it holds at most, and then leaves the hand to the policy before it holds again: an object
that was kept for a second, and did not come to rest at the goal, has to be turned on."""


class HoldRule:
    """Watches one goal; ``chart`` is the action map that the policy's actions go through."""

    def __init__(self, config: DoneConfig, chart: ActionMap) -> None:
        self.config, self.chart = config, chart
        self._target: Array | None = None
        self.holding = False
        self._held = self._pause = 0

    def reset(self) -> None:
        """Begin a new goal."""
        self._target, self.holding, self._held, self._pause = None, False, 0, 0

    def action(self, wanted: Callable[[], Array], q: Array, smoothed: Array, angle: float) -> Array:
        """The policy's ``wanted`` action (dof,), or the one that holds, at joint angles ``q`` rad with ``angle`` rad
        left, after the ``smoothed`` action (dof,) of the step before. Who holds does not ask the policy."""
        bound = self.config.hold * (LEAVE if self.holding else 1.0)
        self._pause = PATIENCE if self._held >= PATIENCE else max(self._pause - 1, 0)
        self.holding = self._target is not None and angle <= bound and self._pause == 0
        self._held = self._held + 1 if self.holding else 0
        if not self.holding or self._target is None:
            action = wanted()
            self._target = self.chart.target(q, self.chart.smooth(action, smoothed))
            return action
        pull = np.clip((self._target - q) / self.chart.step_rad, -1.0, 1.0)
        pull *= min(1.0, GENTLE / max(float(np.linalg.norm(pull)), 1e-9))
        return self.chart.towards(q, q + pull * self.chart.step_rad, smoothed)
