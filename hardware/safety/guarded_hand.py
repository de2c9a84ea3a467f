"""GuardedHand: a raw hand behind limiter, states, latch and lease. Nothing else may hold the raw hand.

HOLD and STOPPED keep the measured posture, torque on. A palm-down hand that went limp would drop what it holds and let
its fingers fall, and position servos that keep where they are add no energy: stopping means that nothing moves.
``release`` takes torque off in every state; in STOPPED the stop stays latched.

Threads: one lock guards all state and is held for dictionary work and one call of the raw hand, so no call blocks
longer than a cycle. A disk may be slow, so the latch is written outside it: a stop first shuts the gate for commands
(no disk needed), then writes the latch, then acts; ``tick`` goes on meanwhile and brings HOLD at the next cycle, even
where the disk hangs. The latch's own lock only keeps stops and rearms in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core.errors import CommandRefused, DeviceError, KnuckleError, RunError
from knuckle.hardware.safety.config import Config, checked
from knuckle.hardware.safety.joint_guard import JointGuard
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.safety.lease import LeaseDesk
from knuckle.hardware.safety.limiter import CommandTimes, Limiter, NotFinite, Sent
from knuckle.hardware.safety.miss_meter import MissMeter
from knuckle.hardware.safety.quote import quote
from knuckle.hardware.safety.servo_guard import ServoGuard
from knuckle.hardware.safety.states import Event, Machine, State, Transition
from knuckle.hardware.safety.status import SafetyStatus
from knuckle.hardware.safety.wind_down import WindDown
from knuckle.hardware.spec.contracts import Hand, HandCommand, HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec


class GuardedHand:
    """The safe face of ``raw``. ``now_ns`` and all stamps are of the clock that stamps the raw hand's states.

    ``mint`` yields a new lease token at each call (random, or a counter in tests). On construction the raw hand is
    told to hold: the state is HOLD, or STOPPED where ``latch`` is engaged or cannot be judged.
    """

    def __init__(self, raw: Hand, latch: StopLatch, mint: Callable[[], str], config: Config | None = None) -> None:
        self._raw, self._latch, self._desk = raw, latch, LeaseDesk(mint)
        self._config = checked(config or Config())
        self._limiter = Limiter(raw.spec, self._config)
        self._joints = JointGuard(raw.spec, self._config)
        self._servos = ServoGuard(raw.spec, self._config)
        self._misses = MissMeter(raw.spec.control_rate_hz, self._config)
        self._lock, self._latch_lock = Lock(), Lock()
        stopped = latch.engaged()
        self._machine = Machine(State.STOPPED if stopped else State.HOLD, stopped or "start")
        self._stops_under_way = 0
        self._now_ns = self._tick_ns = self._armed_ns = self._accepted_ns = 0
        self._last: Sent | None = None
        self._ran_out = False
        self._ramp: WindDown | None = None
        self._sent = self._clamped = self._refused = 0
        self._device_problem = self._effort_problem = self._latch_problem = self._concern = ""
        self._applied = self._servos.limit
        self._owed: Callable[[], None] | None = raw.hold
        self._pay()

    @property
    def spec(self) -> HandSpec:
        """The raw hand's spec."""
        return self._raw.spec

    def arm(self, commander: str) -> str:
        """Torque on and a new lease for ``commander``, to be shown with every command.

        Raises CommandRefused (another holds the lease, a stop is latched or under way, no good joint state) and
        DeviceError (the raw hand failed; the state stays).
        """
        with self._lock:
            self._desk.check_free(commander)
            self._machine.check(Event.ARM)
            if self._stops_under_way:
                raise CommandRefused("an emergency stop is under way", where="hand/arm", right="hand/rearm first")
            trouble = (
                self._concern
                or self._joints.problem
                or self._servos.trouble()
                or self._device_problem
                or self._effort_problem
            )
            if trouble:
                raise CommandRefused(
                    trouble, where="hand/arm", right="a hand that answers well (hand/rearm acknowledges servos)"
                )
            back = self._raw.hold if self._machine.torque else self._raw.release
            self._servos.engage()
            limit = self._servos.limit
            try:
                self._raw.limit_effort(limit)
                self._applied = limit
                self._raw.arm()
            except KnuckleError as error:
                self._owed, self._device_problem = back, str(error)
                self._pay()
                raise
            lease = self._desk.grant(commander)
            self._machine.fire(Event.ARM, f"armed by {quote(commander)}", self._now_ns)
            self._armed_ns, self._last, self._ran_out, self._ramp = self._tick_ns, None, False, None
            return lease

    def command(
        self, names: Sequence[str], q: ArrayLike, stamp_ns: int, valid_until_ns: int, lease: str, now_ns: int
    ) -> HandCommand:
        """Limit and send targets ``q`` (rad) of the joints ``names``; returns what was really sent and until when

        ``stamp_ns`` is the stamp of the joint state the command answers. Raises CommandRefused (state, lease, age,
        names, NaN) and DeviceError; nothing was written then. NaN, infinity and a failing device lead to HOLD.
        """
        with self._lock:
            self._now_ns = max(self._now_ns, now_ns)
            try:
                return self._command(names, q, CommandTimes(stamp_ns, valid_until_ns, now_ns), lease)
            except KnuckleError as error:
                self._refused += 1
                if isinstance(error, NotFinite | DeviceError):
                    self._fire(Event.FAULT, str(error))
                raise

    def tick(self, now_ns: int) -> HandState | None:
        """One driver cycle: read, judge, expire. Returns the state to publish, None where there is none to believe.

        A bad reading, or a DeviceError of the raw hand, is replaced by the last good one for ``bad_cycles`` cycles,
        then HOLD.
        """
        with self._lock:
            backwards_ns = self._tick_ns - now_ns
            if backwards_ns > 0:
                self._joints.forget()
                self._misses.forget()
                self._fire(Event.FAULT, f"the clock ran backwards by {backwards_ns * 1e-6:.0f} ms")
                self._now_ns = now_ns
            self._tick_ns = now_ns
            self._now_ns = max(self._now_ns, now_ns)
            self._read(now_ns)
            if self._stops_under_way:
                self._fire(Event.FAULT, "an emergency stop is under way")
            self._bound_effort()
            self._watch_silence(now_ns)
            self._pay()
            return self._joints.believed()

    def commander_died(self, name: str) -> bool:
        """The process of commander ``name`` is gone: HOLD where it held the lease. True where it did."""
        with self._lock:
            held = bool(name) and name == self._desk.holder
            if held:
                self._fire(Event.DIED, f"commander {quote(name)} died")
            return held

    def fault(self, reason: str) -> None:
        """HOLD at once, for a ``reason`` that lies outside the hand, one line."""
        with self._lock:
            self._fire(Event.FAULT, reason)

    def concern(self, reason: str) -> None:
        """What is wrong outside the hand and its device (its watchdog), one line, until called with an empty one.

        HOLD, and no arming meanwhile.
        """
        with self._lock:
            self._concern = reason
            if reason:
                self._fire(Event.FAULT, reason)

    def emergency_stop(self, source: str) -> str:
        """Stop: commands refused at once, latch written, posture kept. Returns one line for whoever asked.

        Always stops. Where the latch file cannot be written the line (and the status) says so.
        """
        with self._lock:
            self._stops_under_way += 1
            stamp_ns = self._now_ns
        with self._latch_lock:
            problem = "the stop latch was not written"
            try:
                self._latch.engage(str(source)[:64], stamp_ns)
                problem = ""
            except RunError as error:
                problem = str(error)
            finally:  # whatever became of the latch, the stop acts
                with self._lock:
                    self._stops_under_way -= 1
                    self._latch_problem = problem
                    self._fire(Event.STOP, f"emergency stop by {quote(source)}")
                    said = self._machine.reason
            return f"{said}; {problem}" if problem else said

    def rearm(self, source: str = "operator") -> None:
        """Clear the latched stop: HOLD, or RELEASED where torque is off. Nothing moves; arm afterwards.

        Servos that were lost, failed or released are acknowledged with it, and recover, and so does a device that gives
        no joint states any more. Raises CommandRefused where there is nothing to clear or a servo is still warm,
        DeviceError where servos cannot recover, and RunError where the latch cannot be removed (still STOPPED).
        """
        with self._latch_lock:
            with self._lock:
                stopped = self._machine.state is State.STOPPED
                hurt = bool(self._servos.trouble()) or (self._joints.lost and not stopped)
                if stopped or not hurt:
                    self._machine.check(Event.REARM)
                if hurt:
                    self._servos.check_cool()
                    self._raw.recover()
                    self._servos.acknowledge()
            if not stopped:
                return
            self._latch.clear()
            with self._lock:
                self._latch_problem = ""
                self._fire(Event.REARM, f"stop cleared by {quote(source)}")

    def hold(self, source: str = "operator") -> None:
        """Keep the present posture and end the lease. CommandRefused in RELEASED (arm instead) and STOPPED."""
        with self._lock:
            self._fire(Event.HOLD, f"hold asked by {quote(source)}")

    def release(self, source: str = "operator") -> None:
        """Torque off and the lease ended, in every state; a latched stop stays latched."""
        with self._lock:
            self._fire(Event.RELEASE, f"release asked by {quote(source)}")

    def status(self) -> SafetyStatus:
        """A snapshot of everything worth publishing, as of the newest time seen."""
        with self._lock:
            machine = self._machine
            problems = (
                self._concern,
                self._latch_problem,
                self._device_problem,
                self._effort_problem,
                self._joints.problem,
                self._servos.trouble(),
                self._misses.problem(self._now_ns),
            )
            return SafetyStatus(
                state=machine.state,
                torque=machine.torque,
                holder=self._desk.holder,
                reason=machine.reason,
                since_ns=machine.since_ns,
                changes=machine.changes,
                latched=machine.state is State.STOPPED,
                locked=self._servos.locked,
                problem="; ".join(problem for problem in problems if problem),
                effort_limit=self._servos.limit,
                sent=self._sent,
                clamped=self._clamped,
                refused=self._refused,
                expired=self._misses.total,
                miss_share=self._misses.share(self._now_ns),
                bad_states=self._joints.bad_total,
                command_age_s=max(0, self._now_ns - self._accepted_ns) * 1e-9 if self._sent else math.nan,
            )

    def history(self) -> list[Transition]:
        """The last changes of state, oldest first, 64 at most."""
        with self._lock:
            return list(self._machine.history)

    def _read(self, now_ns: int) -> None:
        """Read and judge the joints and their servos."""
        try:
            reading = self._joints.take(self._raw.read(), now_ns)
        except KnuckleError as error:
            self._joints.miss(str(error))
            reading = None
        if self._joints.lost:
            self._fire(Event.FAULT, self._joints.problem)
        trouble = self._servos.take(reading) if reading is not None else ""
        if trouble:
            self._fire(Event.FAULT, trouble)

    def _command(self, names: Sequence[str], q: ArrayLike, times: CommandTimes, lease: str) -> HandCommand:
        machine = self._machine
        if machine.state is not State.ARMED or self._stops_under_way:
            why = "an emergency stop is under way" if self._stops_under_way else machine.reason
            raise CommandRefused(
                f"the hand is {machine.state.name} ({why})", where="joint_commands", right="a lease from hand/arm"
            )
        self._desk.check(lease)
        measured = self._joints.good
        if measured is None or (times.now_ns - measured.stamp_ns) * 1e-9 > self._config.state_age_s:
            raise CommandRefused(
                "no fresh joint state to limit it by", where="joint_commands", right="a hand that answers"
            )
        limited = self._limiter.limit(names, q, times, measured, self._last)
        ends_ns = self._ramp_begins_ns(limited.command, times.now_ns) + round(self._config.ramp_s * 1e9)
        # The device follows it on to where the ramp ends, so that silence decelerates; alone, it stops then by itself.
        sent = self._raw.send(replace(limited.command, valid_until_ns=ends_ns))
        self._last, self._accepted_ns = Sent(limited.command, limited.speed), times.now_ns
        self._ran_out, self._ramp = False, None
        self._sent += 1
        self._clamped += limited.altered
        return replace(sent, valid_until_ns=limited.command.valid_until_ns)

    def _ramp_begins_ns(self, command: HandCommand, accepted_ns: int) -> int:
        """When a command that no other follows gives way to the deceleration: a cycle later, or in time for HOLD."""
        one_cycle_later = command.valid_until_ns + round(1e9 / self.spec.control_rate_hz)
        return min(one_cycle_later, accepted_ns + round((self._config.silence_s - self._config.ramp_s) * 1e9))

    def _watch_silence(self, now_ns: int) -> None:
        """Where the commander fell silent: the last command for one cycle more, then a ramp, then HOLD in time."""
        if self._machine.state is not State.ARMED:
            return
        config, last = self._config, self._last
        if last is None:
            if now_ns - self._armed_ns >= config.first_command_s * 1e9:
                self._fire(Event.EXPIRED, f"no command within {config.first_command_s:g} s of arming")
            return
        if now_ns > last.command.valid_until_ns and not self._ran_out:
            self._ran_out = True
            self._misses.missed(now_ns)
        begins_ns = self._ramp_begins_ns(last.command, self._accepted_ns)
        measured = self._joints.good
        if now_ns < begins_ns or measured is None:
            return
        if self._ramp is None:
            self._ramp = WindDown(self.spec, begins_ns, config.ramp_s, measured, last.command.q)
        if self._ramp.over(now_ns):
            silent_ms = (now_ns - self._accepted_ns) * 1e-6
            self._fire(Event.EXPIRED, f"{quote(self._desk.holder)} sent no command for {silent_ms:.0f} ms")
            return
        self._slow_down(self._ramp.target(now_ns), last, now_ns)

    def _slow_down(self, target: Array, last: Sent, now_ns: int) -> None:
        """Send a target of the ramp; a command that still comes goes on from there, and from rest."""
        try:
            self._raw.send(HandCommand(now_ns, now_ns + round(self._config.ramp_s * 1e9), target))
        except KnuckleError as error:
            self._fire(Event.FAULT, str(error))
            return
        self._last = Sent(replace(last.command, q=target), np.zeros(self.spec.dof))

    def _bound_effort(self) -> None:
        """Tell the raw hand what each joint may push with, where that has changed; tried again until it has heard."""
        limit = self._servos.limit
        if np.array_equal(limit, self._applied):
            return
        try:
            self._raw.limit_effort(limit)
        except KnuckleError as error:
            self._effort_problem = str(error)
            return
        self._applied, self._effort_problem = limit, ""

    def _fire(self, event: Event, reason: str) -> None:
        """Take an event and act on it: state first, then the raw hand, so that a failing device cannot undo it."""
        machine = self._machine
        had_torque = machine.torque
        moved = machine.fire(event, reason, self._now_ns)
        if moved:
            self._desk.end()
        if machine.torque and moved:
            self._owed = self._raw.hold
        elif had_torque and not machine.torque:
            self._owed = self._raw.release
        self._pay()

    def _pay(self) -> None:
        """Make the call of the raw hand that is owed. A device that fails is tried again at every tick."""
        if self._owed is None:
            return
        try:
            self._owed()
        except KnuckleError as error:
            self._device_problem = str(error)
            return
        self._owed, self._device_problem = None, ""
