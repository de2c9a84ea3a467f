"""One control step of many worlds: a call of `mujoco.rollout` over buffers that are laid out once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco, rollout
from knuckle.sim.reorient.physics import control_substeps
from knuckle.sim.scene import Scene, require_one_signature

_CONTROL = mujoco.mjtState.mjSTATE_CTRL.value
_FORCES = mujoco.mjtState.mjSTATE_CTRL.value | mujoco.mjtState.mjSTATE_QFRC_APPLIED.value

# As in the released code: a force is applied to one physics step of 1/60 s in each control step.
PUSH_S = 1.0 / 60.0


class Stepper:
    """Steps ``scenes``, one a world, in ``threads`` threads. RunError where their models differ in size.

    ``states`` (N, nstate) is where the worlds are; write to it to put a world elsewhere. ``before`` is where they were
    before the last step, ``given`` (N, substeps, controls) and ``given_spec`` what that step was given. Deterministic:
    neither the number of threads nor the other worlds change what a world does.
    """

    def __init__(self, scenes: list[Scene], threads: int) -> None:
        require_one_signature(scenes)
        self.scenes, self.threads, first = scenes, threads, scenes[0]
        self.substeps = control_substeps(first)
        self.models = [scene.model for scene in scenes]
        for model in self.models:
            # A broken state must be seen, not silently replaced by the initial one.
            model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET.value
        n, nu, nv = len(scenes), int(first.model.nu), int(first.model.nv)
        self.states: Array = np.zeros((n, first.nstate))
        self.before: Array = np.zeros((n, first.nstate))
        self._path = np.zeros((n, self.substeps, first.nstate))
        self._sensed = np.zeros((n, self.substeps, int(first.model.nsensordata)))
        self._targets = np.zeros((n, self.substeps, nu))
        self._forced = np.zeros((n, self.substeps, nu + nv))
        self.given: Array = self._targets
        self.given_spec: int = _CONTROL
        push = slice(nu + first.object_v.start, nu + first.object_v.start + 3)
        self._push = self._forced[:, : max(1, round(PUSH_S / first.dt_s)), push]
        self._data = [mujoco.MjData(first.model) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)

    @property
    def sensors(self) -> Array:
        """What the sensors read at the beginning of the last physics step, (N, nsensordata)."""
        return np.asarray(self._sensed[:, -1])

    def advance(self, target: Array, force: Array | None = None) -> Array:
        """One control step under joint ``target`` (N, dof), with ``force`` (N, 3) in N, world frame, on the objects'
        centres for the first `PUSH_S` of it.

        The new states, which are also those of `states`; they are valid until the next call.
        """
        self.before[:] = self.states
        if force is None:
            self.given_spec, self.given = _CONTROL, self._targets
        else:
            self.given_spec, self.given = _FORCES, self._forced
            self._push[:] = force[:, None]
        self.given[..., : target.shape[1]] = target[:, None]
        # Shapes, types and sizes are right by construction: nothing is left to check.
        self._pool.rollout(
            self.models,
            self._data,
            self.before,
            self.given,
            control_spec=self.given_spec,
            skip_checks=True,
            nstep=self.substeps,
            state=self._path,
            sensordata=self._sensed,
        )
        self.states[:] = self._path[:, -1]
        return self.states

    def roll(self, worlds: NDArray[np.intp], states: Array, target: Array, seconds: float) -> Array:
        """Where ``worlds`` would be ``seconds`` after ``states`` (n, nstate) under one joint ``target`` (n, dof).

        A side view: `states` of this stepper stay as they are.
        """
        steps = round(seconds / self.scenes[0].dt_s)
        control = np.repeat(target[:, None], steps, axis=1)
        path, _ = self._pool.rollout([self.models[k] for k in worlds], self._data, states, control)
        return np.ascontiguousarray(path[:, -1])

    def close(self) -> None:
        """End the threads."""
        self._pool.close()
