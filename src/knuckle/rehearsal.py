"""A hand to rehearse on: the real driver over virtual servos that turn a simulated hand, in a time of their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knuckle.hardware.dynamixel.dynamixel_hand import DynamixelHand
    from knuckle.hardware.spec.hand_spec import HandSpec
    from knuckle.sim.free_hand import FreeHand

START_NS = CYCLE_NS = 10_000_000
"""When a rehearsal begins on its clock, and a cycle of its servo loop."""
PATIENCE_S = 5.0
VIRTUAL_ANSWER_S = 0.5
SYNC_WRITE = 0x83


@contextlib.contextmanager
def rehearsed_hand(
    spec: HandSpec, plant: FreeHand
) -> Iterator[tuple[DynamixelHand, Callable[[], int], Callable[[int], None]]]:
    """The raw hand ``spec`` whose servos turn ``plant``, which begins at ``START_NS``; its clock, and what lets its
    time pass. It is closed, torque off, at the end.

    A busy machine cannot disturb it: the same commands give the same states, to the bit.
    """
    from knuckle.hardware.calibration.calibration_file import nominal
    from knuckle.hardware.dynamixel.beat import StepBeat
    from knuckle.hardware.dynamixel.drive_config import DriveConfig
    from knuckle.hardware.dynamixel.drive_profile import drive_profile
    from knuckle.hardware.dynamixel.open_hand import open_hand
    from knuckle.hardware.virtual.bus import VirtualBus
    from knuckle.hardware.virtual.protocol2 import PacketReader
    from knuckle.hardware.virtual.pty_port import VirtualPort

    time_ns = [START_NS]

    def now_ns() -> int:
        return time_ns[0]

    model = drive_profile(spec).models[0]
    bus = VirtualBus(spec, plant, model, now_ns=now_ns())
    beat, reader, heard = StepBeat(), PacketReader(), threading.Semaphore(0)

    def listen(data: bytes, at_ns: int) -> None:
        for packet in reader.feed(data):
            if packet.instruction == SYNC_WRITE:
                heard.release()

    bus.taps.append(listen)
    told = 0

    def wait_until(to_ns: int) -> None:
        nonlocal told
        while time_ns[0] < to_ns:
            time_ns[0] += CYCLE_NS
            beat.step(PATIENCE_S)
            # Nobody answers what is written to several servos: they must have all of it before time goes on.
            while told < raw.drive.group.bus.counts.told and heard.acquire(timeout=PATIENCE_S):
                told += 1

    with VirtualPort(bus, clock=now_ns) as port:
        answer = DriveConfig(answer_s=VIRTUAL_ANSWER_S)
        raw = open_hand(
            spec, port.path, calibration=nominal(spec, model.number), config=answer, clock=now_ns, beat=beat
        )
        try:
            yield raw, now_ns, wait_until
        finally:
            beat.over()
            raw.close()
