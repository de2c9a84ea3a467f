"""What can be seen of a hand without moving it: port, adapter, every servo, calibration. Nothing is written to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.dynamixel.discovery import FoundServo, discover
from knuckle.hardware.dynamixel.drive_profile import drive_profile
from knuckle.hardware.dynamixel.faults import ServoSilent, hardware_error_text
from knuckle.hardware.dynamixel.latency_timer import latency_file, latency_ms
from knuckle.hardware.dynamixel.open_hand import open_bus
from knuckle.hardware.dynamixel.servo_bus import ServoBus
from knuckle.hardware.spec.dynamixel_table import MODELS, WATCHDOG_EXPIRED, WATCHDOG_UNIT_MS, angle_of
from knuckle.hardware.spec.hand_spec import HandSpec, Joint

OK, LACKING, BROKEN = "ok", "lacking", "broken"
ANSWER_S = 0.02
WARM = 10
"""Degrees below its limit at which a servo counts as warm."""

RIGHT_LATENCY_MS = 1


@dataclass(frozen=True)
class Seen:
    """One thing: ``level`` ok, lacking (it works, and could do better) or broken; what was found; what would help."""

    name: str
    level: str
    found: str
    remedy: str = ""


def examine_hand(spec: HandSpec, port: str, *, baud: int = 0, calibration: Path | None = None) -> list[Seen]:
    """All that is seen of ``spec`` at ``port``; errors are among the findings and end nothing."""
    profile = drive_profile(spec)
    try:
        bus = open_bus(port, baud or profile.baud, ANSWER_S)
    except DeviceError as error:
        return [Seen("servo port", BROKEN, f"{port}: {error.what}", error.right)]
    try:
        seen = [Seen("servo port", OK, f"{port} at {bus.port.baudrate} baud"), _latency(port)]
        try:
            found = discover(bus, spec, profile.models)
            models = {servo.id: servo.model_number for servo in found}
            text = f"{len(found)} of {spec.dof}, {found[0].model_name}, firmware {_firmware(found)}"
            seen.append(Seen("servos", OK, text))
        except DeviceError as error:
            models = {}
            seen.append(Seen("servos", BROKEN, error.what, error.right))
        seen += [_servo(bus, joint) for joint in spec.joints]
        seen.append(_calibration(spec, calibration, models))
        return seen
    finally:
        bus.close()


def _firmware(found: list[FoundServo]) -> str:
    return ", ".join(map(str, sorted({servo.firmware for servo in found})))


def _latency(port: str) -> Seen:
    path, latency = latency_file(port), latency_ms(port)
    if path is None or latency is None:
        return Seen("adapter latency", OK, "this port has no latency timer")
    if latency <= RIGHT_LATENCY_MS:
        return Seen("adapter latency", OK, f"{latency} ms")
    remedy = f"echo {RIGHT_LATENCY_MS} | sudo tee {path} (docs/hand.md: for good, by udev)"
    return Seen("adapter latency", LACKING, f"{latency} ms: too slow for 100 Hz", remedy)


def _servo(bus: ServoBus, joint: Joint) -> Seen:
    name, servo = f"servo {joint.servo_id}", joint.servo_id
    try:
        model = MODELS.get(bus.ping(servo))
        if model is None:
            return Seen(name, BROKEN, f"{joint.name}: a model unknown here", "the model that the hand is built with")
        got = {
            r: bus.read(servo, model.register(r))
            for r in (
                "firmware_version",
                "torque_enable",
                "hardware_error_status",
                "bus_watchdog",
                "present_position",
                "present_input_voltage",
                "min_voltage_limit",
                "max_voltage_limit",
                "present_temperature",
                "temperature_limit",
            )
        }
    except ServoSilent as error:
        return Seen(name, BROKEN, f"{joint.name}: {error.what}", error.right)
    except DeviceError as error:
        return Seen(name, BROKEN, f"{joint.name}: {error.what}", "knuckle doctor --hand again")
    watchdog = got["bus_watchdog"]
    text = [
        f"{joint.name}: {model.name}, firmware {got['firmware_version']}",
        f"{got['present_input_voltage'] / 10:.1f} V",
        f"{got['present_temperature']} degC",
        f"horn at {angle_of(got['present_position']):.2f} rad",
        "torque on" if got["torque_enable"] else "limp",
    ]
    if watchdog:
        text.append(
            "bus watchdog expired" if watchdog == WATCHDOG_EXPIRED else f"watchdog {watchdog * WATCHDOG_UNIT_MS} ms"
        )
    if got["hardware_error_status"]:
        error_text = hardware_error_text(got["hardware_error_status"])
        return Seen(name, BROKEN, ", ".join([*text, f"error: {error_text}"]), "what caused it, then power off and on")
    if not got["min_voltage_limit"] <= got["present_input_voltage"] <= got["max_voltage_limit"]:
        low, high = got["min_voltage_limit"] / 10, got["max_voltage_limit"] / 10
        return Seen(name, BROKEN, ", ".join(text), f"a supply of {low:.1f} to {high:.1f} V")
    if got["present_temperature"] > got["temperature_limit"] - WARM:
        return Seen(name, LACKING, ", ".join(text), f"let it cool: it stops at {got['temperature_limit']} degC")
    return Seen(name, OK, ", ".join(text))


def _calibration(spec: HandSpec, path: Path | None, models: dict[int, int]) -> Seen:
    file = path or calibration_file.default_path(spec.name)
    if not models:
        return Seen(
            "calibration", LACKING, f"{file}: not compared, as the servos are not all there", "the servos first"
        )
    try:
        made = calibration_file.load(file, spec, models)
    except InputError as error:
        return Seen("calibration", BROKEN, f"{file}: {error.what}", error.right)
    return Seen("calibration", OK, f"{file}, by {made.method}")
