"""A virtual hand in a process of its own, over joints without a simulator: it outlives the drivers that it is made for.

python -m knuckle.hardware.virtual.standalone --hand dclaw3 --link /run/user/1000/port --socket ...

It says in one line of JSON which port to open and where it listens, and serves until its standard input ends or it is
told to stop by a signal.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import KnuckleError
from knuckle.hardware.spec.dynamixel_table import servo_model
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.virtual.bus import BusConfig, VirtualBus
from knuckle.hardware.virtual.control_socket import default_socket
from knuckle.hardware.virtual.heat import HeatConfig
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.monitor import Envelope, ServoMonitor
from knuckle.hardware.virtual.pty_port import VirtualPort

COMMAND = "python -m knuckle.hardware.virtual.standalone"


@dataclass(frozen=True)
class Standalone:
    """A virtual hand on a pseudo-terminal."""

    hand: str = setting("dclaw3", "which hand")
    servo: str = setting("XM430-W210", "model of its servos")
    link: str = setting("", "symbolic link to keep at the terminal; empty for none")
    socket: str = setting("", "where to listen for faults and questions; empty for the user's own place")
    baud: int = setting(0, "bits per second the servos are set to; 0: any, and bytes take no time", low=0)
    latency_us: float = setting(0.0, "what a servo takes to think", low=0.0, high=1e6, unit="us")
    chained: bool = setting(False, "in a group read the servos behind a silent one are silent too")
    heat_s: float = setting(70.0, "time constant of the servos' temperature", low=0.1, high=3600.0, unit="s")
    load_s: float = setting(2.0, "time constant of the servos' load", low=0.01, high=60.0, unit="s")
    lag_s: float = setting(0.02, "time constant of the joints", low=0.001, high=100.0, unit="s")
    seed: int = setting(0, "of what faults leave to chance", low=0)


def virtual_hand(options: Standalone) -> VirtualPort:
    """The port of a virtual hand with a monitor, not yet served; InputError for names and rates that are none."""
    hand, now_ns = hand_spec(options.hand), time.monotonic_ns()
    bus = VirtualBus(
        hand,
        LaggingJoints(hand, lag_s=options.lag_s, now_ns=now_ns),
        servo_model(options.servo),
        config=BusConfig(baud=options.baud, latency_us=options.latency_us, chained=options.chained, seed=options.seed),
        heat=HeatConfig(heat_s=options.heat_s, load_s=options.load_s),
        now_ns=now_ns,
    )
    monitor = ServoMonitor(Envelope.of_hand(hand), bus.truth())
    link = Path(options.link) if options.link else None
    socket = Path(options.socket) if options.socket else default_socket()
    return VirtualPort(bus, link=link, socket=socket, monitor=monitor)


def main(argv: list[str]) -> int:
    """Serve until standard input ends or a signal comes; 2 for bad options, 1 where the port cannot be served."""
    try:
        port = virtual_hand(parse_arguments(Standalone, argv, COMMAND))
    except KnuckleError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return error.exit_code
    told: list[int] = []
    turns = itertools.count()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: told.append(number))
    print(json.dumps({"port": port.path, "socket": str(port.socket), "pid": os.getpid()}), flush=True)
    try:
        # Looking at standard input costs as much as a turn; now and then is often enough.
        port.serve(lambda: bool(told) or (next(turns) % 20 == 0 and _ended()))
    finally:
        port.close()
    return 0


def _ended() -> bool:
    """Whether standard input was closed: whoever started this is gone."""
    readable, _, _ = select.select([sys.stdin], [], [], 0.0)
    return bool(readable) and not os.read(sys.stdin.fileno(), 4096)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
