"""One virtual Dynamixel X servo: its control table as bytes, and what reading, writing, power and time do to it.

It knows nothing of packets nor of the joint it turns: the bus gives it measurements and takes its goal. Where the
manual leaves something open the stricter reading is built, and listed here:

- Goal Position keeps what was last written while torque is off, so that a careless torque-on jumps. (A real servo may
  take its present position instead; a driver that writes the goal first is right with both.)
- A read that touches an address which no register has is refused with an access error, as the manual says.
- Once an error of Shutdown has turned torque off, it stays off until a reboot.
"""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.hardware.spec.dynamixel_table import (
    CURRENT_BASED_POSITION_MODE,
    EEPROM_END,
    POSITION_MODE,
    RAD_PER_S2_PER_UNIT,
    RAD_PER_S_PER_UNIT,
    WATCHDOG_EXPIRED,
    WATCHDOG_UNIT_MS,
    Register,
    ServoModel,
    angle_of,
    pulse_of,
)
from knuckle.hardware.virtual.protocol2 import StatusError

FIRMWARE = 48
MODES = (POSITION_MODE, CURRENT_BASED_POSITION_MODE)
"""The operating modes that are modelled; others are refused with a range error."""

_GOALS = frozenset({"goal_pwm", "goal_current", "goal_velocity", "goal_position"})


class ServoRefusal(Exception):
    """A read or write that the servo answers with ``error``; nothing was changed."""

    def __init__(self, error: StatusError) -> None:
        super().__init__(error.name)
        self.error = error


@dataclass(frozen=True)
class Measurement:
    """What a servo's sensors see: ``angle`` rad and ``velocity`` rad/s of the horn, ``torque`` N m, ``temperature``
    degrees Celsius, ``volts``."""

    angle: float
    velocity: float
    torque: float
    temperature: float
    volts: float


class VirtualServo:
    """A servo of ``model`` with ``id``; ``angle`` rad is where its horn stands when it gets power."""

    def __init__(self, model: ServoModel, id: int, *, angle: float = 0.0) -> None:
        self.model = model
        self._bytes = bytearray(model.size)
        self._owner: dict[int, Register] = {}
        for register in model.registers:
            for address in range(register.address, register.address + register.size):
                self._owner[address] = register
            if register.eeprom:
                self._put(register, register.default or 0)
        self._indirect = {d + n: a + 2 * n for a, d, count in model.indirect for n in range(count)}
        self._put_named("firmware_version", FIRMWARE)
        self._put_named("id", id)
        self._registered: tuple[int, bytes] | None = None
        self._heard_ns = 0
        self._angle = angle
        self._trajectory = (angle, 0.0)
        self.boots = 0
        self.power_up(0)

    # -- registers ----------------------------------------------------------------------------------------------------

    def value(self, name: str) -> int:
        """What the register called ``name`` holds."""
        register = self.model.register(name)
        return register.decode(bytes(self._bytes[register.address : register.address + register.size]))

    @property
    def id(self) -> int:
        """The id it answers to."""
        return self.value("id")

    @property
    def torque_on(self) -> bool:
        """Whether the motor is driven."""
        return self.value("torque_enable") == 1

    @property
    def hardware_error(self) -> int:
        """The bits of Hardware Error Status."""
        return self.value("hardware_error_status")

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes from ``address``; ServoRefusal with an access error where no register is."""
        if length < 1 or any(not self._exists(a) for a in range(address, address + length)):
            raise ServoRefusal(StatusError.ACCESS)
        if all(a in self._owner for a in (address, address + length - 1)):
            return bytes(self._bytes[address : address + length])
        return bytes(self._bytes[self._resolve(a)] for a in range(address, address + length))

    def write(self, address: int, data: bytes) -> None:
        """Write registers whole; ServoRefusal where one of them refuses, and then none has changed."""
        changes = self._changes(address, data)
        for register, raw in changes:
            self._check(register, raw)
        for register, raw in changes:
            self._apply(register, raw)

    def register_write(self, address: int, data: bytes) -> None:
        """Keep a write until ``action``."""
        for register, raw in self._changes(address, data):
            self._check(register, raw)
        self._registered = (address, data)
        self._put_named("registered_instruction", 1)

    def action(self) -> None:
        """Carry out the write that was kept; ServoRefusal where there is none."""
        if self._registered is None:
            raise ServoRefusal(StatusError.INSTRUCTION)
        (address, data), self._registered = self._registered, None
        self._put_named("registered_instruction", 0)
        self.write(address, data)

    # -- time and power -----------------------------------------------------------------------------------------------

    def power_up(self, now_ns: int) -> None:
        """RAM takes its defaults, torque is off, errors are gone, the goal is where the horn stands."""
        for register in self.model.registers:
            if not register.eeprom:
                self._put(register, register.default or 0)
        for address, _, count in self.model.indirect:
            data = next(d for a, d, _ in self.model.indirect if a == address)
            for n in range(count):
                self._bytes[address + 2 * n : address + 2 * n + 2] = (data + n).to_bytes(2, "little")
        self._put_named("goal_pwm", self.value("pwm_limit"))
        self._put_named("goal_current", self.value("current_limit"))
        self._put_named("goal_velocity", self.value("velocity_limit"))
        self._put_named("present_position", self._pulses(self._angle))
        self._put_named("goal_position", self._pulses(self._angle))
        self._registered = None
        self._heard_ns = now_ns
        self._trajectory = (self._angle, 0.0)
        self.boots += 1

    def heard(self, now_ns: int) -> None:
        """An instruction packet was on the bus: what the bus watchdog waits for."""
        self._heard_ns = now_ns

    def advance(self, now_ns: int, dt_s: float, seen: Measurement) -> None:
        """Let ``dt_s`` pass until ``now_ns``: measure, watch errors and the bus, move the trajectory on."""
        self._angle = seen.angle
        self._put_named("realtime_tick", (now_ns // 1_000_000) % 32_768)
        self._measure(seen)
        self._watch_bus(now_ns)
        self._follow(dt_s)

    def raise_error(self, bits: int) -> None:
        """Set bits of Hardware Error Status; those that Shutdown names turn torque off."""
        self._put_named("hardware_error_status", self.hardware_error | bits)
        if self.hardware_error & self.value("shutdown") and self.torque_on:
            self._put_named("torque_enable", 0)

    # -- what drives the joint ----------------------------------------------------------------------------------------

    @property
    def target(self) -> float:
        """Where the horn is driven to now, rad: the trajectory on its way to the goal."""
        return self._trajectory[0]

    @property
    def torque_limit(self) -> float:
        """The largest torque of the motor now, N m: of the current limit, and of the goal current where it counts."""
        current = self.value("current_limit")
        if self.value("operating_mode") == CURRENT_BASED_POSITION_MODE:
            current = min(current, abs(self.value("goal_current")))
        ampere = current * self.model.ampere_per_unit
        return min(ampere * self.model.torque_per_ampere, self.model.stall_torque)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _exists(self, address: int) -> bool:
        return address in self._owner or address in self._indirect or address in self._indirect_addresses()

    def _indirect_addresses(self) -> range | set[int]:
        spans = [range(a, a + 2 * count) for a, _, count in self.model.indirect]
        return spans[0] if len(spans) == 1 else {n for span in spans for n in span}

    def _resolve(self, address: int) -> int:
        """The address behind ``address`` where it is one of Indirect Data."""
        where = self._indirect.get(address)
        return address if where is None else int.from_bytes(self._bytes[where : where + 2], "little")

    def _changes(self, address: int, data: bytes) -> list[tuple[Register, bytes]]:
        """The registers that ``data`` covers, each whole, with their new bytes."""
        found: list[tuple[Register, bytes]] = []
        n = 0
        while n < len(data):
            where = self._resolve(address + n)
            register = self._owner.get(where) or self._indirect_register(where)
            if register is None:
                raise ServoRefusal(StatusError.ACCESS)
            if where != register.address or n + register.size > len(data):
                raise ServoRefusal(StatusError.DATA_LENGTH)
            found.append((register, data[n : n + register.size]))
            n += register.size
        if not found:
            raise ServoRefusal(StatusError.DATA_LENGTH)
        return found

    def _indirect_register(self, where: int) -> Register | None:
        for first, data, count in self.model.indirect:
            if first <= where < first + 2 * count:
                n = (where - first) // 2
                return Register(
                    f"indirect_address_{n}", first + 2 * n, 2, True, data + n, EEPROM_END, self.model.size - 1
                )
        return None

    def _check(self, register: Register, raw: bytes) -> None:
        """Whether the servo takes ``raw`` for ``register``; ServoRefusal with the reason."""
        if not register.writable or (register.eeprom and self.torque_on):
            raise ServoRefusal(StatusError.ACCESS)
        value = register.decode(raw)
        name = register.name
        if name in _GOALS and self.value("bus_watchdog") == WATCHDOG_EXPIRED:
            raise ServoRefusal(StatusError.DATA_RANGE)
        if (register.low is not None and value < register.low) or (register.high is not None and value > register.high):
            raise ServoRefusal(StatusError.DATA_RANGE)
        if name == "operating_mode" and value not in MODES:
            raise ServoRefusal(StatusError.DATA_RANGE)
        if name == "drive_mode" and value not in (0, 1):
            raise ServoRefusal(StatusError.DATA_RANGE)
        if name == "torque_enable" and value == 1 and self.hardware_error & self.value("shutdown"):
            raise ServoRefusal(StatusError.RESULT_FAIL)
        bound = {"goal_current": "current_limit", "goal_velocity": "velocity_limit", "goal_pwm": "pwm_limit"}.get(name)
        if bound is not None and abs(value) > self.value(bound):
            raise ServoRefusal(StatusError.DATA_LIMIT)
        bounded = name == "goal_position" and self.value("operating_mode") == POSITION_MODE
        if bounded and not self.value("min_position_limit") <= value <= self.value("max_position_limit"):
            raise ServoRefusal(StatusError.DATA_LIMIT)

    def _apply(self, register: Register, raw: bytes) -> None:
        was_on = self.torque_on
        self._bytes[register.address : register.address + register.size] = raw
        if register.name == "torque_enable" and self.torque_on and not was_on:
            self._trajectory = (self._angle, 0.0)
        if register.name == "operating_mode":
            # A change of mode resets what belongs to the mode.
            self._put_named("goal_current", self.value("current_limit"))
            self._put_named("goal_position", self.value("present_position"))

    def _measure(self, seen: Measurement) -> None:
        sign = -1.0 if self.value("drive_mode") & 1 else 1.0
        current = seen.torque / self.model.torque_per_ampere / self.model.ampere_per_unit if self.torque_on else 0.0
        velocity = round(sign * seen.velocity / RAD_PER_S_PER_UNIT)
        self._put_named("present_current", max(-32_768, min(32_767, round(sign * current))))
        self._put_named("present_velocity", velocity)
        self._put_named("present_position", self._pulses(seen.angle))
        self._put_named("present_temperature", max(0, min(255, round(seen.temperature))))
        self._put_named("present_input_voltage", max(0, round(10.0 * seen.volts)))
        self._put_named("moving", int(abs(velocity) > self.value("moving_threshold")))

    def _watch_bus(self, now_ns: int) -> None:
        limit = self.value("bus_watchdog")
        if limit > 0 and self.torque_on and now_ns - self._heard_ns > limit * WATCHDOG_UNIT_MS * 1_000_000:
            self._put_named("bus_watchdog", WATCHDOG_EXPIRED)
            self._put_named("profile_acceleration", 0)
            self._put_named("profile_velocity", 0)
            self._put_named("goal_position", self.value("present_position"))
            self._trajectory = (self._angle, 0.0)

    def _follow(self, dt_s: float) -> None:
        """Move the trajectory towards the goal: at once, or with the profile's velocity and acceleration."""
        if not self.torque_on:
            self._trajectory = (self._angle, 0.0)
            return
        goal = self._horn(self.value("goal_position"))
        place, speed = self._trajectory
        top = self.value("profile_velocity") * RAD_PER_S_PER_UNIT
        if top == 0.0:
            self._trajectory = (goal, 0.0)
        elif dt_s > 0.0:
            gap = goal - place
            rise = self.value("profile_acceleration") * RAD_PER_S2_PER_UNIT
            wanted = max(-top, min(top, gap / dt_s))
            if rise > 0.0:
                braking = (2.0 * rise * abs(gap)) ** 0.5
                wanted = max(-braking, min(braking, wanted))
                wanted = max(speed - rise * dt_s, min(speed + rise * dt_s, wanted))
            self._trajectory = (place + wanted * dt_s, wanted)
        now_at, now_speed = self._trajectory
        self._put_named("position_trajectory", self._pulses(now_at))
        self._put_named("velocity_trajectory", round(now_speed / RAD_PER_S_PER_UNIT))

    def _offset(self) -> int:
        """The homing offset that counts: position mode ignores one beyond a quarter turn."""
        offset = self.value("homing_offset")
        return 0 if self.value("operating_mode") == POSITION_MODE and abs(offset) > 1024 else offset

    def _pulses(self, angle: float) -> int:
        sign = -1.0 if self.value("drive_mode") & 1 else 1.0
        return pulse_of(sign * angle) + self._offset()

    def _horn(self, pulses: int) -> float:
        sign = -1.0 if self.value("drive_mode") & 1 else 1.0
        return sign * angle_of(pulses - self._offset())

    def _put(self, register: Register, value: int) -> None:
        self._bytes[register.address : register.address + register.size] = register.encode(value)

    def _put_named(self, name: str, value: int) -> None:
        self._put(self.model.by_name[name], value)
