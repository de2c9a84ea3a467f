"""One place on the bus: a virtual servo with its heat, and what faults make of what it hears, answers and shows."""

from __future__ import annotations

from collections import deque

import numpy as np

from knuckle.hardware.spec.dynamixel_table import (
    OVERHEATING_ERROR,
    OVERLOAD_ERROR,
    RAD_PER_PULSE,
    VOLTAGE_ERROR,
    ServoModel,
)
from knuckle.hardware.virtual.faults import Fault
from knuckle.hardware.virtual.heat import Heat, HeatConfig
from knuckle.hardware.virtual.servo import Measurement, VirtualServo

TWIN_ANGLE = 0.3
"""Where a second servo with the same id stands, rad from the first."""

_SHOWN = ("present_current", "present_velocity", "present_position", "present_temperature", "present_input_voltage")
_HISTORY_NS = 10_000_000_000


class Station:
    """A servo of ``model`` at ``angle`` rad, with the faults it has now. ``rng`` decides what is left to chance.

    Of one kind it has one fault at a time: a new one takes the place of the one before.
    """

    def __init__(self, model: ServoModel, id: int, angle: float, heat: HeatConfig, rng: np.random.Generator) -> None:
        self.servo = VirtualServo(model, id, angle=angle)
        self.heat = Heat(heat)
        self.twin: VirtualServo | None = None
        self._rng = rng
        self._faults: dict[str, Fault] = {}
        self._jammed_at: float | None = None
        self._history: deque[tuple[int, dict[str, int]]] = deque()

    # -- what the bus asks --------------------------------------------------------------------------------------------

    @property
    def powered(self) -> bool:
        """Whether it runs: it hears, and it can answer."""
        return not self._faults or not self._faults.keys() & {"off", "reboot"}

    def speaks(self) -> bool:
        """Whether it answers this time."""
        if not self._faults:
            return True
        if not self.powered or "silent" in self._faults:
            return False
        gap = self._faults.get("intermittent")
        return gap is None or bool(self._rng.random() >= gap.amount)

    def late_ns(self) -> int:
        """How much later than it should it answers."""
        fault = self._faults.get("slow")
        return 0 if fault is None else round(fault.amount * 1e6)

    def spoil(self, data: bytes) -> bytes:
        """The answer as it gets onto the wire."""
        fault = self._faults.get("garbage")
        if fault is None or self._rng.random() >= fault.amount:
            return data
        spoiled = bytearray(data)
        for at in self._rng.integers(0, len(spoiled), size=max(1, len(spoiled) // 8)):
            spoiled[at] ^= int(self._rng.integers(1, 256))
        return bytes(spoiled)

    @property
    def driven(self) -> bool:
        """Whether the motor pushes the joint."""
        return self.powered and self.servo.torque_on

    @property
    def target(self) -> float:
        """Where the joint is driven to, rad of the horn; a jammed one stays."""
        return self.servo.target if self._jammed_at is None else self._jammed_at

    # -- faults and time ----------------------------------------------------------------------------------------------

    def begin(self, fault: Fault, now_ns: int) -> None:
        """``fault`` begins."""
        self._faults[fault.kind] = fault
        servo = self.servo
        match fault.kind:
            case "stuck":
                self._jammed_at = servo.angle
            case "frozen":
                servo.shown = {name: servo.value(name) for name in _SHOWN}
            case "overload":
                servo.raise_error(OVERLOAD_ERROR)
            case "overheat":
                self.heat.temperature = servo.value("temperature_limit") + fault.amount
            case "duplicate":
                self.twin = VirtualServo(servo.model, servo.id, angle=servo.angle + TWIN_ANGLE)

    def end(self, fault: Fault, now_ns: int) -> None:
        """``fault`` is over."""
        if self._faults.get(fault.kind) is not fault:
            return
        del self._faults[fault.kind]
        match fault.kind:
            case "stuck":
                self._jammed_at = None
            case "off" | "reboot":
                self.servo.power_up(now_ns)
            case "frozen" | "delayed" | "wrong" | "noisy":
                self.servo.shown = {}
            case "duplicate":
                self.twin = None

    def advance(self, now_ns: int, dt_s: float, angle: float, speed: float, torque: float) -> None:
        """Let time pass; ``angle`` rad, ``speed`` rad/s and ``torque`` N m are the plant's, at the horn."""
        servo = self.servo
        if self._jammed_at is not None and abs(servo.target - angle) > RAD_PER_PULSE:
            torque = servo.torque_limit if servo.target > angle else -servo.torque_limit
        self.heat.advance(dt_s, torque / servo.model.stall_torque if self.driven else 0.0)
        hot, warm = self._faults.get("overheat"), self._faults.get("warm")
        if hot is not None:
            self.heat.temperature = max(self.heat.temperature, servo.value("temperature_limit") + hot.amount)
        elif warm is not None:
            self.heat.temperature = warm.amount
        low = self._faults.get("undervoltage")
        volts = servo.model.volts if low is None else servo.value("min_voltage_limit") / 10.0 - low.amount
        servo.advance(now_ns, dt_s, Measurement(angle, speed, torque, self.heat.temperature, volts))
        self._protect(volts)
        self._show(now_ns)

    def _protect(self, volts: float) -> None:
        servo = self.servo
        if self.heat.temperature > servo.value("temperature_limit"):
            servo.raise_error(OVERHEATING_ERROR)
        if self.heat.overloaded:
            servo.raise_error(OVERLOAD_ERROR)
        if volts < servo.value("min_voltage_limit") / 10.0:
            servo.raise_error(VOLTAGE_ERROR)

    def _show(self, now_ns: int) -> None:
        """What reads show instead of the truth, where a fault of the sensors wants it."""
        old, wrong, noisy = (self._faults.get(kind) for kind in ("delayed", "wrong", "noisy"))
        if old is not None:
            self._history.append((now_ns, {name: self.servo.value(name) for name in _SHOWN}))
            while len(self._history) > 1 and self._history[1][0] <= now_ns - old.amount * 1e6:
                self._history.popleft()
            self.servo.shown = self._history[0][1]
        elif self._history:
            self._history.clear()
        if noisy is not None:
            off = round(float(self._rng.normal(0.0, noisy.amount)) / RAD_PER_PULSE)
            self.servo.shown = {"present_position": self.servo.value("present_position") + off}
        if wrong is not None:
            pulses = self.servo.value("present_position") + round(wrong.amount / RAD_PER_PULSE)
            self.servo.shown = {"present_position": pulses, "present_velocity": int(self._rng.integers(-300, 301))}
