"""`knuckle calibrate home`: the zero of each servo of a hand, found and kept in the hand's own file.

Another `knuckle calibrate WHAT` is a line in the table of `knuckle.cli`; ``agree`` is how each of them says what it is
about to do before anything moves.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError

WHERE = "knuckle calibrate home"
VIRTUAL = "virtual"


@dataclass(frozen=True)
class HomeConfig:
    """Find the zero of each servo of a hand, and write the hand's calibration file.

    Each joint in turn creeps against both its stops under a small current; with --manual you pose the hand instead and
    nothing moves. Port "virtual" rehearses it with virtual servos.
    """

    port: str = setting("", "port of the servos' adapter, or virtual; empty for the only one connected")
    hand: str = setting("dclaw3", "which hand it is")
    manual: bool = setting(False, "nothing moves: you pose the hand, and say so")
    posture: str = setting("zero", "the posture that you pose it in", choices=("zero", "home"))
    baud: int = setting(0, "baud rate of the servos; 0 for that of the hand", low=0, high=4_500_000)
    torque: float = setting(0.15, "share of the servo's stall torque that it may push with", low=0.01, high=0.5)
    speed: float = setting(0.5, "how fast a joint creeps", low=0.05, high=2.0, unit="rad/s")
    out: str = setting("", "file to write; empty for the user's own of this hand")
    yes: bool = setting(False, "do not ask")


def calibrate_home(argv: list[str]) -> int:
    """Run the command. Raises InputError and DeviceError in one line; torque is off then."""
    config = parse_arguments(HomeConfig, argv, WHERE)
    from knuckle.core.figures import require_writable
    from knuckle.hardware.calibration import calibration_file
    from knuckle.hardware.calibration.homing import Homing
    from knuckle.hardware.calibration.stop_search import SearchConfig
    from knuckle.hardware.dynamixel.discovery import discover
    from knuckle.hardware.dynamixel.drive_profile import drive_profile
    from knuckle.hardware.dynamixel.open_hand import open_bus
    from knuckle.hardware.spec.dynamixel_table import MODELS
    from knuckle.hardware.spec.hands import hand_spec

    spec = hand_spec(config.hand, where="--hand")
    profile = drive_profile(spec)
    path = Path(config.out) if config.out else calibration_file.default_path(spec.name)
    require_writable(path, what="the calibration")
    search = SearchConfig(torque=config.torque, speed=config.speed)
    with servo_port(config.port, config.hand) as port:
        bus = open_bus(port, config.baud or profile.baud, 0.05 if config.port == VIRTUAL else 0.01)
        try:
            found = discover(bus, spec, profile.models)
            model = MODELS[found[0].model_number]
            homing = Homing(bus, spec, model, profile, search, time.sleep, print)
            print(f"{spec.name} at {port}: {len(found)} servos of model {model.name}")
            if config.manual:
                posture = spec.home if config.posture == "home" else spec.home * 0.0
                agree([*_manual_plan(config), f"The result goes to {path}."], yes=config.yes)
                calibration = homing.by_posture(posture)
            else:
                agree([*_stops_plan(config), f"The result goes to {path}."], yes=config.yes)
                calibration = homing.against_stops()
        finally:
            bus.close()
    calibration_file.require_fit(calibration, spec, where=spec.name)
    calibration_file.save(calibration, path)
    print(f"calibration written to {path}")
    return 0


def agree(plan: Sequence[str], *, yes: bool) -> None:
    """Print what is about to happen and wait for the word yes; InputError without it. ``yes`` goes on by itself."""
    print("\n".join(plan))
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody is there to be asked", where="knuckle calibrate", right="--yes")
    if input("Go on? [yes/no] ").strip().lower() not in ("y", "yes"):
        raise InputError("nothing was done", where="knuckle calibrate", right="yes, when it may begin")


@contextlib.contextmanager
def servo_port(port: str, hand: str) -> Iterator[str]:
    """The port called ``port``: itself, the only one connected where it is empty, or that of virtual servos.

    Raises InputError where none or several are connected.
    """
    from knuckle.hardware.dynamixel.serial_port import serial_ports

    if port == VIRTUAL:
        with rehearsal(hand) as path:
            yield path
        return
    there = serial_ports()
    if not port and len(there) != 1:
        what = "no servo port is connected" if not there else f"several ports: {', '.join(there)}"
        raise InputError(what, where="--port", right="--port with the servos' one, or --port virtual to rehearse")
    yield port or there[0]


@contextlib.contextmanager
def rehearsal(hand: str) -> Iterator[str]:
    """The port of a virtual ``hand`` between its stops, with horns mounted a little off."""
    from knuckle.hardware.dynamixel.drive_profile import drive_profile
    from knuckle.hardware.spec.hands import hand_spec
    from knuckle.hardware.virtual.bus import VirtualBus
    from knuckle.hardware.virtual.joints import LaggingJoints
    from knuckle.hardware.virtual.pty_port import VirtualPort

    spec = hand_spec(hand, where="--hand")
    joints = tuple(replace(j, servo_offset=j.servo_offset + 0.01 * (n % 7 - 3)) for n, j in enumerate(spec.joints))
    mounted, now = replace(spec, joints=joints), time.monotonic_ns()
    bus = VirtualBus(mounted, LaggingJoints(mounted, now_ns=now, stops=True), drive_profile(spec).models[0], now_ns=now)
    with VirtualPort(bus) as port:
        yield port.path


def _stops_plan(config: HomeConfig) -> list[str]:
    return [
        f"Each joint of the {config.hand} in turn will creep against its upper and its lower stop, at {config.speed:g} "
        f"rad/s and with {100 * config.torque:.0f}% of its servo's torque, then go to its home.",
        "The other joints are limp meanwhile. Nothing may be in the hand, and the fingers must not reach each other.",
        "To stop: power off, or Ctrl-C (torque goes off; the servos stop by themselves within 0.2 s in any case).",
    ]


def _manual_plan(config: HomeConfig) -> list[str]:
    pose = "its home posture" if config.posture == "home" else "every joint at zero: fingers straight"
    return [f"Nothing will move. Pose the hand now, {pose}, and keep it so until the positions have been read."]
