"""An independent judge of the bytes that reach the servos: every write that could harm is counted, with its reason.

It shares no code with the driver, the safety layer or the virtual servos: it takes packets apart by itself, in
`monitor_decoder.py`, and compares what is written with an envelope of its own.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.virtual.monitor_decoder import Decoder, RawWrite

TORQUE_ENABLE, GOAL_CURRENT, GOAL_POSITION = 64, 102, 116
_SIZE = {TORQUE_ENABLE: 1, GOAL_CURRENT: 2, GOAL_POSITION: 4}
_WATCHED_FROM, _WATCHED_TO = 100, 120  # goals; nothing but whole ones may be written here
_INDIRECT = 168
_KEPT_VIOLATIONS = 1_000

Period = Literal["free", "hold", "stop"]


@dataclass(frozen=True)
class Bounds:
    """What may be written to one servo, in pulses: the goal's ``lower`` and ``upper``, its distance from the true
    position while torque is on (``reach``), its change in one write (``step``) and over time (``speed`` a second), and
    the largest ``current`` in the servo's units (None: any)."""

    lower: float
    upper: float
    reach: float
    step: float
    speed: float
    current: int | None = None


@dataclass(frozen=True)
class Envelope:
    """Bounds by servo id. ``torque_reach`` bounds how far the goal may lie when torque goes on, pulses; ``drift`` how
    much a goal may change while the hand is to hold; ``window_s`` is the time over which speed is taken, and
    ``cycle_s`` how much earlier than its time a goal may come."""

    servos: dict[int, Bounds]
    torque_reach: float = 40.0
    drift: float = 3.0
    window_s: float = 0.1
    cycle_s: float = 0.02

    @classmethod
    def of_hand(
        cls,
        hand: HandSpec,
        *,
        reach: float | None = None,
        step: float | None = None,
        speed: float | None = None,
        current: int | None = None,
    ) -> Envelope:
        """The joint limits of ``hand``; ``reach`` and ``step`` in rad, ``speed`` in rad/s, the same for all joints.

        Unless given, a goal may lie as far off as the policy's speed goes in one and a quarter control cycles and the
        joint in 0.1 s, may move as fast as a full reversal of both and a third, and as far at once as in one and a
        half control cycles. A command's goals come at once: a control cycle before a servo that moved evenly.
        """
        turn = 4096 / (2.0 * math.pi)
        servos = {}
        for joint in hand.joints:
            fast = 4.0 / 3.0 * (2.0 * hand.policy_speed + joint.velocity_limit) if speed is None else speed
            off = 1.25 * hand.policy_speed / hand.control_rate_hz + 0.1 * joint.velocity_limit
            off = off if reach is None else reach
            at_once = 1.5 * fast / hand.control_rate_hz if step is None else step
            ends = [2048 + turn * (joint.servo_offset + joint.sign * q) for q in (joint.lower, joint.upper)]
            servos[joint.servo_id] = Bounds(
                min(ends) - 1.0, max(ends) + 1.0, off * turn, at_once * turn, fast * turn, current
            )
        return cls(servos, cycle_s=cls.cycle_s + 1.0 / hand.control_rate_hz)


@dataclass(frozen=True)
class Truth:
    """What the monitor may know of the servos besides the bytes: by id, the true position in pulses, the goal they
    hold, and whether torque is on."""

    position: Callable[[int], int]
    goal: Callable[[int], int]
    torque: Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Write:
    """One register written to one servo: ``address``, and ``value`` as a signed number."""

    stamp_ns: int
    servo: int
    address: int
    value: int


@dataclass(frozen=True)
class Violation:
    """A write that was unsafe, and why."""

    write: Write
    reason: str
    detail: str


@dataclass
class _Servo:
    """What was written to one servo lately."""

    goals: deque[tuple[int, int]] = field(default_factory=deque)
    anchor: int | None = None


class ServoMonitor:
    """Judges the bytes of one bus. ``observe`` is a tap of the bus; queries may come from other threads.

    The last ``keep`` writes can be asked for: half a minute of a hand at 100 Hz unless said.
    """

    def __init__(self, envelope: Envelope, truth: Truth, *, keep: int = 50_000) -> None:
        self.envelope, self._truth = envelope, truth
        self.reasons: Counter[str] = Counter()
        self._decoder = Decoder()
        self._servos = {id: _Servo() for id in envelope.servos}
        self._writes: deque[Write] = deque(maxlen=keep)
        self._violations: deque[Violation] = deque(maxlen=_KEPT_VIOLATIONS)
        self._period: Period = "free"
        self._from_ns = 0
        self._last_ns: int | None = None
        self._moved_ns: int | None = None
        self._lock = Lock()
        self.packets = 0

    # -- what tests ask -----------------------------------------------------------------------------------------------

    @property
    def unsafe_writes(self) -> int:
        """How many writes were unsafe."""
        return sum(self.reasons.values())

    def violations(self) -> list[Violation]:
        """The last unsafe writes, oldest first."""
        with self._lock:
            return list(self._violations)

    def writes(
        self, address: int | None = None, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> list[Write]:
        """The writes to ``address`` (None: all that are judged) from ``since_ns`` on and up to ``until_ns``."""
        with self._lock:
            return [
                write
                for write in self._writes
                if (address is None or write.address == address)
                and (since_ns is None or write.stamp_ns >= since_ns)
                and (until_ns is None or write.stamp_ns <= until_ns)
            ]

    def last_goal_ns(self, *, before_ns: int | None = None) -> int | None:
        """When a goal position was last written (up to ``before_ns``)."""
        found = self.writes(GOAL_POSITION, until_ns=before_ns)
        return found[-1].stamp_ns if found else None

    def last_moving_goal_ns(self, *, since_ns: int | None = None) -> int | None:
        """When a goal position was last written that differed from the servo's goal before (from ``since_ns`` on)."""
        latest, goals = None, dict[int, int]()
        for write in self.writes(GOAL_POSITION):
            moved = goals.get(write.servo) != write.value
            goals[write.servo] = write.value
            if moved and (since_ns is None or write.stamp_ns >= since_ns):
                latest = write.stamp_ns
        return latest

    def announce(self, period: Period, at_ns: int, *, grace_s: float = 0.0) -> None:
        """Say that from ``at_ns`` plus ``grace_s`` on the hand is to hold ("hold": no goal moves), to be stopped
        ("stop": nor does torque go on), or is free again."""
        with self._lock:
            self._period, self._from_ns = period, at_ns + round(grace_s * 1e9)
            for servo in self._servos.values():
                servo.anchor = None

    def summary(self) -> dict[str, Any]:
        """What it counted, as plain values."""
        with self._lock:
            last = self._violations[-1] if self._violations else None
            return {
                "unsafe_writes": self.unsafe_writes,
                "reasons": dict(self.reasons),
                "packets": self.packets,
                "writes": len(self._writes),
                "period": self._period,
                "last_goal_ns": self._last_ns,
                "last_moving_goal_ns": self._moved_ns,
                "last_violation": None if last is None else f"servo {last.write.servo}: {last.reason}, {last.detail}",
            }

    # -- judging ------------------------------------------------------------------------------------------------------

    def observe(self, data: bytes, now_ns: int) -> None:
        """Judge the writes in ``data``, before the servos carry them out."""
        with self._lock:
            for raw in self._decoder.feed(data):
                self.packets += 1
                for part in raw:
                    self._judge(part, now_ns)

    def _judge(self, raw: RawWrite, now_ns: int) -> None:
        servos = list(self._servos) if raw.servo is None else [raw.servo]
        for servo in servos:
            for address, value in self._registers(raw, servo, now_ns):
                write = Write(now_ns, servo, address, value)
                self._writes.append(write)
                if servo not in self._servos:
                    self._blame(write, "foreign_servo", "the hand has no such servo")
                elif address == GOAL_POSITION:
                    self._judge_goal(write)
                elif address == GOAL_CURRENT:
                    self._judge_current(write)
                elif address == TORQUE_ENABLE:
                    self._judge_torque(write)

    def _registers(self, raw: RawWrite, servo: int, now_ns: int) -> list[tuple[int, int]]:
        """The judged registers in a write, whole ones; what touches them otherwise is blamed."""
        found, first, end = [], raw.address, raw.address + len(raw.data)
        for address, size in _SIZE.items():
            if first <= address and address + size <= end:
                part = raw.data[address - first : address - first + size]
                found.append((address, int.from_bytes(part, "little", signed=True)))
            elif first < address + size and address < end:
                self._blame(Write(now_ns, servo, address, 0), "partial", f"bytes {first} to {end - 1}")
        if end > _INDIRECT:
            self._blame(Write(now_ns, servo, first, 0), "indirect", "what it changes cannot be judged")
        return found

    def _judge_goal(self, write: Write) -> None:
        bounds, servo = self.envelope.servos[write.servo], self._servos[write.servo]
        goal = write.value
        self._last_ns = write.stamp_ns
        if goal != self._truth.goal(write.servo):
            self._moved_ns = write.stamp_ns
        if not bounds.lower <= goal <= bounds.upper:
            self._blame(write, "position_limit", f"{goal} is not in {bounds.lower:.0f} to {bounds.upper:.0f}")
        if self._truth.torque(write.servo):
            away = abs(goal - self._truth.position(write.servo))
            if away > bounds.reach:
                self._blame(write, "reach", f"{away} pulses from where the servo is")
            self._judge_motion(write, bounds, servo.goals)
        else:
            # Without torque a goal moves nothing, whatever came before.
            servo.goals.clear()
            servo.anchor = None
        servo.goals.append((write.stamp_ns, goal))
        while servo.goals[0][0] < write.stamp_ns - self.envelope.window_s * 1e9 and len(servo.goals) > 1:
            servo.goals.popleft()

    def _judge_motion(self, write: Write, bounds: Bounds, goals: deque[tuple[int, int]]) -> None:
        last = self._truth.goal(write.servo)
        if abs(write.value - last) > bounds.step:
            self._blame(write, "step", f"{abs(write.value - last)} pulses at once")
        for since_ns, old in goals:
            past_ns = write.stamp_ns - since_ns
            if abs(write.value - old) > bounds.speed * (past_ns * 1e-9 + self.envelope.cycle_s):
                self._blame(write, "speed", f"{abs(write.value - old)} pulses in {past_ns * 1e-6:.1f} ms")
                break
        if self._period != "free" and write.stamp_ns >= self._from_ns:
            servo = self._servos[write.servo]
            servo.anchor = last if servo.anchor is None else servo.anchor
            if abs(write.value - servo.anchor) > self.envelope.drift:
                self._blame(write, f"moved_in_{self._period}", f"{write.value - servo.anchor:+d} pulses")

    def _judge_current(self, write: Write) -> None:
        limit = self.envelope.servos[write.servo].current
        if limit is not None and abs(write.value) > limit:
            self._blame(write, "current_limit", f"{write.value} is above {limit}")

    def _judge_torque(self, write: Write) -> None:
        if write.value not in (0, 1):
            self._blame(write, "torque_value", str(write.value))
        if write.value == 0 or self._truth.torque(write.servo):
            return
        if self._period == "stop" and write.stamp_ns >= self._from_ns:
            self._blame(write, "torque_in_stop", "torque goes on")
        away = abs(self._truth.goal(write.servo) - self._truth.position(write.servo))
        if away > self.envelope.torque_reach:
            self._blame(write, "torque_jump", f"torque goes on {away} pulses from the goal")

    def _blame(self, write: Write, reason: str, detail: str) -> None:
        self.reasons[reason] += 1
        self._violations.append(Violation(write, reason, detail))
