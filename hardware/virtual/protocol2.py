"""Dynamixel Protocol 2.0, the servos' side: CRC, byte stuffing, packets out of a stream of bytes, status packets.

    FF FF FD 00 | id | length (2, low first) | instruction | parameters | CRC (2, low first)

Length counts what follows it. The CRC is over everything before it, with polynomial 0x8005, start 0, most significant
bit first, nothing reflected. Where FF FF FD occurs from the instruction on, an FD is put after it, so that no body
holds a header. An implementation of its own: the driver speaks through the maker's SDK.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

HEADER = b"\xff\xff\xfd\x00"
BROADCAST = 0xFE
MAX_ID = 0xFC
STATUS = 0x55
MAX_LENGTH = 1024
"""A longer packet is taken for garbage: the X servos' buffers are smaller still."""

ALERT = 0x80
"""Set in a status packet's error while Hardware Error Status is not 0."""

_MARK = b"\xff\xff\xfd"


class Instruction(IntEnum):
    """What a packet asks for."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class StatusError(IntEnum):
    """The error number of a status packet."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = ((value << 1) ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes, start: int = 0) -> int:
    """The CRC of ``data``, going on from ``start``."""
    value = start
    for byte in data:
        value = ((value << 8) ^ _CRC[(value >> 8) ^ byte]) & 0xFFFF
    return value


def stuff(body: bytes) -> bytes:
    """``body`` (instruction and parameters) with FD after every FF FF FD."""
    return body.replace(_MARK, _MARK + b"\xfd")


def unstuff(body: bytes) -> bytes:
    """What ``stuff`` was given."""
    return body.replace(_MARK + b"\xfd", _MARK)


@dataclass(frozen=True)
class Packet:
    """One packet: ``parameters`` unstuffed; ``intact`` is False where the CRC does not match what came."""

    id: int
    instruction: int
    parameters: bytes = b""
    intact: bool = True

    def encode(self) -> bytes:
        """The bytes on the bus."""
        body = stuff(bytes([self.instruction]) + self.parameters)
        head = HEADER + bytes([self.id]) + (len(body) + 2).to_bytes(2, "little")
        return head + body + crc16(head + body).to_bytes(2, "little")


def status(id: int, error: int, parameters: bytes = b"") -> bytes:
    """The bytes of a status packet from servo ``id``."""
    return Packet(id, STATUS, bytes([error]) + parameters).encode()


@dataclass
class PacketReader:
    """Packets out of bytes that come in any pieces, with garbage between them.

    What is no packet is dropped, never more than needed, so that a packet behind garbage is found. A packet whose CRC
    fails is given out once, not ``intact`` (a servo answers it with an error), and its header alone is dropped: a
    packet may begin inside it.
    """

    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that ``data`` completes, in order."""
        self._buffer += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of a packet."""
        return len(self._buffer)

    def forget(self) -> None:
        """Drop what waits: a line that was silent in the midst of a packet has lost the rest."""
        self._buffer.clear()

    def _next(self) -> Packet | None:
        buffer = self._buffer
        while True:
            start = buffer.find(HEADER)
            if start < 0:
                # Up to three last bytes may be the beginning of a header.
                keep = next((n for n in (3, 2, 1) if buffer.endswith(HEADER[:n])), 0)
                del buffer[: len(buffer) - keep]
                return None
            del buffer[:start]
            if len(buffer) < 7:
                return None
            length = int.from_bytes(buffer[5:7], "little")
            if not 3 <= length <= MAX_LENGTH or (buffer[4] > MAX_ID and buffer[4] != BROADCAST):
                del buffer[:3]
                continue
            if len(buffer) < 7 + length:
                return None
            return self._take(7 + length)

    def _take(self, size: int) -> Packet:
        raw = bytes(self._buffer[:size])
        intact = crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little")
        del self._buffer[: size if intact else 3]
        body = unstuff(raw[7:-2])
        return Packet(raw[4], body[0], body[1:], intact)
