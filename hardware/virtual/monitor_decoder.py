"""The monitor's own reading of what a host sends: the writes in it, and no more. Written apart from the servos'."""

from __future__ import annotations

from dataclasses import dataclass

_START = (0xFF, 0xFF, 0xFD, 0x00)
_LONGEST = 1024
_EVERYBODY = 254

# CRC-16 with polynomial x^16 + x^15 + x^2 + 1, four bits at a time.
_NIBBLES = (
    0x0000, 0x8005, 0x800F, 0x000A, 0x801B, 0x001E, 0x0014, 0x8011,
    0x8033, 0x0036, 0x003C, 0x8039, 0x0028, 0x802D, 0x8027, 0x0022,
)  # fmt: skip


@dataclass(frozen=True)
class RawWrite:
    """Bytes written from ``address`` on to ``servo`` (None: to every servo)."""

    servo: int | None
    address: int
    data: bytes


def _sum(data: bytes) -> int:
    value = 0
    for byte in data:
        value = ((value << 4) & 0xFFFF) ^ _NIBBLES[(value >> 12) ^ (byte >> 4)]
        value = ((value << 4) & 0xFFFF) ^ _NIBBLES[(value >> 12) ^ (byte & 0x0F)]
    return value


class Decoder:
    """Finds packets in a stream that may be cut anywhere; one whose sum is wrong says nothing."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[list[RawWrite]]:
        """Per packet that ``data`` completes, the writes it carries (none for any other instruction)."""
        stream, at, found = self._rest + data, 0, []
        while True:
            at = self._start(stream, at)
            if len(stream) - at < 7:
                break
            size = stream[at + 5] + 256 * stream[at + 6]
            if size < 3 or size > _LONGEST:
                at += 1
                continue
            if len(stream) - at < 7 + size:
                break
            packet = stream[at : at + 7 + size]
            if _sum(packet[:-2]) != packet[-2] + 256 * packet[-1]:
                at += 1
                continue
            found.append(_writes(packet[4], packet[7], _without_stuffing(packet[8:-2])))
            at += 7 + size
        self._rest = stream[at:]
        return found

    @staticmethod
    def _start(stream: bytes, at: int) -> int:
        """Where from ``at`` on a packet starts, or might once more bytes are there."""
        while at < len(stream):
            head = tuple(stream[at : at + 4])
            if head == _START[: len(head)]:
                return at
            at += 1
        return at


def _without_stuffing(body: bytes) -> bytes:
    out = bytearray()
    skip = False
    for byte in body:
        if not skip:
            out.append(byte)
        skip = not skip and bytes(out[-3:]) == b"\xff\xff\xfd"
    return bytes(out)


def _writes(id: int, instruction: int, body: bytes) -> list[RawWrite]:
    if instruction in (0x03, 0x04) and len(body) > 2:  # write, and write at the next action
        return [RawWrite(None if id == _EVERYBODY else id, body[0] + 256 * body[1], body[2:])]
    if instruction == 0x83 and len(body) > 4:  # the same registers of several servos
        address, size = body[0] + 256 * body[1], body[2] + 256 * body[3]
        groups = [body[n : n + 1 + size] for n in range(4, len(body), 1 + size)] if size else []
        return [RawWrite(group[0], address, group[1:]) for group in groups if len(group) == 1 + size]
    if instruction == 0x93:  # other registers of each servo
        found, n = [], 0
        while n + 5 <= len(body):
            size = body[n + 3] + 256 * body[n + 4]
            if n + 5 + size > len(body):
                break
            found.append(RawWrite(body[n], body[n + 1] + 256 * body[n + 2], body[n + 5 : n + 5 + size]))
            n += 5 + size
        return found
    return []
