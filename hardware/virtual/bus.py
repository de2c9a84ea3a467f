"""The virtual servo bus: virtual servos of one hand over a Plant. Bytes in, timed answers out; time is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.hardware.spec.contracts import Plant
from knuckle.hardware.spec.dynamixel_table import OVERHEATING_ERROR, OVERLOAD_ERROR, ServoModel
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.virtual.answering import Answer, answers
from knuckle.hardware.virtual.heat import Heat, HeatConfig
from knuckle.hardware.virtual.protocol2 import Packet, PacketReader
from knuckle.hardware.virtual.servo import Measurement, VirtualServo

SILENCE_NS = 20_000_000
"""A packet whose bytes stop coming for this long is given up."""


@dataclass(frozen=True)
class BusConfig:
    """How fast the bus is."""

    baud: int = setting(0, "bits per second on the wire (ten a byte); 0: bytes take no time", low=0, high=10_000_000)
    latency_us: float = setting(0.0, "what a servo takes to think before it answers", low=0.0, high=1e6, unit="us")
    return_delay: bool = setting(False, "wait each servo's Return Delay Time before its answer")
    step_ms: float = setting(1.0, "the plant and the servos move on in steps no shorter", low=0.0, high=50.0, unit="ms")


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
        self.hand, self.plant, self.config = hand, plant, validate(config or BusConfig())
        self._sign = np.array([joint.sign for joint in hand.joints], dtype=np.float64)
        self._offset = np.array([joint.servo_offset for joint in hand.joints])
        q, _, _ = plant.joint_state()
        horns = self.horn(q)
        self.servos = [VirtualServo(model, j.servo_id, angle=float(a)) for j, a in zip(hand.joints, horns, strict=True)]
        self.heats = [Heat(validate(heat or HeatConfig())) for _ in hand.joints]
        self.taps: list[Callable[[bytes, int], None]] = []
        self._reader = PacketReader()
        self._now_ns = self._heard_ns = self._wire_free_ns = now_ns
        self._sent: tuple[bytes, bytes, bytes] | None = None
        self._drive()

    def horn(self, q: Array) -> Array:
        """Horn angles of joint angles ``q`` (dof,), rad."""
        return np.asarray(self._offset + self._sign * q)

    def joint(self, horn: Array) -> Array:
        """Joint angles of ``horn`` angles (dof,), rad."""
        return np.asarray(self._sign * (horn - self._offset))

    def servo(self, id: int) -> VirtualServo | None:
        """The servo that answers to ``id``, if one does."""
        return next((servo for servo in self.servos if servo.id == id), None)

    def advance(self, now_ns: int) -> None:
        """Bring plant and servos up to ``now_ns``."""
        if now_ns - self._now_ns < self.config.step_ms * 1e6:
            return
        dt_s = (now_ns - self._now_ns) * 1e-9
        self._now_ns = now_ns
        self.plant.advance(now_ns)
        q, dq, effort = self.plant.joint_state()
        horn, speed, torque = self.horn(q), self._sign * dq, self._sign * effort
        for n, (servo, heat) in enumerate(zip(self.servos, self.heats, strict=True)):
            heat.advance(dt_s, float(torque[n]) / servo.model.stall_torque if servo.torque_on else 0.0)
            volts = servo.model.volts
            seen = Measurement(float(horn[n]), float(speed[n]), float(torque[n]), heat.temperature, volts)
            servo.advance(now_ns, dt_s, seen)
            self._protect(servo, heat)
        self._drive()

    def receive(self, data: bytes, now_ns: int) -> list[Reply]:
        """What the servos answer to ``data``, which the host finished sending at ``now_ns``."""
        self.advance(now_ns)
        if now_ns - self._heard_ns > SILENCE_NS:
            self._reader.forget()
        self._heard_ns = now_ns
        for tap in self.taps:
            tap(data, now_ns)
        replies: list[Reply] = []
        for packet in self._reader.feed(data):
            replies += self._answer(packet, now_ns)
        self._drive()
        return replies

    def _answer(self, packet: Packet, now_ns: int) -> list[Reply]:
        for servo in self.servos:
            servo.heard(now_ns)
        at_ns = max(now_ns, self._wire_free_ns) + self._wire_ns(len(packet.parameters) + 10)
        replies = []
        for answer in answers(self.servos, packet, now_ns):
            at_ns += self._thinking_ns(answer) + self._wire_ns(len(answer.data))
            replies.append(Reply(at_ns, answer.data))
        self._wire_free_ns = at_ns
        return replies

    def _thinking_ns(self, answer: Answer) -> int:
        delay_us = self.config.latency_us
        if self.config.return_delay:
            delay_us += 2.0 * answer.servo.value("return_delay_time")
        return int(delay_us * 1e3)

    def _wire_ns(self, size: int) -> int:
        return math.ceil(size * 10e9 / self.config.baud) if self.config.baud else 0

    def _protect(self, servo: VirtualServo, heat: Heat) -> None:
        if heat.temperature > servo.value("temperature_limit"):
            servo.raise_error(OVERHEATING_ERROR)
        if heat.overloaded:
            servo.raise_error(OVERLOAD_ERROR)

    def _drive(self) -> None:
        """Hand the plant what the servos drive it to, where that has changed."""
        torque = np.array([servo.torque_on for servo in self.servos])
        target = self.joint(np.array([servo.target for servo in self.servos]))
        limit = np.array([servo.torque_limit for servo in self.servos])
        sent = (torque.tobytes(), target.tobytes(), limit.tobytes())
        if sent != self._sent:
            self._sent = sent
            self.plant.set_effort_limit(limit)
            self.plant.set_target(target)
            self.plant.set_torque(torque)


def ids(servos: Sequence[VirtualServo]) -> list[int]:
    """The ids of ``servos``, in order."""
    return [servo.id for servo in servos]
