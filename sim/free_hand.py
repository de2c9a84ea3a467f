"""A simulated hand with nothing in it and nothing around it, as what virtual servos turn: to rehearse on.

The velocity limit is hard at any step, as in `finger_model`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import add_hand

STEP_S = 0.00025


class FreeHand:
    """A Plant: ``hand`` at its mount from ``now_ns`` on, in the home posture, limp until its servos take hold."""

    def __init__(self, hand: HandSpec, now_ns: int = 0, step_s: float = STEP_S) -> None:
        spec = mujoco.MjSpec()
        spec.option.timestep = step_s
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT.value
        add_hand(spec, hand)
        self._hand, self._model, self._now_ns = hand, spec.compile(), now_ns
        self._step_ns = round(step_s * 1e9)
        self._data = mujoco.MjData(self._model)
        self._data.qpos[:] = self._data.ctrl[:] = hand.home
        self._limit, self._on = hand.effort_limit.copy(), np.zeros(hand.dof, dtype=np.bool_)
        self._bound()

    def joint_state(self) -> tuple[Array, Array, Array]:
        """q rad, dq rad/s, effort N m."""
        return self._data.qpos.copy(), self._data.qvel.copy(), self._data.actuator_force.copy()

    def set_target(self, q: Array) -> None:
        """Position targets, rad."""
        self._data.ctrl[:] = np.clip(q, self._hand.lower, self._hand.upper)

    def set_torque(self, on: NDArray[np.bool_]) -> None:
        """Which joints are driven."""
        self._on = on.copy()
        self._bound()

    def set_effort_limit(self, effort: Array) -> None:
        """The largest effort of each joint, N m; the hand's own limit holds all the same."""
        self._limit = np.minimum(effort, self._hand.effort_limit)
        self._bound()

    def advance(self, to_ns: int) -> None:
        """Whole steps up to ``to_ns``."""
        data, top, step_s = self._data, self._hand.velocity_limit, self._model.opt.timestep
        while self._now_ns + self._step_ns <= to_ns:
            before = data.qpos.copy()
            mujoco.mj_step(self._model, data)
            np.clip(data.qvel, -top, top, out=data.qvel)
            np.clip(data.qpos, before - step_s * top, before + step_s * top, out=data.qpos)
            self._now_ns += self._step_ns

    def _bound(self) -> None:
        bound = np.where(self._on, self._limit, 0.0)
        self._model.actuator_forcerange[:] = np.stack([-bound, bound], axis=1)
