"""The simulated world: passive and deterministic. It has no clock and never sleeps; `advance` steps it to a given time.

It is a Hand (`read send arm hold release`), knows the truth about the object, and shows its state to cameras. Calls may
come from several threads: each takes the world's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Literal, get_args

import numpy as np

from knuckle.core.errors import CommandRefused, InputError, RunError, unknown_name
from knuckle.hardware.spec.contracts import HandCommand, HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import base_to_world, tip_positions
from knuckle.sim.contact_facts import ContactFacts, contact_facts
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import cut_joint_rates
from knuckle.sim.intruder import Intruder
from knuckle.sim.placement import TRIES, draw_start, lies_in_hand
from knuckle.sim.scene import Scene, execution_scene, without_table
from knuckle.sim.state_guard import require_sane

STEPS_PER_S = 120
SETTLING_STEPS = STEPS_PER_S
DROP_DISTANCE = 0.15
# In the air: when the table goes, counted from the end of the settling, and how far below the lowest fingertip is lost.
TABLE_REMOVAL_S = 2.0
DROP_BELOW_TIPS = 0.05

Mode = Literal["hold", "armed", "released"]
Surface = Literal["table", "air"]


@dataclass(frozen=True)
class ObjectTruth:
    """The object at ``stamp_ns``, world frame: centre of mass ``position`` m, ``quaternion`` w x y z, ``velocity`` m/s
    and ``spin`` rad/s, along the world's axes.
    """

    stamp_ns: int
    position: Array
    quaternion: Array
    velocity: Array
    spin: Array


def is_dropped(hand: HandSpec, q: Array, position: Array, start: Array, *, in_air: bool) -> bool:
    """The protocol's drop: ``position`` more than 0.15 m from ``start``, or in the air 5 cm below the lowest fingertip
    (world frame, m; ``q`` (dof,) rad)."""
    if float(np.linalg.norm(position - start)) > DROP_DISTANCE:
        return True
    return in_air and bool(position[2] < base_to_world(hand, tip_positions(hand, q))[:, 2].min() - DROP_BELOW_TIPS)


class SimWorld:
    """One hand over one object. Starts reset with ``seed``, holding the home posture, at ``start_ns``.

    ``surface`` is ``table``, or ``air``: there the table is taken away 2 s after a reset. ``fault_folder`` is where the
    state is saved should the simulation break down. ``intruder`` is seen by cameras, and touches nothing.
    InputError for an unknown object or surface.
    """

    def __init__(
        self,
        hand: HandSpec,
        object_name: str,
        *,
        seed: int = 0,
        start_ns: int = 0,
        surface: str = "table",
        fault_folder: Path | None = None,
    ) -> None:
        if surface not in get_args(Surface):
            raise unknown_name("surface", surface, get_args(Surface), where="world")
        if surface == "air" and hand.palm_up:
            what = f"the palm of hand {hand.name} faces up: there is no table to be taken away from under the object"
            raise InputError(what, where="world", right="surface table, or a hand that hangs palm down")
        self._hand = hand
        self._surface = surface
        self._lock = RLock()
        self._start_ns, self._steps, self._seq = start_ns, 0, 0
        self._mode: Mode = "hold"
        self._deadline_ns: int | None = None
        self._effort_limit = hand.effort_limit
        self._fault_folder = fault_folder if fault_folder is not None else Path()
        self.intruder: Intruder | None = None
        self._load(object_name)
        self.reset(seed)

    @property
    def spec(self) -> HandSpec:
        """What hand this is."""
        return self._hand

    @property
    def scene(self) -> Scene:
        """The scene that runs; `reset` with another object, and the table's removal, replace it."""
        return self._scene

    @property
    def object_name(self) -> str:
        """The object on the table."""
        return self._scene.thing.name

    @property
    def now_ns(self) -> int:
        """The world's time: that of the state just reached. It never goes back, not even at a reset."""
        return self._start_ns + self._steps * 1_000_000_000 // STEPS_PER_S

    @property
    def mode(self) -> Mode:
        """``armed`` follows commands, ``hold`` keeps a posture, ``released`` is limp."""
        return self._mode

    @property
    def valid_until_ns(self) -> int | None:
        """Until when the command in force holds; None where none is."""
        return self._deadline_ns

    def advance(self, to_ns: int) -> int:
        """Step physics up to ``to_ns``, never beyond; the number of steps done.

        A command that is void at the beginning of a step is dropped, and the hand keeps its posture of that moment
        until another comes. RunError, with the state saved, where the simulation breaks down.
        """
        with self._lock:
            before = self._steps
            while self._start_ns + (self._steps + 1) * 1_000_000_000 // STEPS_PER_S <= to_ns:
                if self._steps == self._removal_step:
                    self._remove_table()
                if self._deadline_ns is not None and self.now_ns > self._deadline_ns:
                    self._stay(self._mode)
                self._step()
                self._steps += 1
            return self._steps - before

    def reset(self, seed: int | np.random.Generator, object_name: str | None = None) -> None:
        """Begin anew: object drawn with ``seed`` (another object if named), hand at home, 1 s of settling.

        Time stands still meanwhile. The mode stays; the command in force is dropped and home is held.
        """
        with self._lock:
            if self._removed or (object_name is not None and object_name != self.object_name):
                self._load(object_name if object_name is not None else self.object_name)
            rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
            self._deadline_ns = None
            self._torque(on=True)
            for _ in range(TRIES):
                self._settle(draw_start(self._scene, self._data, rng))
                if lies_in_hand(self._hand, self.object_truth().position):
                    break
            else:
                what = f"{self.object_name} did not come to lie in the hand in {TRIES} tries"
                raise RunError(what, where="world", right="a smaller object")
            self._torque(on=self._mode != "released")
            self._start_position = self.object_truth().position
            self._removal_step = self._steps + round(TABLE_REMOVAL_S * STEPS_PER_S) if self._surface == "air" else -1

    def _settle(self, start: Array) -> None:
        """A second from the state ``start`` (nstate,) on, the hand holding home."""
        mujoco.mj_resetData(self._scene.model, self._data)
        self._scene.write_state(self._data, start)
        self._data.ctrl[:] = self._hand.home
        for _ in range(SETTLING_STEPS):
            self._step()

    def read(self) -> HandState:
        """The joints now. Temperature is not simulated (NaN); a simulated servo reports no errors (0)."""
        with self._lock:
            self._seq += 1
            dof = self._hand.dof
            return HandState(
                stamp_ns=self.now_ns,
                seq=self._seq,
                q=self._data.qpos[self._scene.joint_q].copy(),
                dq=self._data.qvel[self._scene.joint_v].copy(),
                effort=np.zeros(dof) if self._mode == "released" else self._data.actuator_force.copy(),
                temperature=np.full(dof, np.nan),
                error=np.zeros(dof, dtype=np.int32),
            )

    def send(self, command: HandCommand) -> HandCommand:
        """Follow ``command`` until it is void; the targets cut to the joint limits are returned.

        CommandRefused where the hand is not armed, a target is missing or not finite, or the command is void already.
        """
        with self._lock:
            q = np.asarray(command.q, dtype=np.float64)
            if self._mode != "armed":
                raise CommandRefused(f"the hand is in mode {self._mode}", where="simulated hand", right="arm it first")
            if q.shape != (self._hand.dof,) or not np.isfinite(q).all():
                right = f"{self._hand.dof} finite angles in rad"
                raise CommandRefused(f"targets {q.tolist()}", where="simulated hand", right=right)
            if command.valid_until_ns < self.now_ns:
                late = (self.now_ns - command.valid_until_ns) / 1e6
                raise CommandRefused(f"void since {late:.1f} ms", where="simulated hand", right="a fresh command")
            sent = np.clip(q, self._hand.lower, self._hand.upper)
            self._data.ctrl[:] = sent
            self._deadline_ns = command.valid_until_ns
            return HandCommand(command.stamp_ns, command.valid_until_ns, sent)

    def arm(self) -> None:
        """Torque on, holding the measured posture; commands are followed from now on."""
        self._stay("armed")

    def hold(self) -> None:
        """Torque on, keeping the present posture; commands are refused until the hand is armed again."""
        self._stay("hold")

    def release(self) -> None:
        """Torque off: the fingers sink."""
        self._stay("released")

    def limit_effort(self, limit: Array) -> None:
        """Bound each joint's torque, (dof,), N m; 0 leaves a joint limp."""
        with self._lock:
            self._effort_limit = np.clip(np.asarray(limit, dtype=np.float64), 0.0, self._hand.effort_limit)
            self._bound_effort()

    def recover(self) -> None:
        """Nothing: a simulated servo is never lost."""

    def object_truth(self) -> ObjectTruth:
        """The object's true pose, velocity and spin."""
        with self._lock:
            state = self._scene.state_of(self._data)
            position, quaternion = self._scene.object_pose_of(state)
            velocity, spin = self._scene.object_twist_of(state)
            return ObjectTruth(self.now_ns, position.copy(), quaternion.copy(), velocity.copy(), spin)

    def dropped(self) -> bool:
        """Whether the object's centre is more than 0.15 m from where the episode began, or in the air 5 cm below the
        lowest fingertip."""
        with self._lock:
            q = self._data.qpos[self._scene.joint_q]
            return is_dropped(self._hand, q, self.object_truth().position, self._start_position, in_air=self._removed)

    def contact_facts(self) -> ContactFacts:
        """What touches the object, at the beginning of the last step."""
        with self._lock:
            return contact_facts(self._scene, self._data)

    def snapshot(self) -> tuple[int, Scene, Array]:
        """Time, scene and state vector (nstate,) of one moment: what a camera needs."""
        with self._lock:
            return self.now_ns, self._scene, self._scene.state_of(self._data)

    def _load(self, object_name: str) -> None:
        self._scene = execution_scene(self._hand, object_name)
        # A broken state must be seen, not silently replaced by the initial one.
        self._scene.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET.value
        self._data = self._scene.new_data()
        self._removed = False
        self._bound_effort()

    def _bound_effort(self) -> None:
        bounds = np.stack([-self._effort_limit, self._effort_limit], axis=1)
        self._scene.model.actuator_forcerange[:] = bounds

    def _remove_table(self) -> None:
        """Go on with the same state and targets in a scene without the table."""
        self._scene = without_table(self._scene)
        self._removed = True

    def _stay(self, mode: Mode) -> None:
        with self._lock:
            limits = self._hand.lower, self._hand.upper
            self._data.ctrl[:] = np.clip(self._data.qpos[self._scene.joint_q], *limits)
            self._mode, self._deadline_ns = mode, None
            self._torque(on=mode != "released")

    def _torque(self, *, on: bool) -> None:
        if on:
            self._scene.model.opt.disableflags &= ~mujoco.mjtDisableBit.mjDSBL_ACTUATION.value
        else:
            self._scene.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ACTUATION.value

    def _step(self) -> None:
        mujoco.mj_step(self._scene.model, self._data)
        cut_joint_rates(self._data.qvel[self._scene.joint_v], self._hand)
        require_sane(self._scene, self._data, self.now_ns, self._fault_folder)
