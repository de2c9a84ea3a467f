"""The guard against broken states: a simulation whose numbers left the sane range stops, and says where it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import RunError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.scene import Scene

# Positions in m and rad, velocities in m/s and rad/s: nothing on a table comes near.
SANE = 1e4


def require_sane(scene: Scene, data: mujoco.MjData, now_ns: int, folder: Path) -> None:
    """Return where all positions and velocities are finite and sane; else save the state and raise RunError."""
    if _sane(data.qpos) and _sane(data.qvel):
        return
    names = _broken(scene, data)
    try:
        kept = f"the state is saved in {save_state(folder / f'broken_state_{now_ns}.npz', scene, data, now_ns)}"
    except OSError as error:
        kept = f"the state could not be saved in {folder} ({error.strerror})"
    raise RunError(
        f"the simulation broke down at {now_ns / 1e9:.3f} s: {', '.join(names)} not finite or out of range",
        where="world",
        right=kept,
    )


def save_state(path: Path, scene: Scene, data: mujoco.MjData, now_ns: int) -> Path:
    """Write state, targets and names as a plain npz, whole or not at all; the path."""
    return write_fault(
        path,
        stamp_ns=np.array(now_ns, dtype=np.int64),
        qpos=data.qpos,
        qvel=data.qvel,
        ctrl=data.ctrl,
        hand=np.array(scene.hand.name),
        object=np.array(scene.thing.name),
    )


def write_fault(path: Path, **arrays: NDArray[Any]) -> Path:
    """Write ``arrays`` as a plain npz, whole or not at all; the path. OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _sane(values: Array) -> bool:
    return bool((np.abs(values) < SANE).all())


def _broken(scene: Scene, data: mujoco.MjData) -> list[str]:
    """Names of what is broken: joints, the object's pose or its velocity."""
    q, dq = data.qpos[scene.joint_q], data.qvel[scene.joint_v]
    names = [name for name, a, b in zip(scene.hand.joint_names, q, dq, strict=True) if not _sane(np.array([a, b]))]
    if not _sane(data.qpos[scene.object_q]):
        names.append("object pose")
    if not _sane(data.qvel[scene.object_v]):
        names.append("object velocity")
    return names
