"""What the servos of a bus answer to one instruction packet, in the order in which they answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from knuckle.hardware.virtual.protocol2 import (
    ALERT,
    BROADCAST,
    Instruction,
    Packet,
    StatusError,
    fast_status,
    status,
)
from knuckle.hardware.virtual.servo import ServoRefusal, VirtualServo

PING_LEVEL, READ_LEVEL, ALL_LEVEL = 0, 1, 2
"""Status Return Level: what a servo answers at all."""


@dataclass(frozen=True)
class Answer:
    """A status packet, ``data`` as it goes over the wire, of ``servo`` (for a fast read: of the first)."""

    servo: VirtualServo
    data: bytes


def answers(servos: Sequence[VirtualServo], packet: Packet, now_ns: int) -> list[Answer]:
    """Carry ``packet`` out and give the answers. Broadcasts are answered only where the manual says so."""
    if not packet.intact:
        return [_status(s, StatusError.CRC) for s in servos if s.id == packet.id and _speaks(s, ALL_LEVEL)]
    group = _GROUPS.get(packet.instruction)
    if group is not None:
        return group(servos, packet.parameters) if packet.id == BROADCAST else []
    found = []
    for servo in sorted(servos, key=lambda s: s.id):
        if packet.id in (servo.id, BROADCAST):
            found += _single(servo, packet, now_ns)
    return found


def _single(servo: VirtualServo, packet: Packet, now_ns: int) -> list[Answer]:
    """One servo's answer to an instruction for it or for all."""
    quiet = packet.id == BROADCAST
    p, level, data, error = packet.parameters, ALL_LEVEL, b"", StatusError.NONE
    try:
        match packet.instruction:
            case Instruction.PING:
                number = servo.value("model_number").to_bytes(2, "little")
                level, quiet, data = PING_LEVEL, False, number + bytes([servo.value("firmware_version")])
            case Instruction.READ:
                level = READ_LEVEL
                _need(len(p) == 4)
                data = servo.read(_word(p, 0), _word(p, 2))
            case Instruction.WRITE:
                _need(len(p) > 2)
                servo.write(_word(p, 0), p[2:])
            case Instruction.REG_WRITE:
                _need(len(p) > 2)
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
    return [] if quiet or not _speaks(servo, level) else [_status(servo, error, data)]


def _sync_read(servos: Sequence[VirtualServo], p: bytes) -> list[Answer]:
    wanted = [(id, _word(p, 0), _word(p, 2)) for id in p[4:]] if len(p) > 4 else []
    return [_status(servo, error, data) for servo, error, data in _reads(servos, wanted)]


def _fast_sync_read(servos: Sequence[VirtualServo], p: bytes) -> list[Answer]:
    wanted = [(id, _word(p, 0), _word(p, 2)) for id in p[4:]] if len(p) > 4 else []
    return _fast(servos, wanted)


def _bulk_read(servos: Sequence[VirtualServo], p: bytes) -> list[Answer]:
    return [_status(servo, error, data) for servo, error, data in _reads(servos, _bulk(p))]


def _fast_bulk_read(servos: Sequence[VirtualServo], p: bytes) -> list[Answer]:
    return _fast(servos, _bulk(p))


def _sync_write(servos: Sequence[VirtualServo], p: bytes) -> list[Answer]:
    """No servo answers a sync write, not even one that refuses it."""
    if len(p) < 4 or (size := _word(p, 2)) == 0:
        return []
    for n in range(4, len(p) - size, 1 + size):
        _write(servos, p[n], _word(p, 0), p[n + 1 : n + 1 + size])
    return []


def _bulk_write(servos: Sequence[VirtualServo], p: bytes) -> list[Answer]:
    n = 0
    while n + 5 <= len(p):
        id, address, size = p[n], _word(p, n + 1), _word(p, n + 3)
        if n + 5 + size > len(p):
            break
        _write(servos, id, address, p[n + 5 : n + 5 + size])
        n += 5 + size
    return []


def _write(servos: Sequence[VirtualServo], id: int, address: int, data: bytes) -> None:
    for servo in servos:
        if servo.id == id:
            try:
                servo.write(address, data)
            except ServoRefusal:
                # What a group write is refused for is never said: the bus is built so.
                continue


def _reads(
    servos: Sequence[VirtualServo], wanted: list[tuple[int, int, int]]
) -> list[tuple[VirtualServo, StatusError, bytes]]:
    """``(servo, error, data)`` of the group read's servos that answer, in the order asked for."""
    found = []
    for id, address, size in wanted:
        for servo in servos:
            if servo.id == id and _speaks(servo, READ_LEVEL):
                try:
                    found.append((servo, StatusError.NONE, servo.read(address, size)))
                except ServoRefusal as refusal:
                    found.append((servo, refusal.error, b""))
    return found


def _fast(servos: Sequence[VirtualServo], wanted: list[tuple[int, int, int]]) -> list[Answer]:
    """The one packet of a fast read. Each servo waits for the one before it, so behind a missing one nobody speaks,
    and the host is left with a packet shorter than its length says."""
    read = _reads(servos, wanted)
    whole = [(id, 0, bytes(size)) for id, _, size in wanted]
    if not read:
        return []
    parts: list[tuple[int, int, bytes]] = []
    for (id, _, size), (servo, error, data) in zip(wanted, read, strict=False):
        if servo.id != id:
            break
        parts.append((servo.id, _error(servo, error), data.ljust(size, b"\0")))
    if not parts:
        return []
    complete = fast_status(parts + whole[len(parts) :])
    missing = sum(4 + size for _, _, size in wanted[len(parts) :])
    return [Answer(read[0][0], complete[: len(complete) - missing])]


def _bulk(p: bytes) -> list[tuple[int, int, int]]:
    return [(p[n], _word(p, n + 1), _word(p, n + 3)) for n in range(0, len(p) - 4, 5)]


def _status(servo: VirtualServo, error: int, data: bytes = b"") -> Answer:
    return Answer(servo, status(servo.id, _error(servo, error), data))


def _error(servo: VirtualServo, error: int) -> int:
    return error | (ALERT if servo.hardware_error else 0)


def _speaks(servo: VirtualServo, level: int) -> bool:
    return servo.value("status_return_level") >= level


def _need(met: bool) -> None:
    if not met:
        raise ServoRefusal(StatusError.DATA_LENGTH)


def _word(p: bytes, n: int) -> int:
    return int.from_bytes(p[n : n + 2], "little")


_GROUPS: dict[int, Callable[[Sequence[VirtualServo], bytes], list[Answer]]] = {
    Instruction.SYNC_READ: _sync_read,
    Instruction.FAST_SYNC_READ: _fast_sync_read,
    Instruction.BULK_READ: _bulk_read,
    Instruction.FAST_BULK_READ: _fast_bulk_read,
    Instruction.SYNC_WRITE: _sync_write,
    Instruction.BULK_WRITE: _bulk_write,
}
