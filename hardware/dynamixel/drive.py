"""One cycle of the servo loop: read all, judge, decide goals and torque, write, ask one servo how it is.

Orders come from other threads and are taken at the next cycle. What was ordered before a fault is never taken up again:
a servo that falls silent, restarts or is stopped by its own bus watchdog leaves the whole hand holding where it is, and
only a new ``arm``, after ``recover`` where a servo was lost, lets targets through.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.drive_profile import DriveProfile
from knuckle.hardware.dynamixel.faults import hardware_error_text
from knuckle.hardware.dynamixel.servo_group import Present, ServoGroup
from knuckle.hardware.dynamixel.servo_poll import ServoPoll
from knuckle.hardware.dynamixel.servo_recovery import ServoRecovery
from knuckle.hardware.dynamixel.servo_watch import ServoWatch
from knuckle.hardware.dynamixel.torque_ramp import TorqueRamp
from knuckle.hardware.dynamixel.units import Ints, JointScale
from knuckle.hardware.spec.contracts import HandCommand, HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec

Mask = NDArray[np.bool_]

FULL_PWM = 885
REWRITE_CYCLES = 25
"""A group write is answered by nobody, so one that was lost is made good after this many cycles."""

BEYOND_PULSES = 40
"""A joint that gave this much beyond its limit is held at the limit; farther off torque never goes on (0.06 rad)."""

RELEASED, HOLDING, ARMED = "released", "holding", "armed"


@dataclass
class _Orders:
    """What other threads want: the mode, the newest target, whether to begin from the measured posture, and whether
    torque is to go on where it may."""

    mode: str = RELEASED
    engage: bool = False
    target: HandCommand | None = None
    stay: bool = True
    recover: bool = False
    fault: str = ""


class Drive:
    """The servos of ``spec`` in ``group``, configured by ``profile`` and calibrated by ``scale``.

    ``cycle`` belongs to the thread that owns the bus; every other method may come from any.
    """

    def __init__(
        self, spec: HandSpec, group: ServoGroup, profile: DriveProfile, scale: JointScale, config: DriveConfig
    ) -> None:
        self.spec, self.scale, self.config = spec, scale, config
        self.group, self.profile = group, profile
        self.watch = ServoWatch(spec.dof, config.lost_cycles)
        self.poll = ServoPoll(group, profile, config.watchdog_ms)
        self.ramp = TorqueRamp(spec.dof, config)
        self.recovery = ServoRecovery(spec, group, profile, scale, config, self.watch, self.poll)
        self.state: HandState | None = None
        """The newest reading in which every servo that is not lost took part."""
        self.cycles = 0
        self._lock = Lock()
        self._orders = _Orders()
        self._limit = spec.effort_limit.copy()
        self._position = np.zeros(spec.dof, dtype=np.int64)
        self._velocity, self._current = self._position.copy(), self._position.copy()
        self._goals = self._position.copy()
        ends = np.stack([scale.pulses(spec.lower), scale.pulses(spec.upper)])
        self._lowest, self._highest = ends.min(axis=0), ends.max(axis=0)
        self._alert = np.zeros(spec.dof, dtype=np.bool_)
        self._engaged = np.zeros(spec.dof, dtype=np.bool_)
        self._effort_sent: NDArray[np.int64] | None = None
        self._now_ns: int | None = None

    # -- orders, from any thread --------------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """``released``, ``holding`` or ``armed``."""
        return self._orders.mode

    @property
    def fault(self) -> str:
        """What made the hand hold by itself, one line; empty where nothing did since it was last armed."""
        return self._orders.fault

    @property
    def effort_limit(self) -> Array:
        """What each joint may push with, N m, (dof,)."""
        with self._lock:
            return self._limit.copy()

    def follow(self, command: HandCommand) -> HandCommand:
        """Take a target; what will be written for it, clipped to the limits and rounded to pulses.

        Raises CommandRefused where the hand is not armed or a target is missing or not finite, DeviceError after a
        fault.
        """
        q = np.asarray(command.q, dtype=np.float64)
        if q.shape != (self.spec.dof,) or not np.isfinite(q).all():
            raise CommandRefused(f"targets {q.tolist()}", where=self.spec.name, right=f"{self.spec.dof} finite angles")
        q = self.scale.joint(self.scale.pulses(np.clip(q, self.spec.lower, self.spec.upper)))
        sent = HandCommand(command.stamp_ns, command.valid_until_ns, q)
        with self._lock:
            if self._orders.fault:
                raise DeviceError(self._orders.fault, where=self.spec.name, right="recover, then arm it again")
            if self._orders.mode != ARMED:
                raise CommandRefused(f"the hand is {self._orders.mode}", where=self.spec.name, right="arm it first")
            self._orders.target, self._orders.stay = sent, False
        return sent

    def order(self, mode: str) -> None:
        """Go to ``mode`` and keep the posture of that moment; ``ARMED`` alone puts torque on.

        Raises DeviceError: armed with a servo lost or in error.
        """
        with self._lock:
            if mode == ARMED:
                unfit = self.watch.lost | (self.poll.error != 0)
                if unfit.any():
                    who = self._who(unfit, "lost or in error")
                    raise DeviceError(who, where=self.spec.name, right="recover it first")
                if (beyond := self._beyond()).any():
                    who = self._who(beyond, "beyond its limits")
                    raise DeviceError(
                        who, where=self.spec.name, right="move it back by hand, or knuckle calibrate home"
                    )
                self._orders.fault = ""
            self._orders.engage = mode == ARMED
            self._orders.mode, self._orders.target, self._orders.stay = mode, None, True

    def limit_effort(self, limit: Array) -> None:
        """Bound torques, N m, (dof,); 0 takes torque off a joint, until it is armed with another limit."""
        bounded = np.clip(np.asarray(limit, dtype=np.float64), 0.0, self.spec.effort_limit)
        if bounded.shape != (self.spec.dof,) or not np.isfinite(bounded).all():
            raise DeviceError(
                f"torque limits {bounded.tolist()}", where=self.spec.name, right=f"{self.spec.dof} numbers"
            )
        with self._lock:
            self._limit = bounded

    def recover(self) -> None:
        """Set lost servos up anew in the next cycles, one a cycle; one in error is restarted first.

        Raises DeviceError where one does not answer yet.
        """
        with self._lock:
            away = self.recovery.away
            if away.any():
                who = self._who(away, "still silent")
                raise DeviceError(who, where=self.spec.name, right="its power and its cable")
            self._orders.recover = True

    # -- the cycle, in the bus's thread -------------------------------------------------------------------------------

    def cycle(self, now_ns: int) -> None:
        """One cycle, at ``now_ns`` of the clock that stamps states and that commands expire by."""
        dt_s = 0.0 if self._now_ns is None else (now_ns - self._now_ns) * 1e-9
        self._now_ns = now_ns
        missed = self.group.bus.counts.missed
        present = self.group.present(~self.watch.silent)
        self._take(present)
        silenced = self.watch.cycle(present.answered)
        if silenced.any():
            self.ramp.turned_off(silenced)
            self._freeze(self._who(silenced, "silent"))
        self._look()
        self.recovery.probe(self.cycles)
        self._recover()
        if (present.answered | self.watch.silent).all():
            self._publish(now_ns)
        self._drive(dt_s, now_ns)
        self.watch.missed_packets(self.group.bus.counts.missed - missed, now_ns)
        self.cycles += 1

    def torque_off(self) -> None:
        """Torque off for all servos, at once: the end of the driver."""
        everyone = np.ones(self.spec.dof, dtype=np.bool_)
        self.group.fill("torque_enable", 0, everyone)
        self.ramp.turned_off(everyone)

    def _take(self, present: Present) -> None:
        for kept, fresh in (
            (self._position, present.position),
            (self._velocity, present.velocity),
            (self._current, present.current),
        ):
            kept[:] = np.where(present.answered, fresh, kept)
        self._alert = np.where(present.answered, present.alert, self._alert)

    def _publish(self, stamp_ns: int) -> None:
        before = self.state
        self.state = HandState(
            stamp_ns=stamp_ns,
            seq=1 if before is None else before.seq + 1,
            q=self.scale.joint(self._position),
            dq=np.where(self.watch.silent, 0.0, self.scale.velocity(self._velocity)),
            effort=np.where(self.ramp.on, self.scale.effort(self._current), 0.0),
            temperature=self.poll.temperature.copy(),
            # One that was told to restart keeps the error that it is restarted for until it is back.
            error=self.poll.error | np.where(self.recovery.restarting, 0, self.watch.bits).astype(np.int32),
        )

    def _look(self) -> None:
        """The slow poll, and what it finds."""
        self.poll.look(self._alert, ~self.watch.silent & (self.watch.misses == 0), self.ramp.on)
        for n in np.flatnonzero(self.poll.changed & ~self.watch.lost):
            if self.watch.settings_lost(int(n)):
                lost = np.arange(self.spec.dof) == n
                self.ramp.turned_off(lost)
                self._freeze(self._who(lost, "not as it was set up: restarted, or written to by somebody else"))
        stopped = self.poll.expired & self.ramp.on
        if stopped.any():
            self._freeze(self._who(stopped, "stopped by its bus watchdog"))
        failed = (self.poll.error != 0) & self.ramp.on
        if failed.any():
            text = ", ".join(sorted({hardware_error_text(int(e)) for e in self.poll.error[failed]}))
            # It stays limp until recover: a servo that protects itself is not to be overruled.
            self.group.fill("torque_enable", 0, failed)
            self.ramp.turned_off(failed)
            self._freeze(self._who(failed, f"in error ({text})"))

    def _freeze(self, why: str) -> None:
        """Hold where the hand is; nothing that was ordered before counts any more."""
        with self._lock:
            orders = self._orders
            orders.fault = orders.fault or why
            orders.target, orders.stay = None, True
            if orders.mode == ARMED:
                orders.mode = HOLDING

    def _recover(self) -> None:
        """Take a servo back where that was ordered; alert bits are those of its next answer."""
        with self._lock:
            begin, self._orders.recover = self._orders.recover, False
        if begin:
            self.recovery.begin()
        trouble = self.recovery.step()
        self._alert &= ~self.watch.lost
        if trouble:
            with self._lock:
                self._orders.fault = trouble

    # -- torque and goals ---------------------------------------------------------------------------------------------

    def _drive(self, dt_s: float, stamp_ns: int) -> None:
        with self._lock:
            orders = self._orders
            if orders.target is not None and stamp_ns > orders.target.valid_until_ns:
                orders.target, orders.stay = None, True
            mode, target, limit = orders.mode, orders.target, self._limit.copy()
            stay, orders.stay = orders.stay, False
            engage, orders.engage = orders.engage, False
        if target is not None:
            self._goals = self.scale.pulses(target.q)
        elif stay:
            self._goals = self._here()
        releasing = mode == RELEASED
        may = (limit > 0.0) & ~self.watch.lost & (self.poll.error == 0)
        self._engaged = may & (self._engaged | engage)
        if releasing and self.ramp.down:
            self._engaged = np.zeros_like(may)
        self._torque_off(self.ramp.on & ~self._engaged)
        # Only where this cycle's own reading says where the joint is, and that is where it may be.
        self._torque_on(self._engaged & (self.watch.misses == 0) & ~self._beyond() & ~self.ramp.on)
        self.ramp.advance(dt_s, releasing=releasing)
        stopped = self.poll.expired & self.ramp.on
        if stopped.any() and mode == HOLDING:
            # What its own watchdog stopped holds; goals are taken again, from where it stands.
            self.poll.expired &= ~self.group.rewind_watchdog(self.config.watchdog_ms, self._goals, stopped)
        self._write_effort(limit)
        # A silent servo may hear all the same: its goal is frozen and its torque taken off like the others'.
        silent = self.watch.silent
        self.group.write("goal_position", self._goals, self.ramp.on | silent)
        if releasing and silent.any() and not self.ramp.on.any():
            self.group.fill("torque_enable", 0, silent)

    def _here(self) -> Ints:
        """The measured posture as goals, in pulses, never beyond the limits.

        A joint under torque that reads far beyond them, by its reading or by force, keeps the goal that it has.
        """
        inside = np.clip(self._position, self._lowest, self._highest)
        return np.where(self._beyond() & self.ramp.on, self._goals, inside)

    def _beyond(self) -> Mask:
        """Joints that stand beyond their limits by more than a little."""
        far: Mask = np.abs(np.clip(self._position, self._lowest, self._highest) - self._position) > BEYOND_PULSES
        return far

    def _torque_on(self, joints: Mask) -> None:
        """Torque on at the measured posture and at the low end of the ramp, with the watchdog set; all read back."""
        if not joints.any():
            return
        self._goals = np.where(joints, self._here(), self._goals)
        watched = self.group.rewind_watchdog(self.config.watchdog_ms, self._goals, joints)
        self.ramp.turned_on(joints)
        self._effort_sent = None
        self._write_effort(self._limit)
        self.group.fill("torque_enable", 1, joints & watched)
        driven = self.group.hold("torque_enable", 1, joints & watched)
        self.poll.expired &= ~driven
        failed = joints & ~driven
        if failed.any():
            self.group.fill("torque_enable", 0, failed)
            self.ramp.turned_off(failed)
            for n in np.flatnonzero(failed):
                self.watch.settings_lost(int(n))
            self._freeze(self._who(failed, "not taking torque"))

    def _torque_off(self, joints: Mask) -> None:
        if not joints.any():
            return
        self.group.fill("torque_enable", 0, joints)
        limp = self.group.hold("torque_enable", 0, joints)
        # One that did not say so is asked again in the next cycle; one that is lost cannot be.
        self.ramp.turned_off(limp | (joints & self.watch.lost))

    def _write_effort(self, limit: Array) -> None:
        """Bound each servo's torque: by goal current where the mode has one, else by the share of the voltage."""
        share = self.ramp.share * limit / self.spec.effort_limit
        if self.profile.current is not None:
            name, full = "goal_current", self.profile.current[self.group.model.number]
        else:
            name, full = "goal_pwm", FULL_PWM
        units = np.rint(full * share).astype(np.int64)
        sent = self._effort_sent
        if sent is None or not np.array_equal(units, sent) or self.cycles % REWRITE_CYCLES == 0:
            self.group.write(name, units, self.ramp.on)
            self._effort_sent = units

    def _who(self, chosen: Mask, how: str) -> str:
        names = [f"{self.group.ids[n]} ({self.spec.joint_names[n]})" for n in np.flatnonzero(chosen)]
        if len(names) == self.spec.dof:
            return f"all {len(names)} servos are {how}"
        return f"servo {', '.join(names)} {'is' if len(names) == 1 else 'are'} {how}"
