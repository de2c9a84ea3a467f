"""What the servos of a bus answer to one instruction packet, in the order in which they answer.

Where several servos have one id they answer at once, and the wire carries the bitwise and of what they say: equal
answers look like one, others fail their CRC. In a fast read each servo goes on where the one before it stopped, so
behind a silent one nobody speaks. For the other group reads the manual does not say whether the servos behind a silent
one speak; where they are ``chained`` they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from knuckle.hardware.virtual.protocol2 import (
    ALERT,
    BROADCAST,
    HEADER,
    STATUS,
    Instruction,
    Packet,
    StatusError,
    crc16,
    status,
)
from knuckle.hardware.virtual.servo import ServoRefusal, VirtualServo

PING_LEVEL, READ_LEVEL, ALL_LEVEL = 0, 1, 2
"""Status Return Level: what a servo answers at all."""


@dataclass(frozen=True)
class Place:
    """A servo that hears, and whether it answers this time."""

    servo: VirtualServo
    speaks: bool = True

    def answers(self, level: int) -> bool:
        """Whether it answers what needs this Status Return Level."""
        return self.speaks and self.servo.value("status_return_level") >= level


@dataclass(frozen=True)
class Answer:
    """``data`` as it goes over the wire, from ``servo`` (for a fast read the first that speaks)."""

    servo: VirtualServo
    data: bytes


Line = Sequence[Place]
_Wanted = list[tuple[int, int, int]]  # id, address, size


def answers(line: Line, packet: Packet, now_ns: int, *, chained: bool = False) -> list[Answer]:
    """Carry ``packet`` out and give the answers. Broadcasts are answered only where the manual says so."""
    group = _GROUPS.get(packet.instruction)
    if group is not None and packet.intact:
        return group(line, packet.parameters, chained) if packet.id == BROADCAST else []
    found = []
    for id in sorted({place.servo.id for place in line}):
        if packet.id in (id, BROADCAST):
            said = [_single(place, packet, now_ns) for place in line if place.servo.id == id]
            found += _collide([answer for answer in said if answer is not None])
    return found


def _single(place: Place, packet: Packet, now_ns: int) -> Answer | None:
    """One servo's answer to an instruction for it or for all."""
    servo, p = place.servo, packet.parameters
    quiet, level, data, error = packet.id == BROADCAST, ALL_LEVEL, b"", StatusError.NONE
    try:
        _need(packet.intact, StatusError.CRC)
        match packet.instruction:
            case Instruction.PING:
                number = servo.value("model_number").to_bytes(2, "little")
                level, quiet, data = PING_LEVEL, False, number + bytes([servo.value("firmware_version")])
            case Instruction.READ:
                level = READ_LEVEL
                _need(len(p) == 4, StatusError.DATA_LENGTH)
                data = servo.read(_word(p, 0), _word(p, 2))
            case Instruction.WRITE:
                _need(len(p) > 2, StatusError.DATA_LENGTH)
                servo.write(_word(p, 0), p[2:])
            case Instruction.REG_WRITE:
                _need(len(p) > 2, StatusError.DATA_LENGTH)
                servo.register_write(_word(p, 0), p[2:])
            case Instruction.ACTION:
                servo.action()
            case Instruction.REBOOT:
                servo.power_up(now_ns)
            case Instruction.FACTORY_RESET | Instruction.CLEAR:
                # Real servos carry these out; no driver of ours has a reason to ask.
                raise ServoRefusal(StatusError.RESULT_FAIL)
            case _:
                raise ServoRefusal(StatusError.INSTRUCTION)
    except ServoRefusal as refusal:
        error = refusal.error
    if quiet or not place.answers(level):
        return None
    return Answer(servo, status(servo.id, _error(servo, error), data))


def _group_read(line: Line, wanted: _Wanted, chained: bool) -> list[Answer]:
    found: list[Answer] = []
    for id, address, size in wanted:
        said = [
            Answer(servo, status(id, _error(servo, error), data))
            for servo, error, data in _read(line, id, address, size)
        ]
        if not said and chained:
            break
        found += _collide(said)
    return found


def _fast_read(line: Line, wanted: _Wanted) -> list[Answer]:
    """The one packet of a fast read, error, id, data and CRC of each servo behind each other.

    A servo's CRC covers everything before it, so the last one is the packet's. Behind a missing servo nothing comes,
    and the packet stays shorter than its length says. Nothing is stuffed, as the SDK expects it: the first servo gives
    the length of all before the others' data are known.
    """
    length = 1 + sum(size + 4 for _, _, size in wanted)
    packet, first = HEADER + bytes([BROADCAST]) + length.to_bytes(2, "little") + bytes([STATUS]), None
    for id, address, size in wanted:
        said = []
        for servo, error, data in _read(line, id, address, size):
            first = first or servo
            part = bytes([_error(servo, error), id]) + data.ljust(size, b"\0")
            said.append(part + crc16(packet + part).to_bytes(2, "little"))
        if not said:
            break
        packet += _wired_and(said)
    return [] if first is None else [Answer(first, packet)]


def _read(line: Line, id: int, address: int, size: int) -> list[tuple[VirtualServo, StatusError, bytes]]:
    """``(servo, error, data)`` of each servo with ``id`` that answers."""
    found = []
    for place in line:
        if place.servo.id == id and place.answers(READ_LEVEL):
            try:
                found.append((place.servo, StatusError.NONE, place.servo.read(address, size)))
            except ServoRefusal as refusal:
                found.append((place.servo, refusal.error, b""))
    return found


def _sync_write(line: Line, p: bytes, chained: bool) -> list[Answer]:
    if len(p) < 4 or (size := _word(p, 2)) == 0:
        return []
    for n in range(4, len(p) - size, 1 + size):
        _write(line, p[n], _word(p, 0), p[n + 1 : n + 1 + size])
    return []


def _bulk_write(line: Line, p: bytes, chained: bool) -> list[Answer]:
    n = 0
    while n + 5 <= len(p) and n + 5 + (size := _word(p, n + 3)) <= len(p):
        _write(line, p[n], _word(p, n + 1), p[n + 5 : n + 5 + size])
        n += 5 + size
    return []


def _write(line: Line, id: int, address: int, data: bytes) -> None:
    for place in line:
        if place.servo.id == id:
            try:
                place.servo.write(address, data)
            except ServoRefusal:
                # No servo answers a group write, not even one that refuses it.
                continue


def _sync(p: bytes) -> _Wanted:
    return [(id, _word(p, 0), _word(p, 2)) for id in p[4:]]


def _bulk(p: bytes) -> _Wanted:
    return [(p[n], _word(p, n + 1), _word(p, n + 3)) for n in range(0, len(p) - 4, 5)]


def _collide(said: list[Answer]) -> list[Answer]:
    return [Answer(said[0].servo, _wired_and([answer.data for answer in said]))] if said else []


def _wired_and(said: list[bytes]) -> bytes:
    """What is on the wire where several drive it: it idles high, and any of them pulls it low."""
    if len(said) == 1:
        return said[0]
    wire = bytearray()
    for column in zip_longest(*said, fillvalue=0xFF):
        byte = 0xFF
        for one in column:
            byte &= one
        wire.append(byte)
    return bytes(wire)


def _error(servo: VirtualServo, error: int) -> int:
    return error | (ALERT if servo.hardware_error else 0)


def _need(met: bool, error: StatusError) -> None:
    if not met:
        raise ServoRefusal(error)


def _word(p: bytes, n: int) -> int:
    return int.from_bytes(p[n : n + 2], "little")


_GROUPS: dict[int, Callable[[Line, bytes, bool], list[Answer]]] = {
    Instruction.SYNC_READ: lambda line, p, chained: _group_read(line, _sync(p), chained),
    Instruction.FAST_SYNC_READ: lambda line, p, chained: _fast_read(line, _sync(p)),
    Instruction.BULK_READ: lambda line, p, chained: _group_read(line, _bulk(p), chained),
    Instruction.FAST_BULK_READ: lambda line, p, chained: _fast_read(line, _bulk(p)),
    Instruction.SYNC_WRITE: _sync_write,
    Instruction.BULK_WRITE: _bulk_write,
}
