"""One virtual Dynamixel X servo: its control table, and what reading, writing, power and time do to it.

It knows nothing of packets nor of the joint it turns: the bus gives it measurements and takes its goal. Where the
manual leaves something open the stricter reading is built, and listed here:

- Goal Position keeps what was last written while torque is off, so that a careless torque-on jumps. (A real servo may
  take its present position instead; a driver that writes the goal first is right with both.)
- A read that touches an address which no register has is refused with an access error, as the manual says.
- Indirect Data that points at itself, as after power-up, reads 0 and takes no write.
- Once an error of Shutdown has turned torque off, it stays off until a reboot.
"""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.hardware.spec.dynamixel_table import (
    CURRENT_BASED_POSITION_MODE,
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
from knuckle.hardware.virtual.table_layout import TableLayout

FIRMWARE = 48
FULL_PWM = 885

_MODELLED = {"operating_mode": (POSITION_MODE, CURRENT_BASED_POSITION_MODE), "drive_mode": (0, 1)}
# Values that a real servo takes and that are not modelled here are refused with a range error.

_GOALS = frozenset({"goal_pwm", "goal_current", "goal_velocity", "goal_position"})
_LIMITS = {"goal_current": "current_limit", "goal_velocity": "velocity_limit", "goal_pwm": "pwm_limit"}


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
    """A servo of ``model`` with ``id``; ``angle`` rad is where its horn stands when it gets power.

    ``shown`` holds values that reads give instead of the true ones: sensors that lie. ``boots`` counts power-ups.
    """

    def __init__(self, model: ServoModel, id: int, *, angle: float = 0.0) -> None:
        self.model = model
        self._values = {register.name: register.default or 0 for register in model.registers}
        self._values |= {"firmware_version": FIRMWARE, "id": id}
        self._layout = TableLayout.of(model)
        self._links: dict[int, int] = {}
        self._registered: tuple[int, bytes] | None = None
        self._heard_ns = 0
        self._angle = angle
        self._trajectory = (angle, 0.0)
        self.boots = 0
        self.shown: dict[str, int] = {}
        self.power_up(0)

    # -- registers ----------------------------------------------------------------------------------------------------

    def value(self, name: str) -> int:
        """What the register called ``name`` holds; KeyError for an unknown one."""
        return self._values[name]

    @property
    def id(self) -> int:
        """The id it answers to."""
        return self._values["id"]

    @property
    def angle(self) -> float:
        """Where the horn stood when it was last measured, rad."""
        return self._angle

    @property
    def torque_on(self) -> bool:
        """Whether the motor is driven."""
        return self._values["torque_enable"] == 1

    @property
    def hardware_error(self) -> int:
        """The bits of Hardware Error Status."""
        return self._values["hardware_error_status"]

    def set_up(self, name: str, value: int) -> None:
        """Make the register called ``name`` hold ``value``, as a servo comes from its setup: nothing is checked."""
        self._values[self.model.register(name).name] = value

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes from ``address``; ServoRefusal with an access error where no register is."""
        if length < 1:
            raise ServoRefusal(StatusError.DATA_LENGTH)
        span = self._layout.span(address, length)
        if span is None:
            return bytes(self._byte(a) for a in range(address, address + length))
        skip, registers = span
        values = self._values | self.shown if self.shown else self._values
        raw = b"".join([r.encode(values[r.name]) for r in registers])
        return raw[skip : skip + length]

    def write(self, address: int, data: bytes) -> None:
        """Write registers whole; ServoRefusal where one of them refuses, and then none has changed."""
        changes = self._changes(address, data)
        for register, value in changes:
            self._check(register, value)
        for register, value in changes:
            self._apply(register, value)

    def register_write(self, address: int, data: bytes) -> None:
        """Keep a write until ``action``."""
        for register, value in self._changes(address, data):
            self._check(register, value)
        self._registered = (address, data)
        self._values["registered_instruction"] = 1

    def action(self) -> None:
        """Carry out the write that was kept; ServoRefusal where there is none."""
        if self._registered is None:
            raise ServoRefusal(StatusError.INSTRUCTION)
        (address, data), self._registered = self._registered, None
        self._values["registered_instruction"] = 0
        self.write(address, data)

    # -- time and power -----------------------------------------------------------------------------------------------

    def power_up(self, now_ns: int) -> None:
        """RAM takes its defaults, torque is off, errors are gone, the goal is where the horn stands."""
        values = self._values
        for register in self.model.registers:
            if not register.eeprom:
                values[register.name] = register.default or 0
        self._links = dict(self._layout.links)
        values["goal_pwm"] = values["pwm_limit"]
        values["goal_current"] = values["current_limit"]
        values["goal_velocity"] = values["velocity_limit"]
        values["present_position"] = values["goal_position"] = self._pulses(self._angle)
        self._registered = None
        self._heard_ns = now_ns
        self._trajectory = (self._angle, 0.0)
        self.boots += 1

    def heard(self, now_ns: int) -> None:
        """An instruction packet was on the bus: what the bus watchdog waits for."""
        self._heard_ns = now_ns

    def excuse(self, ns: int) -> None:
        """Do not count the last ``ns`` as silence of the bus."""
        self._heard_ns += ns

    def advance(self, now_ns: int, dt_s: float, seen: Measurement) -> None:
        """Let ``dt_s`` pass until ``now_ns``: measure, watch the bus, move the trajectory on."""
        self._angle = seen.angle
        self._values["realtime_tick"] = (now_ns // 1_000_000) % 32_768
        self._measure(seen)
        self._watch_bus(now_ns)
        self._follow(dt_s)

    def raise_error(self, bits: int) -> None:
        """Set bits of Hardware Error Status; those that Shutdown names turn torque off."""
        self._values["hardware_error_status"] |= bits
        if self.hardware_error & self._values["shutdown"]:
            self._values["torque_enable"] = 0

    # -- what drives the joint ----------------------------------------------------------------------------------------

    @property
    def target(self) -> float:
        """Where the horn is driven to now, rad: the trajectory on its way to the goal."""
        return self._trajectory[0]

    @property
    def torque_limit(self) -> float:
        """The largest torque of the motor now, N m.

        Of the current limit, of the goal current in the mode that it counts in, and of the goal PWM: the share of the
        supply's voltage that the motor gets at most, and so, standing still, of its stall torque.
        """
        current = self._values["current_limit"]
        if self._values["operating_mode"] == CURRENT_BASED_POSITION_MODE:
            current = min(current, abs(self._values["goal_current"]))
        share = abs(self._values["goal_pwm"]) / FULL_PWM
        torque = current * self.model.ampere_per_unit * self.model.torque_per_ampere
        return min(torque, share * self.model.stall_torque)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _byte(self, address: int) -> int:
        """One byte, through Indirect Data where ``address`` is one of it."""
        link = self._layout.data_link.get(address)
        where = address if link is None else self._links[link]
        register = self._layout.owner.get(where)
        if register is not None:
            return register.encode(self._values[register.name])[where - register.address]
        if where in self._layout.data_link:
            return 0  # it points at itself, as after power-up
        at = where & ~1
        if at not in self._links:
            raise ServoRefusal(StatusError.ACCESS)
        return self._links[at].to_bytes(2, "little")[where - at]

    def _changes(self, address: int, data: bytes) -> list[tuple[Register, int]]:
        """The registers that ``data`` covers, each whole, with their new values."""
        found: list[tuple[Register, int]] = []
        n = 0
        while n < len(data):
            link = self._layout.data_link.get(address + n)
            where = address + n if link is None else self._links[link]
            register = self._layout.owner.get(where) or self._layout.indirect.get(where & ~1)
            if register is None:
                raise ServoRefusal(StatusError.ACCESS)
            if where != register.address or n + register.size > len(data):
                raise ServoRefusal(StatusError.DATA_LENGTH)
            found.append((register, register.decode(data[n : n + register.size])))
            n += register.size
        if not found:
            raise ServoRefusal(StatusError.DATA_LENGTH)
        return found

    def _check(self, register: Register, value: int) -> None:
        """Whether the servo takes ``value`` for ``register``; ServoRefusal with the reason."""
        values, name = self._values, register.name
        if not register.writable or (register.eeprom and self.torque_on):
            raise ServoRefusal(StatusError.ACCESS)
        if name in _GOALS and values["bus_watchdog"] == WATCHDOG_EXPIRED:
            raise ServoRefusal(StatusError.DATA_RANGE)
        if (register.low is not None and value < register.low) or (register.high is not None and value > register.high):
            raise ServoRefusal(StatusError.DATA_RANGE)
        if name in _MODELLED and value not in _MODELLED[name]:
            raise ServoRefusal(StatusError.DATA_RANGE)
        if name == "torque_enable" and value == 1 and self.hardware_error & values["shutdown"]:
            raise ServoRefusal(StatusError.RESULT_FAIL)
        if name in _LIMITS and abs(value) > values[_LIMITS[name]]:
            raise ServoRefusal(StatusError.DATA_LIMIT)
        bounded = name == "goal_position" and values["operating_mode"] == POSITION_MODE
        if bounded and not values["min_position_limit"] <= value <= values["max_position_limit"]:
            raise ServoRefusal(StatusError.DATA_LIMIT)

    def _apply(self, register: Register, value: int) -> None:
        if register.address in self._links:
            self._links[register.address] = value
            return
        was_on = self.torque_on
        self._values[register.name] = value
        if register.name == "torque_enable" and self.torque_on and not was_on:
            self._trajectory = (self._angle, 0.0)
        if register.name == "operating_mode":
            # A change of mode resets what belongs to the mode.
            self._values["goal_current"] = self._values["current_limit"]
            self._values["goal_position"] = self._values["present_position"]

    def _measure(self, seen: Measurement) -> None:
        values, sign = self._values, self._sign()
        current = seen.torque / (self.model.torque_per_ampere * self.model.ampere_per_unit) if self.torque_on else 0.0
        velocity = round(sign * seen.velocity / RAD_PER_S_PER_UNIT)
        values["present_current"] = max(-32_768, min(32_767, round(sign * current)))
        values["present_velocity"] = velocity
        values["present_position"] = self._pulses(seen.angle)
        values["present_temperature"] = max(0, min(255, round(seen.temperature)))
        values["present_input_voltage"] = max(0, round(10.0 * seen.volts))
        values["moving"] = int(abs(velocity) > values["moving_threshold"])

    def _watch_bus(self, now_ns: int) -> None:
        limit = self._values["bus_watchdog"]
        if limit > 0 and self.torque_on and now_ns - self._heard_ns > limit * WATCHDOG_UNIT_MS * 1_000_000:
            stop = {"bus_watchdog": WATCHDOG_EXPIRED, "profile_acceleration": 0, "profile_velocity": 0}
            self._values |= stop | {"goal_position": self._values["present_position"]}
            self._trajectory = (self._angle, 0.0)

    def _follow(self, dt_s: float) -> None:
        """Move the trajectory towards the goal: at once, or with the profile's velocity and acceleration."""
        if not self.torque_on:
            self._trajectory = (self._angle, 0.0)
            return
        goal = self._horn(self._values["goal_position"])
        place, speed = self._trajectory
        top = self._values["profile_velocity"] * RAD_PER_S_PER_UNIT
        if top == 0.0:
            self._trajectory = (goal, 0.0)
        elif dt_s > 0.0:
            gap = goal - place
            rise = self._values["profile_acceleration"] * RAD_PER_S2_PER_UNIT
            wanted = max(-top, min(top, gap / dt_s))
            if rise > 0.0:
                braking = (2.0 * rise * abs(gap)) ** 0.5
                wanted = max(-braking, min(braking, wanted))
                wanted = max(speed - rise * dt_s, min(speed + rise * dt_s, wanted))
            self._trajectory = (place + wanted * dt_s, wanted)
        now_at, now_speed = self._trajectory
        self._values["position_trajectory"] = self._pulses(now_at)
        self._values["velocity_trajectory"] = round(now_speed / RAD_PER_S_PER_UNIT)

    def _sign(self) -> float:
        """-1 in reverse mode."""
        return -1.0 if self._values["drive_mode"] & 1 else 1.0

    def _offset(self) -> int:
        """The homing offset that counts: position mode ignores one beyond a quarter turn."""
        offset = self._values["homing_offset"]
        return 0 if self._values["operating_mode"] == POSITION_MODE and abs(offset) > 1024 else offset

    def _pulses(self, angle: float) -> int:
        return pulse_of(self._sign() * angle) + self._offset()

    def _horn(self, pulses: int) -> float:
        return self._sign() * angle_of(pulses - self._offset())
