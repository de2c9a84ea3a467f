"""DynamixelHand: the Hand contract over a servo loop of its own thread. No call waits for the bus."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import DeviceError, KnuckleError
from knuckle.hardware.dynamixel.beat import Beat, ClockBeat
from knuckle.hardware.dynamixel.drive import ARMED, HOLDING, RELEASED, Drive
from knuckle.hardware.dynamixel.faults import PortLost
from knuckle.hardware.dynamixel.servo_bus import TRIES
from knuckle.hardware.spec.contracts import HandCommand, HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec

SETTLE_S = 0.25
REMEMBERED = 1024
END_S = 5.0


@dataclass(frozen=True)
class DriveHealth:
    """How the servo loop does. Times are of the last 1024 cycles; counters since start."""

    cycles: int
    rate_hz: float
    cycle_p50_ms: float
    cycle_p99_ms: float
    period_p99_ms: float
    late: int
    """Cycles that began a whole period late or more."""
    missed: int
    """Packets that did not come at the first try."""
    garbled: int
    mended: int
    """Packets that came at a retry."""
    lost_cycles: int
    """Cycles in which a servo did not answer at all."""
    volts: float
    """The lowest voltage polled; NaN before."""
    warning: str
    """What is worth a look, one line; empty where nothing is."""
    fault: str
    """What made the hand hold by itself; empty where nothing did."""


class DynamixelHand:
    """A hand on Dynamixel servos. ``drive`` is ready to cycle; the loop begins at once, torque off.

    ``clock`` gives the ns that states are stamped with and that commands expire by: the machine's monotonic
    clock, or a simulated world's where that is the plant; ``beat`` makes the loop turn, by default at its own rate.
    ``reopen`` gives the drive again after the port was lost; it is called when ``recover`` is.
    """

    def __init__(
        self,
        drive: Drive,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        beat: Beat | None = None,
        reopen: Callable[[], Drive] | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        # A cycle in which servos are silent waits for each of its tries.
        waiting_s = 2 * TRIES * drive.config.answer_s
        self.drive, self._beat = drive, beat or ClockBeat(drive.config.rate_hz, SETTLE_S + waiting_s)
        self._clock, self._on_close = clock, on_close
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._reopen = reopen
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        self._began: deque[float] = deque(maxlen=REMEMBERED)
        self._done_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="servo loop", daemon=True)
        self._thread.start()

    @property
    def spec(self) -> HandSpec:
        """What hand this is."""
        return self.drive.spec

    def read(self) -> HandState:
        """The newest state of every servo. Raises DeviceError: port gone, loop stalled, nothing read yet."""
        self._alive()
        state = self.drive.state
        if state is None:
            raise DeviceError("no servo has answered yet", where=self.spec.name, right="its power and its cable")
        return state

    def send(self, command: HandCommand) -> HandCommand:
        """Follow ``command`` from the next cycle on, at most a period later, until it is void.

        Returns it clipped to the limits and rounded to the servos' pulses. Raises CommandRefused (not armed, void, not
        finite) and DeviceError (port gone, a servo lost); nothing is written then.
        """
        self._alive()
        return self.drive.follow(command)

    def arm(self) -> None:
        """Torque on in the next cycle, at the measured posture and rising; targets are followed from now on."""
        self._alive()
        self.drive.order(ARMED)

    def hold(self) -> None:
        """Keep the posture of the next cycle, where there is torque; targets are refused until ``arm``."""
        self.drive.order(HOLDING)
        self._alive()

    def release(self) -> None:
        """Torque falls, then goes off."""
        self.drive.order(RELEASED)
        self._alive()

    def limit_effort(self, limit: Array) -> None:
        """Bound each joint's torque, N m, from the next cycle on; 0 takes torque off a joint until it is armed anew."""
        self._alive()
        self.drive.limit_effort(limit)

    def recover(self) -> None:
        """Set lost servos up anew, one a cycle, torque off; what was wrong leaves ``read().error`` when it is done.

        Raises DeviceError at once where one does not answer. Where the port was lost it is opened again meanwhile.
        """
        if isinstance(self._failure, PortLost) and self._reopen is not None and not self._stop.is_set():
            self._failure = DeviceError("the port is being opened again", where=self.spec.name)
            self._thread = threading.Thread(target=self._run_again, name="servo loop", daemon=True)
            self._thread.start()
            return
        self._alive()
        self.drive.recover()

    def health(self) -> DriveHealth:
        """How the loop does."""
        drive, counts = self.drive, self.drive.group.bus.counts
        began, took = np.diff(np.array(self._began)), np.array(self._took)
        missed = drive.watch.missed_within_a_second(self._clock())
        config = drive.config
        warning = f"{missed} packets missed within a second" if missed > config.warn_misses else ""
        volts = drive.poll.volts
        return DriveHealth(
            cycles=drive.cycles,
            rate_hz=float(1.0 / began.mean()) if began.size and began.mean() > 0.0 else 0.0,
            cycle_p50_ms=float(np.percentile(took, 50) * 1e3) if took.size else np.nan,
            cycle_p99_ms=float(np.percentile(took, 99) * 1e3) if took.size else np.nan,
            period_p99_ms=float(np.percentile(began, 99) * 1e3) if began.size else np.nan,
            late=self._beat.late,
            missed=counts.missed,
            garbled=counts.garbled,
            mended=counts.mended,
            lost_cycles=drive.watch.lost_cycles_total,
            volts=float(np.nanmin(volts)) if np.isfinite(volts).any() else np.nan,
            warning=warning,
            fault=drive.fault,
        )

    def close(self) -> None:
        """Release, wait for the ramp, torque off, give the port back. A second call does nothing."""
        if not self._stop.is_set():
            self.drive.order(RELEASED)
            deadline = time.monotonic() + self.drive.config.release_s + 10.0 / self.drive.config.rate_hz + SETTLE_S
            while self._thread.is_alive() and self.drive.ramp.on.any() and time.monotonic() < deadline:
                time.sleep(0.5 / self.drive.config.rate_hz)
        self._stop.set()
        self._thread.join(END_S)
        self._on_close()

    def _alive(self) -> None:
        if self._failure is not None:
            raise DeviceError(str(self._failure), right="" if isinstance(self._failure, KnuckleError) else "restart it")
        if self._stop.is_set():
            raise DeviceError("the hand is closed", where=self.spec.name)
        silent_s = time.monotonic() - self._done_s
        if silent_s > self._beat.stall_s:
            raise DeviceError(f"the servo loop stands still for {silent_s * 1e3:.0f} ms", where=self.spec.name)

    def _run_again(self) -> None:
        """Open the port again, torque off, and go on."""
        assert self._reopen is not None
        try:
            drive = self._reopen()
        except Exception as error:
            self._failure = PortLost(str(error))
            return
        drive.limit_effort(self.drive.effort_limit)
        self.drive = drive
        self._done_s, self._failure = time.monotonic(), None
        self._run()

    def _run(self) -> None:
        bus, beat = self.drive.group.bus, self._beat
        bus.adopt()
        try:
            while beat.wait(self._stop):
                began = time.monotonic()
                self._began.append(began)
                self.drive.cycle(self._clock())
                self._done_s = time.monotonic()
                self._took.append(self._done_s - began)
                beat.done()
        except Exception as error:
            self._failure = error
        finally:
            # With the port gone, or the SDK broken, the servos' own bus watchdog is what stops them.
            with contextlib.suppress(Exception):
                self.drive.torque_off()
            bus.close()
            beat.over()
