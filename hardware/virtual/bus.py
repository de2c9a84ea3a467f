"""The virtual servo bus: virtual servos of one hand over a Plant. Bytes in, timed answers out; time is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import Plant
from knuckle.hardware.spec.dynamixel_table import BAUD_RATES, ServoModel
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.virtual.answering import Answer, Place, answers
from knuckle.hardware.virtual.fault_board import ActiveFault, FaultBoard
from knuckle.hardware.virtual.faults import Fault, ScriptedFault
from knuckle.hardware.virtual.heat import HeatConfig
from knuckle.hardware.virtual.monitor import Truth
from knuckle.hardware.virtual.protocol2 import BROADCAST, Instruction, Packet, PacketReader
from knuckle.hardware.virtual.servo import VirtualServo
from knuckle.hardware.virtual.station import Station

SILENCE_NS = 20_000_000
"""A packet whose bytes stop coming for this long is given up."""

PING_SLOT_NS = 3_000_000
"""Answering a broadcast ping, a servo leaves this time to each id below its own; the SDK waits as long."""


@dataclass(frozen=True)
class BusConfig:
    """How fast the bus is."""

    baud: int = setting(
        0, "bits per second that the servos are set to, ten a byte; 0: any rate, and bytes take no time", low=0
    )
    latency_us: float = setting(0.0, "what a servo takes to think before it answers", low=0.0, high=1e6, unit="us")
    return_delay: bool = setting(False, "wait each servo's Return Delay Time before its answer")
    chained: bool = setting(False, "in a group read the servos behind a silent one are silent too")
    step_ms: float = setting(1.0, "the plant and the servos move on in steps no shorter", low=0.0, high=50.0, unit="ms")
    seed: int = setting(0, "of what faults leave to chance", low=0)


@dataclass(frozen=True)
class Reply:
    """Bytes that are complete on the wire at ``at_ns``."""

    at_ns: int
    data: bytes


class VirtualBus:
    """The servos of ``hand``, all of ``model``, turning the joints of ``plant``.

    ``receive`` takes what a host sent and gives the replies; ``advance`` lets time pass without bytes. ``taps`` are
    called with every piece of bytes that reaches the servos and its time. Joint angle and horn angle: horn =
    servo_offset + sign * joint, rad, zero at the middle of the servo's turn.
    """

    def __init__(
        self,
        hand: HandSpec,
        plant: Plant,
        model: ServoModel,
        *,
        config: BusConfig | None = None,
        heat: HeatConfig | None = None,
        now_ns: int = 0,
    ) -> None:
        self.hand, self.plant, self.model, self.config = hand, plant, model, validate(config or BusConfig())
        if self.config.baud and self.config.baud not in BAUD_RATES:
            rates = ", ".join(str(rate) for rate in BAUD_RATES)
            raise InputError(f"{self.config.baud} is no rate of a servo", where="baud", right=f"0 or {rates}")
        self._sign = np.array([joint.sign for joint in hand.joints], dtype=np.float64)
        self._offset = np.array([joint.servo_offset for joint in hand.joints])
        rng, warm = np.random.default_rng(self.config.seed), validate(heat or HeatConfig())
        horns = self.horn(plant.joint_state()[0])
        self.stations = [
            Station(model, j.servo_id, float(a), warm, rng) for j, a in zip(hand.joints, horns, strict=True)
        ]
        if self.config.baud:
            for station in self.stations:
                station.servo.set_up("baud_rate", BAUD_RATES.index(self.config.baud))
        self._known: dict[int, Station] = {}
        self.taps: list[Callable[[bytes, int], None]] = []
        self.board = FaultBoard()
        self._reader = PacketReader()
        self._now_ns = self._heard_ns = self._wire_free_ns = now_ns
        self._sent: tuple[bytes, bytes, bytes] | None = None
        # A servo knows its voltage and temperature when it can be asked first, be that before any time has passed.
        self._measure(0.0)
        self._drive()

    # -- what can be seen ---------------------------------------------------------------------------------------------

    def horn(self, q: Array) -> Array:
        """Horn angles of joint angles ``q`` (dof,), rad."""
        return np.asarray(self._offset + self._sign * q)

    def joint(self, horn: Array) -> Array:
        """Joint angles of ``horn`` angles (dof,), rad."""
        return np.asarray(self._sign * (horn - self._offset))

    @property
    def servos(self) -> list[VirtualServo]:
        """The servos in the order of the hand's joints."""
        return [station.servo for station in self.stations]

    def servo(self, id: int) -> VirtualServo:
        """The servo that answers to ``id``; InputError where none does."""
        return self._station(id).servo

    def truth(self) -> Truth:
        """What a monitor of this bus may know besides the bytes."""
        return Truth(
            position=lambda id: self.servo(id).value("present_position"),
            goal=lambda id: self.servo(id).value("goal_position"),
            torque=lambda id: self._station(id).driven,
        )

    @property
    def unplugged(self) -> bool:
        """Whether the port is to be gone now."""
        return any(active.fault.kind == "unplug" for active in self.board.active)

    # -- faults -------------------------------------------------------------------------------------------------------

    def inject(self, fault: Fault, now_ns: int) -> None:
        """Let ``fault`` begin now; InputError where it names a servo that is not here."""
        if fault.servo is not None:
            self._station(fault.servo)
        self.board.inject(fault, now_ns)
        self._step_faults(now_ns)

    def play(self, script: Sequence[ScriptedFault], from_ns: int) -> None:
        """Let a script begin at ``from_ns``; InputError where it names a servo that is not here."""
        for scripted in script:
            if scripted.fault.servo is not None:
                self._station(scripted.fault.servo)
        self.board.play(script, from_ns)

    def clear(self, now_ns: int) -> int:
        """End every fault; how many there were or were to come."""
        count = self.board.clear(now_ns)
        self._step_faults(now_ns)
        return count

    # -- time and bytes -----------------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Bring plant, servos and faults up to ``now_ns``."""
        self._step_faults(now_ns)
        if now_ns - self._now_ns < self.config.step_ms * 1e6:
            return
        dt_s = (now_ns - self._now_ns) * 1e-9
        self._now_ns = now_ns
        self.plant.advance(now_ns)
        self._measure(dt_s)
        self._drive()

    def _measure(self, dt_s: float) -> None:
        """Show the servos the plant as it is, ``dt_s`` after the last time."""
        q, dq, effort = self.plant.joint_state()
        horn, speed, torque = self.horn(q).tolist(), (self._sign * dq).tolist(), (self._sign * effort).tolist()
        for n, station in enumerate(self.stations):
            station.advance(self._now_ns, dt_s, horn[n], speed[n], torque[n])

    def excuse(self, ns: int) -> None:
        """Do not count the last ``ns`` as silence: whoever serves this bus did not run, and could hear nothing."""
        for servo in self.servos:
            servo.excuse(ns)

    def receive(self, data: bytes, now_ns: int, *, rate: int = 0) -> list[Reply]:
        """What the servos answer to ``data``, which the host wrote at ``now_ns``.

        ``rate`` is the host's bits per second (0: right for every servo): servos set to another hear nothing.
        """
        self.advance(now_ns)
        if now_ns - self._heard_ns > SILENCE_NS:
            self._reader.forget()
        self._heard_ns = now_ns
        for tap in self.taps:
            tap(data, now_ns)
        replies: list[Reply] = []
        for packet in self._reader.feed(data):
            replies += self._answer(packet, now_ns, rate)
        self._drive()
        return replies

    def _answer(self, packet: Packet, now_ns: int, rate: int) -> list[Reply]:
        line, owner = [], {}
        for station in self.stations:
            if station.powered and self._understands(station, rate):
                station.servo.heard(now_ns)
                speaks = station.speaks()
                for servo in (station.servo, station.twin):
                    if servo is not None:
                        line.append(Place(servo, speaks))
                        owner[servo] = station
        start_ns = max(now_ns, self._wire_free_ns) + self._wire_ns(len(packet.parameters) + 10)
        ping = packet.instruction == Instruction.PING and packet.id == BROADCAST and self.config.baud
        free_ns, replies = start_ns, []
        for answer in answers(line, packet, now_ns, chained=self.config.chained):
            station = owner[answer.servo]
            at_ns = max(free_ns, start_ns + answer.servo.id * PING_SLOT_NS) if ping else free_ns
            at_ns += self._thinking_ns(answer) + station.late_ns() + self._wire_ns(len(answer.data))
            replies.append(Reply(at_ns, station.spoil(answer.data)))
            free_ns = at_ns
        self._wire_free_ns = free_ns
        return replies

    # -- inside -------------------------------------------------------------------------------------------------------

    def _station(self, id: int) -> Station:
        known = self._known.get(id)
        if known is not None and known.servo.id == id:
            return known
        for station in self.stations:
            if station.servo.id == id:
                self._known[id] = station
                return station
        ids = ", ".join(str(station.servo.id) for station in self.stations)
        raise InputError(f"no servo {id}", where=f"virtual bus of {self.hand.name}", right=f"one of {ids}")

    def _step_faults(self, now_ns: int) -> None:
        if now_ns < self.board.next_ns():
            return
        began, ended = self.board.step(now_ns)
        for active in began:
            for station in self._befallen(active):
                station.begin(active.fault, active.since_ns)
        for active in ended:
            for station in self._befallen(active):
                station.end(active.fault, active.until_ns)
        self._drive()

    def _befallen(self, active: ActiveFault) -> list[Station]:
        if active.fault.kind == "unplug":
            return []
        return self.stations if active.fault.servo is None else [self._station(active.fault.servo)]

    def _understands(self, station: Station, rate: int) -> bool:
        return not rate or not self.config.baud or BAUD_RATES[station.servo.value("baud_rate")] == rate

    def _thinking_ns(self, answer: Answer) -> int:
        delay_us = self.config.latency_us
        if self.config.return_delay:
            delay_us += 2.0 * answer.servo.value("return_delay_time")
        return int(delay_us * 1e3)

    def _wire_ns(self, size: int) -> int:
        return math.ceil(size * 10e9 / self.config.baud) if self.config.baud else 0

    def _drive(self) -> None:
        """Hand the plant what the servos drive it to, where that has changed."""
        torque = np.array([station.driven for station in self.stations])
        target = self.joint(np.array([station.target for station in self.stations]))
        limit = np.array([station.servo.torque_limit for station in self.stations])
        sent = (torque.tobytes(), target.tobytes(), limit.tobytes())
        if sent != self._sent:
            self._sent = sent
            self.plant.set_effort_limit(limit)
            self.plant.set_target(target)
            self.plant.set_torque(torque)
