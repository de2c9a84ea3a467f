"""GuardedHand: a raw hand behind limiter, states, latch and lease. Nothing else may hold the raw hand.

HOLD and STOPPED keep the measured posture, torque on. A palm-down hand that went limp would drop what it holds and let
its fingers fall, and position servos that keep where they are add no energy: stopping means that nothing moves.
``release`` takes torque off in every state; in STOPPED the stop stays latched.

Threads: one lock guards all state and is held for dictionary work and one call of the raw hand, so no call blocks
longer than a cycle. A disk may be slow, so the latch is written outside it: a stop first shuts the gate for commands
(no disk needed), then writes the latch, then acts; ``tick`` goes on meanwhile, and the silence bound brings HOLD even
where the disk hangs. The latch's own lock only keeps stops and rearms in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from numpy.typing import ArrayLike

from knuckle.core.config import validate
from knuckle.core.errors import CommandRefused, DeviceError, KnuckleError, RunError
from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.joint_guard import JointGuard
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.safety.lease import LeaseDesk
from knuckle.hardware.safety.limiter import CommandTimes, Limiter, NotFinite
from knuckle.hardware.safety.quote import quote
from knuckle.hardware.safety.states import Event, Machine, State, Transition
from knuckle.hardware.spec.contracts import Hand, HandCommand, HandState
from knuckle.hardware.spec.hand_spec import HandSpec


@dataclass(frozen=True)
class SafetyStatus:
    """A snapshot. Counters are since start; times are ns of the hand's clock."""

    state: State
    torque: bool
    """False where servos are limp (RELEASED, or STOPPED and released)."""
    holder: str
    """Who holds the lease; empty where nobody does."""
    reason: str
    """Why the state was entered, one line."""
    since_ns: int
    """When it was entered; 0 at start."""
    changes: int
    """How often the state changed: publish when it differs."""
    latched: bool
    """True while a stop is latched in the driver."""
    problem: str
    """What is wrong now with joints, device or latch file, one line; empty where nothing is."""
    sent: int
    clamped: int
    """Commands that were changed before they were sent."""
    refused: int
    expired: int
    """Commands whose validity ended with no newer one."""
    bad_states: int
    """Joint states that were not used."""
    command_age_s: float
    """Time since the last command was accepted, s; NaN before the first."""


class GuardedHand:
    """The safe face of ``raw``. ``now_ns`` and all stamps are of the clock that stamps the raw hand's states.

    ``mint`` yields a new lease token at each call (random, or a counter in tests). On construction the raw hand is
    told to hold: the state is HOLD, or STOPPED where ``latch`` is engaged or cannot be judged.
    """

    def __init__(self, raw: Hand, latch: StopLatch, mint: Callable[[], str], config: Config | None = None) -> None:
        self._raw, self._latch, self._desk = raw, latch, LeaseDesk(mint)
        self._config = validate(config or Config(), where="safety")
        self._limiter = Limiter(raw.spec, self._config)
        self._joints = JointGuard(raw.spec, self._config)
        self._lock, self._latch_lock = Lock(), Lock()
        stopped = latch.engaged()
        self._machine = Machine(State.STOPPED if stopped else State.HOLD, stopped or "start")
        self._stops_under_way = 0
        self._now_ns = self._tick_ns = self._armed_ns = self._accepted_ns = 0
        self._last: HandCommand | None = None
        self._ran_out = False
        self._sent = self._clamped = self._refused = self._expired = 0
        self._device_problem = self._latch_problem = ""
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
            trouble = self._joints.problem or self._joints.servo_errors() or self._device_problem
            if trouble:
                raise CommandRefused(trouble, where="hand/arm", right="a hand that answers well before it is armed")
            back = self._raw.hold if self._machine.torque else self._raw.release
            try:
                self._raw.arm()
            except KnuckleError as error:
                self._owed, self._device_problem = back, str(error)
                self._pay()
                raise
            lease = self._desk.grant(commander)
            self._machine.fire(Event.ARM, f"armed by {quote(commander)}", self._now_ns)
            self._armed_ns, self._last, self._ran_out = self._tick_ns, None, False
            return lease

    def command(
        self, names: Sequence[str], q: ArrayLike, stamp_ns: int, valid_until_ns: int, lease: str, now_ns: int
    ) -> HandCommand:
        """Limit and send targets ``q`` (rad) of the joints ``names``; returns what was really sent.

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
                self._fire(Event.FAULT, f"the clock ran backwards by {backwards_ns * 1e-6:.0f} ms")
                self._now_ns = now_ns
            self._tick_ns = now_ns
            self._now_ns = max(self._now_ns, now_ns)
            try:
                self._joints.take(self._raw.read(), now_ns)
            except KnuckleError as error:
                self._joints.miss(str(error))
            if self._joints.lost:
                self._fire(Event.FAULT, self._joints.problem)
            errors = self._joints.servo_errors()
            if errors:
                self._fire(Event.FAULT, errors)
            self._expire(now_ns)
            self._pay()
            return self._joints.believed()

    def commander_died(self, name: str) -> bool:
        """The process of commander ``name`` is gone: HOLD where it held the lease. True where it did."""
        with self._lock:
            held = bool(name) and name == self._desk.holder
            if held:
                self._fire(Event.DIED, f"commander {quote(name)} died")
            return held

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

        Raises CommandRefused where no stop is latched, RunError where the file cannot be removed (still STOPPED).
        """
        with self._latch_lock:
            with self._lock:
                self._machine.check(Event.REARM)
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
            problems = (self._latch_problem, self._device_problem, self._joints.problem, self._joints.servo_errors())
            return SafetyStatus(
                state=machine.state,
                torque=machine.torque,
                holder=self._desk.holder,
                reason=machine.reason,
                since_ns=machine.since_ns,
                changes=machine.changes,
                latched=machine.state is State.STOPPED,
                problem="; ".join(problem for problem in problems if problem),
                sent=self._sent,
                clamped=self._clamped,
                refused=self._refused,
                expired=self._expired,
                bad_states=self._joints.bad_total,
                command_age_s=max(0, self._now_ns - self._accepted_ns) * 1e-9 if self._sent else math.nan,
            )

    def history(self) -> list[Transition]:
        """The last changes of state, oldest first, 64 at most."""
        with self._lock:
            return list(self._machine.history)

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
        sent = self._raw.send(limited.command)
        self._last, self._accepted_ns, self._ran_out = limited.command, times.now_ns, False
        self._sent += 1
        self._clamped += limited.altered
        return sent

    def _expire(self, now_ns: int) -> None:
        """HOLD where the commander fell silent: one cycle after validity ended, and never later than the bound."""
        if self._machine.state is not State.ARMED:
            return
        config, last = self._config, self._last
        if last is None:
            if now_ns - self._armed_ns >= config.first_command_s * 1e9:
                self._fire(Event.EXPIRED, f"no command within {config.first_command_s:g} s of arming")
            return
        if now_ns > last.valid_until_ns and not self._ran_out:
            self._ran_out = True
            self._expired += 1
        silent_ns = now_ns - self._accepted_ns
        one_cycle_ns = 1e9 / self.spec.control_rate_hz
        if now_ns >= last.valid_until_ns + one_cycle_ns or silent_ns >= config.silence_s * 1e9:
            self._fire(Event.EXPIRED, f"{quote(self._desk.holder)} sent no command for {silent_ns * 1e-6:.0f} ms")

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
