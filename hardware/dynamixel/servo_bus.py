"""The one owner of a servo port: instructions of Protocol 2.0 through the vendor's SDK, from one thread alone.

The SDK's group reads give up everything where one servo is silent, hand out 0 for what was not read, and drop each
servo's error byte. Here its packet layer is used below them: every status packet that comes is kept under its id.

A status packet does not say what it answers. One that comes after its time would be taken for the answer to whatever
was asked next, and a temperature for a hardware error. So only a packet of exactly the length that is due is taken, and
for a while after an answer did not come nothing else with an answer of that length is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dynamixel_sdk import COMM_PORT_BUSY, COMM_RX_CORRUPT, COMM_RX_TIMEOUT, COMM_SUCCESS, Protocol2PacketHandler

from knuckle.hardware.dynamixel.faults import (
    ALERT,
    STATUS_ERRORS,
    NotAsWritten,
    ServoGarbled,
    ServoRefused,
    ServoSilent,
)
from knuckle.hardware.dynamixel.serial_port import ServoPort
from knuckle.hardware.spec.dynamixel_table import Register

LATE_MS = 50.0
"""An answer that is later than this is not expected any more."""

TRIES = 3
"""A packet is asked for once and twice again."""

_ID, _LENGTH, _INSTRUCTION, _ERROR, _DATA = 4, 5, 7, 8, 9
_PING, _PONG = 10, 14
_BEFORE_LENGTH_COUNTS = 7
_FAST_FIRST, _FAST_FRAME = 8, 4
_BROADCAST = 0xFE
_HEAD_AND_TAIL = 11


@dataclass(frozen=True)
class Reply:
    """What one servo answered: the bytes asked for, and whether it reports a hardware error."""

    data: bytes
    alert: bool


@dataclass
class BusCounts:
    """Since the bus was opened: transactions, answers missing or garbled at the first try, and what retries mended;
    and packets that wrote to several servos (``told``), which nobody answers."""

    asked: int = 0
    missed: int = 0
    garbled: int = 0
    mended: int = 0
    told: int = 0


class _Packets(Protocol2PacketHandler):  # type: ignore[misc]  # the SDK has no types
    """The SDK's packet layer with its byte stuffing at work.

    SDK 4.1.0 stuffs into a new list and sends the old one, so that a packet with FF FF FD in it goes out wrong.
    """

    def addStuffing(self, packet: list[int]) -> list[int]:
        """Stuff ``packet`` in place."""
        packet[:] = super().addStuffing(packet)
        return packet


class ServoBus:
    """Servos behind ``port``. Every call must come from the thread that made the bus, or that ``adopt``ed it."""

    def __init__(self, port: ServoPort) -> None:
        self.port = port
        self.counts = BusCounts()
        self._packets = _Packets()
        self._owner = threading.get_ident()
        self._asked: object = None
        self._lengths: Sequence[int] = ()
        self._owed: dict[int, tuple[object, float]] = {}

    def owed(self, *sizes: int) -> bool:
        """Whether an answer with one of ``sizes`` bytes of data did not come in time and may still come."""
        now_ms, never = self.port.getCurrentTime(), (None, -1.0)
        return any(self._owed.get(_HEAD_AND_TAIL + size, never)[1] > now_ms for size in sizes)

    def adopt(self) -> None:
        """Make the calling thread the owner; whoever owned it before must not call again."""
        self._owner = threading.get_ident()

    def ping(self, servo: int) -> int:
        """The model number of ``servo``. Raises ServoSilent and ServoGarbled."""
        packet, result = self._ping(servo)
        self._must(result, servo)
        return packet[_DATA] | packet[_DATA + 1] << 8

    def scan(self) -> dict[int, int]:
        """Model numbers by the id of every servo that answers a ping of all: 0.8 s at least. Empty where none does."""
        self._claim(("scan",), (_PONG,))
        found, _ = self._packets.broadcastPing(self.port)
        return {int(servo): int(model) for servo, (model, _) in found.items()}

    def answers(self, servo: int) -> int:
        """How many status packets follow one ping of ``servo``: two where two servos share an id and do not collide."""
        _, result = self._ping(servo)
        self.port.setPacketTimeout(_HEAD_AND_TAIL)
        _, second = self._answer(servo, (_PONG,))
        return int(result == COMM_SUCCESS) + int(second == COMM_SUCCESS)

    def read(self, servo: int, register: Register) -> int:
        """The value of ``register``. Raises ServoSilent, ServoGarbled and ServoRefused."""
        return register.decode(self.read_bytes(servo, register.address, register.size))

    def read_bytes(self, servo: int, address: int, size: int) -> bytes:
        """``size`` bytes from ``address``, tried again where they do not come. Raises as ``read``."""

        def once() -> tuple[list[int], int]:
            self._must(self._packets.readTx(self.port, servo, address, size), servo)
            return self._answer(servo, (_HEAD_AND_TAIL + size, _HEAD_AND_TAIL))

        asked = ("read", servo, address, size), (_HEAD_AND_TAIL + size, _HEAD_AND_TAIL)
        packet = self._retried(asked, servo, once)
        self._accepted(packet[_ERROR], servo, f"reading {address}")
        if length(packet) != _HEAD_AND_TAIL + size:
            raise ServoGarbled(f"servo {servo} sent no data of {address}", where=self.port.port_name)
        return bytes(packet[_DATA : _DATA + size])

    def write(self, servo: int, register: Register, value: int) -> None:
        """Write ``register``. Raises ServoSilent, ServoGarbled and ServoRefused."""
        data = list(register.encode(value))

        def once() -> tuple[list[int], int]:
            self._must(self._packets.writeTxOnly(self.port, servo, register.address, register.size, data), servo)
            self.port.setPacketTimeout(_HEAD_AND_TAIL)
            return self._answer(servo, (_HEAD_AND_TAIL,))

        asked = ("write", servo, register.address, value), (_HEAD_AND_TAIL,)
        packet = self._retried(asked, servo, once)
        self._accepted(packet[_ERROR], servo, f"{register.name} = {value}")

    def write_checked(self, servo: int, register: Register, value: int) -> None:
        """Write ``register`` and compare what reads back. Raises as ``write``, and NotAsWritten."""
        self.write(servo, register, value)
        self.require(servo, register, value)

    def require(self, servo: int, register: Register, value: int) -> None:
        """Raise NotAsWritten where ``register`` does not hold ``value``."""
        got = self.read(servo, register)
        if got != value:
            # Asked again: what is about to end an opening must be said twice.
            got = self.read(servo, register)
        if got != value:
            raise NotAsWritten(
                f"servo {servo} holds {register.name} = {got}", where=self.port.port_name, right=f"{value} was written"
            )

    def reboot(self, servo: int) -> None:
        """Restart ``servo``: its torque goes off, its hardware errors are cleared, and it is silent for a while."""
        self._claim(("reboot", servo), (_HEAD_AND_TAIL,))
        result, error = self._packets.reboot(self.port, servo)
        self._must(result, servo)
        self._accepted(error & ~ALERT, servo, "reboot")

    def sync_write(self, register: Register, values: Mapping[int, int]) -> None:
        """Write ``register`` of several servos in one packet. No servo answers it, not even to refuse."""
        if not values:
            return
        self._claim(None, ())
        parameters: list[int] = []
        for servo, value in values.items():
            parameters += [servo, *register.encode(value)]
        result = self._packets.syncWriteTxOnly(self.port, register.address, register.size, parameters, len(parameters))
        self._must(result, _BROADCAST)
        self.counts.told += 1

    def sync_read(self, servos: Sequence[int], address: int, size: int, *, fast: bool = False) -> dict[int, Reply]:
        """``size`` bytes from ``address`` of each servo that answers, within two retries for those that do not.

        A servo that stays silent is not in the result. With ``fast`` all are asked for in one status packet first. Each
        servo waits for the one before it, so that behind a silent one nobody may speak: a retry asks that one last.
        """
        self._claim(("sync", address, size), (_HEAD_AND_TAIL + size,))
        replies: dict[int, Reply] = {}
        missing = list(servos)
        for attempt in range(TRIES):
            if not missing:
                break
            self.counts.asked += 1
            got = self._fast(missing, address, size) if fast and attempt == 0 else self._plain(missing, address, size)
            replies |= got
            self.counts.mended += len(got) if attempt else 0
            missing = suspect_last(missing, got)
            self.counts.missed += 0 if attempt else len(missing)
        if missing:
            self._miss()
        return replies

    def close(self) -> None:
        """Close the port."""
        self.port.closePort()

    # The SDK's packet layer

    def _plain(self, servos: Sequence[int], address: int, size: int) -> dict[int, Reply]:
        self._must(self._packets.syncReadTx(self.port, address, size, list(servos), len(servos), False), _BROADCAST)
        # The SDK allows for that many bytes as answers; what one answer adds to its data is known here.
        self.port.setPacketTimeout((_HEAD_AND_TAIL + size) * len(servos))
        wanted, replies = set(servos), dict[int, Reply]()
        while len(replies) < len(wanted):
            packet, result = self._packets.rxPacket(self.port, False)
            if result != COMM_SUCCESS:
                self.counts.garbled += result == COMM_RX_CORRUPT
                if self.port.expired():
                    break
                continue
            data = bytes(packet[_DATA : _DATA + size])
            whole = length(packet) == _HEAD_AND_TAIL + size and not packet[_ERROR] & ~ALERT
            if packet[_ID] in wanted and whole:
                replies[packet[_ID]] = Reply(data, bool(packet[_ERROR] & ALERT))
        return replies

    def _fast(self, servos: Sequence[int], address: int, size: int) -> dict[int, Reply]:
        self._must(self._packets.syncReadTx(self.port, address, size, list(servos), len(servos), True), _BROADCAST)
        self.port.setPacketTimeout(_HEAD_AND_TAIL + (_FAST_FRAME + size) * len(servos))
        while True:
            packet, result = self._packets.rxPacket(self.port, True)
            # A late answer to a plain read is no answer to this one.
            if result != COMM_SUCCESS or packet[_ID] == _BROADCAST or self.port.expired():
                break
        self.counts.garbled += result == COMM_RX_CORRUPT
        if packet[_ID : _ID + 1] != [_BROADCAST]:
            return {}
        replies = dict[int, Reply]()
        if result == COMM_SUCCESS and length(packet) != _FAST_FIRST + (_FAST_FRAME + size) * len(servos):
            return replies
        # Of each servo, in the order asked: error, id, data, CRC over all before it (the last one over everything).
        for n, servo in enumerate(servos):
            start = _FAST_FIRST + n * (_FAST_FRAME + size)
            end = start + _FAST_FRAME - 2 + size
            if end + 2 > len(packet) or packet[start + 1] != servo:
                break
            if result != COMM_SUCCESS and self._packets.updateCRC(0, packet, end) != packet[end] | packet[end + 1] << 8:
                break
            if not packet[start] & ~ALERT:
                replies[servo] = Reply(bytes(packet[start + 2 : end]), bool(packet[start] & ALERT))
        return replies

    def _ping(self, servo: int) -> tuple[list[int], int]:
        self._claim(("ping", servo), (_PONG,))
        packet = [0] * _PING
        packet[_ID], packet[_LENGTH], packet[_INSTRUCTION] = servo, 3, 1
        self._must(self._packets.txPacket(self.port, packet), servo)
        self.port.setPacketTimeout(_PONG)
        return self._answer(servo, (_PONG,))

    def _answer(self, servo: int, lengths: Sequence[int]) -> tuple[list[int], int]:
        """The status packet of ``servo`` with one of ``lengths``, and the SDK's result; others are dropped."""
        while True:
            packet, result = self._packets.rxPacket(self.port, False)
            if result == COMM_SUCCESS and packet[_ID] == servo and length(packet) in lengths:
                return packet, COMM_SUCCESS
            self.counts.garbled += result == COMM_RX_CORRUPT
            if result == COMM_RX_CORRUPT or self.port.expired():
                self._miss()
                return packet, COMM_RX_TIMEOUT if result == COMM_SUCCESS else result

    def _retried(
        self, asked: tuple[object, Sequence[int]], servo: int, once: Callable[[], tuple[list[int], int]]
    ) -> list[int]:
        self._claim(*asked)
        result = COMM_RX_TIMEOUT
        for attempt in range(TRIES):
            self.counts.asked += 1
            packet, result = once()
            if result == COMM_SUCCESS:
                self.counts.mended += attempt > 0
                return packet
            self.counts.missed += attempt == 0
        self._must(result, servo)
        raise AssertionError("a result that is no success was not raised")

    def _claim(self, asked: object, lengths: Sequence[int]) -> None:
        """Begin to ask for ``asked``, whose answers have ``lengths``: none where nobody answers.

        Where an answer to something else of such a length may still come, it is waited for and thrown away.
        """
        if threading.get_ident() != self._owner:
            raise RuntimeError(f"{self.port.port_name}: the servo bus belongs to another thread")
        # An exception that left the SDK in the midst of a packet leaves this set, and every later call would be busy.
        self.port.is_using = False
        self._asked, self._lengths = asked, lengths
        for size in lengths:
            other, until_ms = self._owed.get(size, (asked, 0.0))
            if other != asked:
                self.port.drain(until_ms)
                del self._owed[size]

    def _miss(self) -> None:
        """What was asked for was not answered in time."""
        until_ms = self.port.getCurrentTime() + LATE_MS
        self._owed |= dict.fromkeys(self._lengths, (self._asked, until_ms))

    def _must(self, result: int, servo: int) -> None:
        where, right = self.port.port_name, f"power, cable and id at {self.port.baudrate} baud"
        who = "the bus" if servo == _BROADCAST else f"servo {servo}"
        if result == COMM_SUCCESS:
            return
        if result == COMM_PORT_BUSY:
            raise RuntimeError(f"{where}: the SDK's port is busy")
        if result == COMM_RX_CORRUPT:
            raise ServoGarbled(f"{who} cannot be understood", where=where, right=right)
        raise ServoSilent(f"{who} does not answer", where=where, right=right)

    def _accepted(self, error: int, servo: int, what: str) -> None:
        if error & ~ALERT:
            why = STATUS_ERRORS.get(error & ~ALERT, f"error {error & ~ALERT}")
            raise ServoRefused(f"servo {servo} refused {what}: {why}", where=self.port.port_name)


def length(packet: Sequence[int]) -> int:
    """The bytes of a packet as it says itself: the SDK leaves behind it what it took out as stuffing."""
    return packet[_LENGTH] + (packet[_LENGTH + 1] << 8) + _BEFORE_LENGTH_COUNTS


def suspect_last(asked: Sequence[int], answered: Container[int]) -> list[int]:
    """Those of ``asked`` that did not answer, the first of them, behind whom nobody may have spoken, at the end."""
    missing = [servo for servo in asked if servo not in answered]
    return missing[1:] + missing[:1]


def in_order(found: Iterable[int]) -> str:
    """Ids as text, smallest first."""
    return ", ".join(map(str, sorted(found))) or "none"
