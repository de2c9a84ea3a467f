"""Virtual servos that can be broken, behind a wire in virtual time or behind a pseudo-terminal."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from dynamixel_sdk import PortHandler

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.calibration.calibration_file import nominal
from knuckle.hardware.dynamixel.beat import ClockBeat
from knuckle.hardware.dynamixel.configuration import configure
from knuckle.hardware.dynamixel.discovery import discover
from knuckle.hardware.dynamixel.drive import ARMED, Drive
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.drive_profile import drive_profile
from knuckle.hardware.dynamixel.dynamixel_hand import DynamixelHand
from knuckle.hardware.dynamixel.open_hand import open_hand
from knuckle.hardware.dynamixel.serial_port import ServoPort
from knuckle.hardware.dynamixel.servo_bus import ServoBus
from knuckle.hardware.dynamixel.servo_group import ServoGroup
from knuckle.hardware.dynamixel.units import JointScale, torque_per_unit
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210, ServoModel
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.virtual.bus import BusConfig, VirtualBus
from knuckle.hardware.virtual.faults import parse_fault
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.protocol2 import Packet, PacketReader
from knuckle.hardware.virtual.pty_port import VirtualPort

MS = 1_000_000
PERIOD = 10 * MS


class Listener:
    """Hears every packet that reaches a bus."""

    def __init__(self, bus: VirtualBus) -> None:
        self.heard: list[Packet] = []
        self._reader = PacketReader()
        bus.taps.append(lambda data, now_ns: self.heard.extend(self._reader.feed(data)))

    def writes(self, register: str, since: int = 0) -> list[Packet]:
        """The writes to ``register`` that were heard, sync writes among them."""
        place = XM430_W210.register(register).address.to_bytes(2, "little")
        return [p for p in self.heard[since:] if p.instruction in (0x03, 0x83) and p.parameters[:2] == place]


class WirePort(ServoPort):
    """A ServoPort on a virtual wire, in virtual time: bytes take what the bus says, waiting costs nothing."""

    def __init__(self, bus: VirtualBus, baud: int = 1_000_000, answer_s: float = 0.006) -> None:
        PortHandler.__init__(self, "wire")
        self.wire, self.now_ns, self.answer_s = bus, 0, answer_s
        self._clock = lambda: self.now_ns * 1e-9
        self._buffer, self._budget, self._lock, self.ser = bytearray(), 0, None, None
        self.bytes_in = self.bytes_out = 0
        self._due: list[tuple[int, int, bytes]] = []
        self._number = count()
        self.baudrate, self.is_open = baud, True
        self._timing()

    def setBaudRate(self, baudrate: int) -> bool:
        self.baudrate = baudrate
        self._timing()
        return True

    def clearPort(self) -> None:
        self._buffer.clear()
        self._due = [due for due in self._due if due[0] > self.now_ns]

    def writePort(self, packet: list[int]) -> int:
        self.bytes_out += len(packet)
        for reply in self.wire.receive(bytes(packet), self.now_ns, rate=self.baudrate):
            heapq.heappush(self._due, (reply.at_ns, next(self._number), reply.data))
        # The kernel takes the bytes at once, and the host goes on.
        return len(packet)

    def _receive(self) -> None:
        deadline = self.now_ns + max(0, round(self._left_s() * 1e9)) + 1
        if self._due and self._due[0][0] <= deadline:
            at_ns, _, data = heapq.heappop(self._due)
            self.now_ns = max(self.now_ns, at_ns)
            self._buffer += data
        else:
            self.now_ns = max(self.now_ns, deadline)
        self.wire.advance(self.now_ns)


class WireHand:
    """A drive over the virtual wire, and its cycles in virtual time."""

    def __init__(self, spec: HandSpec, model: ServoModel, config: DriveConfig, baud: int) -> None:
        self.spec, self.model, self.config = spec, model, config
        self.plant = LaggingJoints(spec)
        self.bus = VirtualBus(spec, self.plant, model, config=BusConfig(baud=baud, chained=True))
        self.heard = Listener(self.bus)
        self.port = WirePort(self.bus, baud or 1_000_000, config.answer_s)
        self.servos = ServoBus(self.port)
        self.profile = drive_profile(spec)
        self.drive: Drive | None = None

    def open(self) -> Drive:
        """Discover and configure as `open_drive` does, then one round of the poll."""
        found = discover(self.servos, self.spec, self.profile.models)
        for servo in found:
            configure(self.servos, self.model, self.profile, servo.id, self.config.watchdog_ms)
        group = ServoGroup(self.servos, self.model, [s.id for s in found])
        group.fast = group.has_fast_read()
        zero = nominal(self.spec, self.model.number)
        scale = JointScale(zero.sign, zero.offset, torque_per_unit(self.model))
        self.drive = Drive(self.spec, group, self.profile, scale, self.config)
        self.run(6 * self.spec.dof)
        return self.drive

    def cycle(self) -> None:
        """One cycle, then the rest of its period."""
        assert self.drive is not None
        began = self.port.now_ns
        self.drive.cycle(began)
        self.port.now_ns = max(self.port.now_ns, began + PERIOD)
        self.bus.advance(self.port.now_ns)

    def run(self, cycles: int) -> None:
        """Several cycles."""
        for _ in range(cycles):
            self.cycle()

    def until(self, done: Callable[[], bool], limit: int = 500) -> int:
        """Cycle until ``done``; the virtual ns that it took. Fails after ``limit`` cycles."""
        began = self.port.now_ns
        for _ in range(limit):
            if done():
                return self.port.now_ns - began
            self.cycle()
        raise AssertionError(f"not within {limit} cycles")

    def armed(self) -> Drive:
        """Opened, armed, and at full torque."""
        drive = self.open()
        drive.order(ARMED)
        self.run(80)
        return drive

    def command(self, q: object, valid_ms: int = 200) -> HandCommand:
        """A command for targets ``q``, of now."""
        now = self.port.now_ns
        return HandCommand(now, now + valid_ms * MS, np.asarray(q, dtype=float))

    def keep_sending(self, q: object, cycles: int) -> None:
        """Cycle after cycle the same targets, whether they are taken or not."""
        assert self.drive is not None
        for _ in range(cycles):
            with contextlib.suppress(CommandRefused, DeviceError):
                self.drive.follow(self.command(q))
            self.cycle()

    def fault(self, line: str) -> None:
        """Let a fault begin."""
        self.bus.inject(parse_fault(line), self.port.now_ns)

    def mend(self) -> None:
        """End every fault."""
        self.bus.clear(self.port.now_ns)

    def value(self, name: str) -> list[int]:
        """Register ``name`` of every servo, as the servos hold it."""
        return [servo.value(name) for servo in self.bus.servos]


@pytest.fixture
def wire_hand() -> Callable[..., WireHand]:
    """Makes a hand on a virtual wire: ``wire_hand(spec=, model=, baud=, **DriveConfig)``."""

    def make(
        spec: HandSpec | None = None, model: ServoModel = XM430_W210, baud: int = 1_000_000, **changed: object
    ) -> WireHand:
        return WireHand(spec or dclaw(3), model, DriveConfig(**changed), baud)  # type: ignore[arg-type]

    return make


@pytest.fixture
def wire_port() -> type[WirePort]:
    """Makes a port on a virtual wire to a bus."""
    return WirePort


class PtyBench:
    """A breakable virtual bus behind a real pseudo-terminal, served by a thread."""

    def __init__(self, spec: HandSpec, model: ServoModel, config: BusConfig, link: Path | None) -> None:
        now = time.monotonic_ns()
        self.spec, self.model = spec, model
        self.plant = LaggingJoints(spec, now_ns=now)
        self.bus = VirtualBus(spec, self.plant, model, config=config, now_ns=now)
        self.port = VirtualPort(self.bus, link=link)
        self.config = DriveConfig(answer_s=0.05, watchdog_ms=2500, ramp_s=0.05, release_s=0.05)
        self.calibration = nominal(spec, model.number)

    @property
    def path(self) -> str:
        """What a driver opens."""
        return self.port.path

    def hand(self) -> DynamixelHand:
        """The hand opened, its loop running. A machine that is busy for seconds is not a loop that hangs."""
        beat = ClockBeat(self.config.rate_hz, stall_s=20.0)
        return open_hand(self.spec, self.path, calibration=self.calibration, config=self.config, beat=beat)


@pytest.fixture
def pty_bench() -> Iterator[Callable[..., PtyBench]]:
    """Makes running pty benches: ``pty_bench(spec=, model=, **BusConfig)``."""
    made: list[PtyBench] = []

    def make(
        spec: HandSpec | None = None, model: ServoModel = XM430_W210, link: Path | None = None, **changed: object
    ) -> PtyBench:
        made.append(PtyBench(spec or dclaw(3), model, BusConfig(**changed), link))  # type: ignore[arg-type]
        made[-1].port.__enter__()
        return made[-1]

    yield make
    for bench in made:
        bench.port.close()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until a condition holds, 20 s at most."""

    def wait(done: Callable[[], bool], what: str = "") -> None:
        deadline = time.monotonic() + 20.0
        while not done():
            assert time.monotonic() < deadline, f"not within 20 s: {what}"
            time.sleep(0.005)

    return wait


@pytest.fixture
def home_file(tmp_path: Path) -> Path:
    """A calibration file of the test's own."""
    return tmp_path / "calibration.json"


@pytest.fixture(scope="session")
def near() -> Callable[..., bool]:
    """Whether angles agree within two pulses."""
    return lambda a, b: bool((np.abs(np.asarray(a) - np.asarray(b)) < 0.0031).all())
