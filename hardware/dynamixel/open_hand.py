"""From a port to a hand: open, find every servo, check the calibration, configure, read back. Torque stays off."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from knuckle.core.config import validate
from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.calibration.calibration_file import Calibration
from knuckle.hardware.dynamixel.beat import Beat
from knuckle.hardware.dynamixel.configuration import configure
from knuckle.hardware.dynamixel.discovery import discover
from knuckle.hardware.dynamixel.drive import Drive
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.drive_profile import DriveProfile, drive_profile
from knuckle.hardware.dynamixel.dynamixel_hand import DynamixelHand
from knuckle.hardware.dynamixel.latency_timer import latency_ms
from knuckle.hardware.dynamixel.serial_port import ServoPort
from knuckle.hardware.dynamixel.servo_bus import ServoBus
from knuckle.hardware.dynamixel.servo_group import ServoGroup
from knuckle.hardware.dynamixel.servo_poll import ROUND
from knuckle.hardware.dynamixel.units import JointScale, torque_per_unit
from knuckle.hardware.spec.dynamixel_table import MODELS
from knuckle.hardware.spec.hand_spec import HandSpec

OPENING_S = 0.05
"""Before anything moves there is time to wait for an answer."""


def open_bus(path: str, baud: int, answer_s: float) -> ServoBus:
    """The bus behind port ``path``; a slow USB adapter's latency is added to the wait. DeviceError where it fails."""
    latency = latency_ms(path)
    return ServoBus(ServoPort(path, baud, answer_s + (latency or 0) * 1e-3))


def open_drive(
    spec: HandSpec,
    path: str,
    *,
    calibration: Path | Calibration | None = None,
    baud: int = 0,
    config: DriveConfig | None = None,
    profile: DriveProfile | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Drive:
    """The drive of the hand on port ``path``, at ``baud`` (0: the profile's). Every servo's torque is off.

    ``calibration`` is a file, a calibration itself, or None for the user's own file of this hand. Raises DeviceError
    (port, servos) and InputError (calibration) in one line, with the port closed again.
    """
    config, profile = validate(config or DriveConfig(), where="hand"), profile or drive_profile(spec)
    patience_s = max(0.0, OPENING_S - config.answer_s)
    bus = open_bus(path, baud or profile.baud, config.answer_s + patience_s)
    try:
        found = discover(bus, spec, profile.models)
        numbers = {servo.id: servo.model_number for servo in found}
        if not isinstance(calibration, Calibration):
            file = calibration or calibration_file.default_path(spec.name)
            calibration = calibration_file.load(file, spec, numbers)
        else:
            calibration_file.require_fit(calibration, spec, where="calibration")
        model = MODELS[found[0].model_number]
        for servo in found:
            configure(bus, model, profile, servo.id, config.watchdog_ms)
        group = ServoGroup(bus, model, [servo.id for servo in found])
        group.fast = group.has_fast_read()
        bus.port.answer_s -= patience_s
        scale = JointScale(calibration.sign, calibration.offset, torque_per_unit(model))
        drive = Drive(spec, group, profile, scale, config)
        # One round of the slow poll, so that temperatures are known before anything may move.
        for _ in range(ROUND * spec.dof):
            drive.cycle(clock())
        return drive
    except BaseException:
        with contextlib.suppress(Exception):
            bus.sync_write(profile.models[0].register("torque_enable"), {j.servo_id: 0 for j in spec.joints})
        bus.close()
        raise


def open_hand(
    spec: HandSpec,
    path: str,
    *,
    calibration: Path | Calibration | None = None,
    baud: int = 0,
    config: DriveConfig | None = None,
    clock: Callable[[], int] = time.monotonic_ns,
    beat: Beat | None = None,
    on_close: Callable[[], None] = lambda: None,
) -> DynamixelHand:
    """As ``open_drive``, with its loop running; ``on_close`` is called when the hand has been closed."""

    def drive() -> Drive:
        return open_drive(spec, path, calibration=calibration, baud=baud, config=config, clock=clock)

    return DynamixelHand(drive(), clock=clock, beat=beat, reopen=drive, on_close=on_close)
