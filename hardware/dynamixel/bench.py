"""How fast a hand's servo loop turns, beside the vendor's SDK alone: its group read and write in a plain loop.

Both talk to the same virtual servos, in a process of their own, behind a wire of the given baud rate. The SDK's loop
does no more than read current, velocity and position and write goals; ours also polls, judges and bounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dynamixel_sdk import COMM_SUCCESS, GroupSyncRead, GroupSyncWrite, PacketHandler, PortHandler

from knuckle.core.errors import RunError
from knuckle.hardware.calibration.calibration_file import nominal
from knuckle.hardware.dynamixel.beat import ClockBeat
from knuckle.hardware.dynamixel.drive import ARMED, Drive
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.open_hand import open_drive
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.dynamixel_table import ServoModel
from knuckle.hardware.spec.hand_spec import Array, HandSpec

COMMAND_S = 1.0 / 12.0
SWING_RAD = 0.2
RATES_HZ = (100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0)


@dataclass(frozen=True)
class Measured:
    """One run: seconds that each cycle took and that lay between two starts, and what it cost."""

    took: Array
    period: Array
    cpu_share: float
    missed: int
    lost: int

    @property
    def p50_ms(self) -> float:
        """The median cycle, ms."""
        return float(np.percentile(self.took, 50) * 1e3)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of the cycle, ms."""
        return float(np.percentile(self.took, 99) * 1e3)

    @property
    def period_p99_ms(self) -> float:
        """The 99th percentile of the time between two starts, ms."""
        return float(np.percentile(self.period, 99) * 1e3)

    @property
    def rate_hz(self) -> float:
        """Cycles a second."""
        return float(1.0 / self.period.mean())


def open_bench_drive(spec: HandSpec, port: str, model: ServoModel, baud: int) -> Drive:
    """The drive of the virtual hand at ``port``. A machine that stalls must not look like a servo that does."""
    config = DriveConfig(answer_s=0.1, watchdog_ms=2540, ramp_s=0.0)
    return open_drive(spec, port, calibration=nominal(spec, model.number), baud=baud, config=config)


def measure_drive(drive: Drive, rate_hz: float, seconds: float) -> Measured:
    """The loop at ``rate_hz`` with a target 12 times a second, in this thread; RunError where it gave up."""
    beat, began, took = ClockBeat(rate_hz), list[float](), list[float]()
    never = threading.Event()
    drive.order(ARMED)
    home, start, cpu = drive.spec.home, time.perf_counter(), time.process_time()
    before, due = drive.group.bus.counts.missed, start
    lost = drive.watch.lost_cycles_total
    while (now := time.perf_counter()) - start < seconds:
        if now >= due:
            due += COMMAND_S
            stamp = time.monotonic_ns()
            drive.follow(HandCommand(stamp, stamp + 10**9, home + SWING_RAD * np.sin(now - start)))
        beat.wait(never)
        began.append(time.perf_counter())
        drive.cycle(time.monotonic_ns())
        took.append(time.perf_counter() - began[-1])
        beat.done()
    if drive.fault:
        raise RunError(drive.fault, where="bench hand", right="a machine with time for it")
    counts = drive.group.bus.counts
    share = (time.process_time() - cpu) / (time.perf_counter() - start)
    lost = drive.watch.lost_cycles_total - lost
    return Measured(np.array(took), np.diff(np.array(began)), share, counts.missed - before, lost)


def measure_sdk(spec: HandSpec, model: ServoModel, port: str, baud: int, seconds: float) -> Measured:
    """The vendor's GroupSyncRead and GroupSyncWrite back to back, as its examples use them."""
    handler, packets = PortHandler(port), PacketHandler(2.0)
    if not (handler.openPort() and handler.setBaudRate(baud)):
        raise RunError("the SDK cannot open the port", where=port)
    first, last = model.register("present_current"), model.register("present_position")
    goal = model.register("goal_position")
    read = GroupSyncRead(handler, packets, first.address, last.address + last.size - first.address)
    write = GroupSyncWrite(handler, packets, goal.address, goal.size)
    ids = [joint.servo_id for joint in spec.joints]
    for id in ids:
        read.addParam(id)
        write.addParam(id, [0, 8, 0, 0])
    began, took, missed = list[float](), list[float](), 0
    start, cpu = time.perf_counter(), time.process_time()
    try:
        while time.perf_counter() - start < seconds:
            began.append(time.perf_counter())
            if read.txRxPacket() == COMM_SUCCESS:
                values = [read.getData(id, last.address, last.size) for id in ids]
                for id, value in zip(ids, values, strict=True):
                    write.changeParam(id, list(value.to_bytes(4, "little")))
            else:
                missed += 1
            write.txPacket()
            took.append(time.perf_counter() - began[-1])
    finally:
        handler.closePort()
    share = (time.process_time() - cpu) / (time.perf_counter() - start)
    return Measured(np.array(took), np.diff(np.array(began)), share, missed, 0)


def highest_rate(drive: Drive, seconds: float, said: Callable[[str], None]) -> tuple[float, Measured | None]:
    """The highest of ``RATES_HZ`` at which 99 of 100 cycles fit into their period; 0 and None where none does."""
    best: tuple[float, Measured | None] = (0.0, None)
    for rate in RATES_HZ:
        run = measure_drive(drive, rate, seconds)
        fits = run.p99_ms <= 1e3 / rate
        said(f"{rate:.0f} Hz: cycle p99 {run.p99_ms:.2f} ms, {'fits' if fits else 'does not fit'}")
        if not fits:
            break
        best = rate, run
    return best
