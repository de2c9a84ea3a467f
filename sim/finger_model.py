"""One finger alone, many times over: what identification simulates its candidates with, all in one MuJoCo model.

Every copy hangs where the hand's finger does, meets nothing, and has gains of its own; gravity, effort limit, armature
and the share of passive damping are those of the hand's model. The velocity limit is hard, whatever the step: the way
is cut with the rate (the execution world cuts the rate alone, after the way). Short steps go by Runge-Kutta, as how a
light link gains speed, within milliseconds, is what tells its stiffness apart from its ratio to the damping; long ones
are implicit, and stable for any candidate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import PASSIVE_DAMPING_SHARE, add_hand

SHORT_S = 0.0025


class FingerModel:
    """Simulates finger number ``finger`` of ``hand``. A call is a pure function of its arguments."""

    def __init__(self, hand: HandSpec, finger: int) -> None:
        self.finger = _alone(hand, finger)
        self._built: tuple[int, float] | None = None

    def __call__(
        self, stiffness: Array, damping: Array, velocity_limit: Array, start: Array, targets: Array, dt_s: float
    ) -> Array:
        """Joint angles (N, T, K), rad: the k-th is that before the k-th target acts.

        ``stiffness`` N m/rad, ``damping`` N m s/rad and ``velocity_limit`` rad/s of N candidates, each (N, K);
        ``start`` (K,) rad at rest; ``targets`` (N, T, K) rad, each held for ``dt_s``.
        """
        n, steps, joints = targets.shape
        self._build(n, dt_s)
        model, data = self._model, mujoco.MjData(self._model)
        kp, kd, top = stiffness.ravel(), damping.ravel(), velocity_limit.ravel()
        model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1] = kp, -kp
        model.actuator_biasprm[:, 2] = -(1.0 - PASSIVE_DAMPING_SHARE) * kd
        model.dof_damping[:] = PASSIVE_DAMPING_SHARE * kd
        data.qpos[:] = np.tile(start, n)
        controls = np.ascontiguousarray(targets.swapaxes(0, 1)).reshape(steps, n * joints)
        path = np.empty((steps, n * joints))
        for k in range(steps):
            path[k] = data.qpos
            data.ctrl[:] = controls[k]
            mujoco.mj_step(model, data)
            np.clip(data.qvel, -top, top, out=data.qvel)
            np.clip(data.qpos, path[k] - dt_s * top, path[k] + dt_s * top, out=data.qpos)
        return np.ascontiguousarray(path.reshape(steps, n, joints).swapaxes(0, 1))

    def _build(self, copies: int, dt_s: float) -> None:
        if self._built == (copies, dt_s):
            return
        spec = mujoco.MjSpec()
        spec.option.timestep = dt_s
        short = dt_s <= SHORT_S
        kinds = mujoco.mjtIntegrator
        spec.option.integrator = kinds.mjINT_RK4 if short else kinds.mjINT_IMPLICITFAST
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT.value
        for k in range(copies):
            child = mujoco.MjSpec()
            add_hand(child, self.finger)
            spec.attach(child, prefix=f"{k}_", frame=spec.worldbody.add_frame())
        self._model = spec.compile()
        self._built = copies, dt_s


def _alone(hand: HandSpec, finger: int) -> HandSpec:
    """``hand`` with nothing but its base and finger number ``finger``."""
    names = {hand.joint_names[k] for k in TipKinematics(hand).joints[finger]}
    return replace(
        hand,
        joints=tuple(joint for joint in hand.joints if joint.name in names),
        links=tuple(link for link in hand.links if link.joint is None or link.joint in names),
        tips=(hand.tips[finger],),
        palm_contact=(),
    )
