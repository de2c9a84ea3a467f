"""Who is on the bus: every expected servo, once, of the right model, at this rate. Writes nothing, moves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from knuckle.core.errors import DeviceError
from knuckle.hardware.dynamixel.faults import ServoGarbled, ServoSilent
from knuckle.hardware.dynamixel.servo_bus import TRIES, ServoBus, in_order
from knuckle.hardware.spec.dynamixel_table import BAUD_RATES, MODELS, ServoModel
from knuckle.hardware.spec.hand_spec import HandSpec

_PROBED = 3


@dataclass(frozen=True)
class FoundServo:
    """A servo that answered: its id, the number of its model, its firmware."""

    id: int
    model_number: int
    firmware: int

    @property
    def model_name(self) -> str:
        """The model's name, or its number where it is not known here."""
        model = MODELS.get(self.model_number)
        return model.name if model else f"model {self.model_number}"


def discover(bus: ServoBus, spec: HandSpec, models: Sequence[ServoModel]) -> list[FoundServo]:
    """The servos of ``spec`` in joint order, all of one model out of ``models``.

    Raises DeviceError in one line: none at this baud rate (the one that answers is named), one missing, one id twice,
    another model, two models in one hand.
    """
    names = {joint.servo_id: joint.name for joint in spec.joints}
    where, numbers = bus.port.port_name, dict[int, int]()
    silent, garbled = list[int](), list[int]()
    for servo in names:
        try:
            numbers[servo] = ping(bus, servo)
        except ServoGarbled:
            garbled.append(servo)
        except ServoSilent:
            silent.append(servo)
    if not numbers:
        raise _nobody(bus, list(names), garbled)
    doubled = [s for s in garbled if s not in silent] + [s for s in numbers if answered_twice(bus, s)]
    if doubled:
        who = ", ".join(f"id {s} ({names[s]})" for s in sorted(doubled))
        raise DeviceError(
            f"two servos answer as {who}, or its line is disturbed", where=where, right="each id once: change one alone"
        )
    if silent:
        who = ", ".join(f"servo {s} ({names[s]})" for s in silent)
        strangers = set(bus.scan()) - set(names)
        hint = f"; not of this hand: id {in_order(strangers)}" if strangers else ""
        raise DeviceError(
            f"{who} does not answer, {len(numbers)} of {len(names)} do{hint}", where=where, right="its cable and its id"
        )
    return _of_one_model(bus, spec, models, numbers)


def ping(bus: ServoBus, servo: int) -> int:
    """The model number of ``servo``, asked for as often as any packet. Raises ServoSilent and ServoGarbled."""
    for _ in range(TRIES - 1):
        try:
            return bus.ping(servo)
        except ServoSilent:
            continue
    return bus.ping(servo)


def answered_twice(bus: ServoBus, servo: int) -> bool:
    """Whether more than one servo answers as ``servo``.

    Two answers to a ping that follow each other are counted. Two at once, alike to the bit, are heard as one: so what
    no two servos share, position, voltage and tick, is read as well, and comes garbled from two.
    """
    if bus.answers(servo) > 1 and bus.answers(servo) > 1:
        return True
    model = next(iter(MODELS.values()))
    first, last = model.register("realtime_tick"), model.register("present_temperature")
    try:
        bus.read_bytes(servo, first.address, last.address + last.size - first.address)
    except ServoGarbled:
        return True
    except ServoSilent:
        return False
    return False


def answering_baud(bus: ServoBus, servos: Sequence[int]) -> int | None:
    """The first baud rate at which one of ``servos`` answers; None where none does. The port is left at its own."""
    own = bus.port.baudrate
    try:
        for baud in BAUD_RATES:
            if baud == own or bus.port.getCFlagBaud(baud) <= 0:
                continue
            bus.port.setBaudRate(baud)
            for servo in servos[:_PROBED]:
                try:
                    bus.ping(servo)
                except ServoSilent:
                    continue
                return baud
    finally:
        bus.port.setBaudRate(own)
    return None


def _nobody(bus: ServoBus, servos: list[int], garbled: list[int]) -> DeviceError:
    where, baud = bus.port.port_name, bus.port.baudrate
    other = answering_baud(bus, servos)
    if other is not None:
        return DeviceError(f"no servo answers at {baud} baud; they do at {other}", where=where, right=f"baud={other}")
    if garbled:
        what = f"what answers at {baud} baud cannot be understood"
        return DeviceError(what, where=where, right="each id once, the bus terminated, no other device on it")
    return DeviceError(
        f"no servo of ids {in_order(servos)} answers at any baud rate", where=where, right="power on, cable plugged in"
    )


def _of_one_model(
    bus: ServoBus, spec: HandSpec, models: Sequence[ServoModel], numbers: dict[int, int]
) -> list[FoundServo]:
    where, allowed = bus.port.port_name, {model.number: model for model in models}
    wanted = " or ".join(model.name for model in models)
    firmware = models[0].register("firmware_version")
    found = [FoundServo(s, number, bus.read(s, firmware)) for s, number in numbers.items()]
    for joint, servo in zip(spec.joints, found, strict=True):
        if servo.model_number not in allowed:
            what = f"servo {servo.id} ({joint.name}) is a {servo.model_name}"
            raise DeviceError(what, where=where, right=f"{wanted}: the {spec.name} is driven with those")
    if len({servo.model_number for servo in found}) > 1:
        text = ", ".join(f"{servo.id}: {servo.model_name}" for servo in found)
        raise DeviceError(f"servos of two models ({text})", where=where, right="one model in one hand")
    return found
