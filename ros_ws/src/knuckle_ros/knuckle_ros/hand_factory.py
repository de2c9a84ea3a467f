"""Where a hand node's hand comes from: the simulated world, real servos at a port, or virtual servos over the world.

Virtual servos live in the world's own process: their plant is the world, which one thread steps and cameras and sensors
of the same process read, so that a bus elsewhere would need a second clock and the world behind a socket. Between the
driver and them is a pseudo-terminal all the same, and every line of the real driver; its loop turns once for each step
of the world, which waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from knuckle.core.errors import InputError
from knuckle.hardware.calibration.calibration_file import nominal
from knuckle.hardware.dynamixel.beat import StepBeat
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.drive_profile import drive_profile
from knuckle.hardware.dynamixel.dynamixel_hand import DynamixelHand
from knuckle.hardware.dynamixel.open_hand import open_hand
from knuckle.hardware.spec.contracts import Hand
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.control_socket import default_socket
from knuckle.hardware.virtual.monitor import Envelope, ServoMonitor
from knuckle.hardware.virtual.pty_port import VirtualPort
from knuckle.sim.world import STEPS_PER_S
from knuckle_ros.host_context import HostContext
from knuckle_ros.paced_world import KEY, Cycle, shared_world
from knuckle_ros.steady_cycle import SteadyCycle
from knuckle_ros.world_plant import WorldPlant

SIMULATED, VIRTUAL = "", "virtual"
BUS = "servo_bus"
"""Under this key of the process's shared things lies the virtual servo bus, where there is one."""

PATIENCE_S = 2.0
"""A servo loop that hangs holds up the world for this long and no longer."""

VIRTUAL_ANSWER_S = 0.1
"""Virtual servos share a processor with the world: they may answer later than real ones."""


@dataclass(frozen=True)
class HandSource:
    """A raw hand and the beat of its node. ``hand`` goes to the safety layer and to nothing else.

    ``now_ns`` is the clock of the hand's stamps; ``steps_a_cycle`` the node's cycles in one control cycle;
    ``commanded`` and ``free`` tell a simulated world how far it may go. ``values`` is what the servo loop says of
    itself, ``warning`` what of it is worth a look; ``real`` is True where metal would move.
    """

    hand: Hand
    described: str
    now_ns: Callable[[], int]
    add_cycle: Callable[[Cycle], None]
    remove_cycle: Callable[[Cycle], None]
    commanded: Callable[[int], None]
    free: Callable[[], None]
    close: Callable[[], None]
    values: Callable[[], dict[str, str]] = dict
    warning: Callable[[], str] = str
    real: bool = False

    @property
    def spec(self) -> HandSpec:
        """What hand it is."""
        return self.hand.spec

    @property
    def steps_a_cycle(self) -> int:
        """Cycles of the node in one control cycle."""
        return round(STEPS_PER_S / self.spec.control_rate_hz)


def hand_source(
    context: HostContext,
    *,
    model: str,
    port: str,
    baud: int,
    calibration: str,
    watchdog_ms: int,
    answer_s: float,
    where: str,
) -> HandSource:
    """The hand called ``model`` at ``port``: empty for the simulated one of this process, "virtual", or a device.

    Raises InputError (no world, another hand than the world's, no calibration) and DeviceError (port, servos), with
    torque off.
    """
    config = DriveConfig(watchdog_ms=watchdog_ms, answer_s=answer_s)
    if port not in (SIMULATED, VIRTUAL):
        if context.shared.get(KEY) is not None:
            what = f"a real hand at {port} beside a simulated world"
            raise InputError(what, where=f"{where}.port", right="a graph without a world node: knuckle run hand")
        return _real(hand_spec(model or "dclaw3", where=f"{where}.model"), port, baud, calibration, config)
    world = shared_world(context, where=where)
    if model and model != world.sim.spec.name:
        what = f"the simulated world has a {world.sim.spec.name}, not a {model}"
        raise InputError(what, where=f"{where}.model", right=f"--set world.hand={model}")
    driven = _virtual(context, baud, config) if port == VIRTUAL else None
    name = world.sim.spec.name
    return HandSource(
        hand=driven or world.sim,
        described=f"{name}, virtual servos over the simulated world" if driven else f"{name}, simulated",
        now_ns=lambda: world.sim.now_ns,
        add_cycle=world.add_cycle,
        remove_cycle=world.remove_cycle,
        commanded=world.commanded,
        free=world.free,
        close=driven.close if driven else lambda: None,
        values=(lambda: health_values(driven)) if driven else dict[str, str],
        warning=(lambda: driven.health().warning) if driven else str,
    )


def _virtual(context: HostContext, baud: int, config: DriveConfig) -> DynamixelHand:
    """The real driver over virtual servos, which turn the joints of this process's world."""
    world = shared_world(context, where="hand")
    spec, profile = world.sim.spec, drive_profile(world.sim.spec)

    def now_ns() -> int:
        return world.sim.now_ns

    # Everything in the world's time, bytes in no time: however busy the machine is, servos, world and driver keep step.
    bus = VirtualBus(spec, WorldPlant(world.sim), profile.models[0], now_ns=now_ns())
    monitor = ServoMonitor(Envelope.of_hand(spec), bus.truth())
    socket = default_socket()
    # A name that stays: after an unplug the terminal behind it is another.
    port = VirtualPort(bus, link=socket.with_suffix(".port"), socket=socket, monitor=monitor, clock=now_ns)
    port.__enter__()
    context.shared[BUS] = port
    beat = StepBeat()

    def step(at_ns: int, number: int) -> None:
        beat.step(PATIENCE_S)

    def closed() -> None:
        world.remove_cycle(step)
        port.close()

    world.add_cycle(step)
    try:
        return open_hand(
            spec,
            port.path,
            calibration=nominal(spec, profile.models[0].number),
            baud=baud,
            config=DriveConfig(answer_s=VIRTUAL_ANSWER_S, watchdog_ms=config.watchdog_ms),
            clock=now_ns,
            beat=beat,
            on_close=closed,
        )
    except BaseException:
        closed()
        raise


def _real(spec: HandSpec, port: str, baud: int, calibration: str, config: DriveConfig) -> HandSource:
    hand = open_hand(spec, port, calibration=Path(calibration) if calibration else None, baud=baud, config=config)
    beat = SteadyCycle(STEPS_PER_S)

    def close() -> None:
        beat.stop()
        hand.close()

    return HandSource(
        hand=hand,
        described=f"{spec.name} at {port}",
        now_ns=time.monotonic_ns,
        add_cycle=beat.add_cycle,
        remove_cycle=beat.remove_cycle,
        commanded=lambda valid_until_ns: None,
        free=lambda: None,
        close=close,
        values=lambda: health_values(hand),
        warning=lambda: hand.health().warning,
        real=True,
    )


def health_values(hand: DynamixelHand) -> dict[str, str]:
    """What the servo loop says of itself, for diagnostics."""
    health = hand.health()
    return {
        "servo_rate_hz": f"{health.rate_hz:.1f}",
        "servo_cycle_p99_ms": f"{health.cycle_p99_ms:.2f}",
        "servo_period_p99_ms": f"{health.period_p99_ms:.2f}",
        "servo_packets_missed": str(health.missed),
        "servo_packets_mended": str(health.mended),
        "servo_cycles_lost": str(health.lost_cycles),
        "servo_volts": f"{health.volts:.1f}",
        "servo_loop": health.fault or health.warning or "as it should be",
    }
