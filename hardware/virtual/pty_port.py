"""The virtual bus behind a pseudo-terminal: what a driver opens as its serial port. The only file here with a clock."""

from __future__ import annotations

import heapq
import os
import select
import termios
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from knuckle.core.errors import DeviceError, InputError, KnuckleError
from knuckle.hardware.spec.dynamixel_table import BAUD_RATES
from knuckle.hardware.virtual.bus import Reply, VirtualBus
from knuckle.hardware.virtual.bus_control import BusControl
from knuckle.hardware.virtual.control_socket import ControlServer
from knuckle.hardware.virtual.monitor import ServoMonitor

TICK_S = 0.005
"""Without bytes the bus is moved on this often: its watchdogs and its plant."""

TOGETHER_NS = 1_000_000
"""Answers no farther apart are handed over at once, when the last is complete: an adapter's latency timer at 1 ms."""

LATE_NS = 15_000_000
"""A turn of the server takes at most a tick and the time of its work; after this long it was kept from running."""

_CHUNK = 4096
_RATES = {getattr(termios, f"B{rate}"): rate for rate in BAUD_RATES if hasattr(termios, f"B{rate}")}


class VirtualPort:
    """A pseudo-terminal in front of ``bus``; ``path`` is what the driver opens.

    ``serve`` answers until told to stop; entered as a context a thread does so. ``link`` is a symbolic link to keep
    pointing at the terminal, as a port's stable name does: after an unplug and a replug the terminal is another.
    ``socket`` is where faults are taken and questions answered, and what tells the port from a real one.
    ``clock`` gives ns. Where it is the machine's, time in which this thread was kept from running counts for no bus
    watchdog: what a driver wrote meanwhile lay unread. Raises DeviceError and InputError where terminal, link or socket
    cannot be made.
    """

    def __init__(
        self,
        bus: VirtualBus,
        *,
        link: Path | None = None,
        socket: Path | None = None,
        monitor: ServoMonitor | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.bus, self.link, self.socket, self.monitor, self._clock = bus, link, socket, monitor, clock
        if monitor is not None:
            bus.taps.append(monitor.observe)
        self._master = self._slave = -1
        self._path = ""
        self._due: list[tuple[int, int, bytes]] = []
        self._count = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._ran_ns = clock() if clock is time.monotonic_ns else None
        self._lock = threading.Lock()
        self._answers = BusControl(bus, monitor, lambda: self.path)
        self.plug()
        try:
            self._control = None if socket is None else ControlServer(socket, self.ask)
        except KnuckleError:
            self.unplug()
            raise

    @property
    def path(self) -> str:
        """The port to open: the link where there is one, else the terminal."""
        return str(self.link) if self.link is not None else self._path

    @property
    def plugged(self) -> bool:
        """Whether there is a terminal to open."""
        return self._master >= 0

    def ask(self, line: str) -> dict[str, Any]:
        """What the socket answers to ``line`` ("status", "fault servo:3 silent for 2 s"), from any thread.

        InputError for what cannot be asked.
        """
        with self._lock:
            return self._answers.answer(line, self._clock())

    def plug(self) -> None:
        """Make the terminal, and point the link at it.

        Raises DeviceError where the system gives no terminal, InputError where the link's place is taken.
        """
        if self.plugged:
            return
        if self.link is not None and self.link.exists() and not self.link.is_symlink():
            raise InputError("is there already, and no link", where=str(self.link), right="a path of its own")
        try:
            self._master, self._slave = os.openpty()
        except OSError as error:
            what = f"no pseudo-terminal for virtual servos ({error.strerror})"
            raise DeviceError(what, right="close what holds many, or raise kernel.pty.max") from None
        # Raw from both ends, and the other end kept open: the driver may close and open again.
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._path = os.ttyname(self._slave)
        if self.link is not None:
            self.link.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.link.with_name(f"{self.link.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self._path)
            fresh.replace(self.link)

    def unplug(self) -> None:
        """Hang up: the driver's reads and writes fail, and the port is gone."""
        if not self.plugged:
            return
        if self.link is not None:
            self.link.unlink(missing_ok=True)
        for descriptor in (self._slave, self._master):
            os.close(descriptor)
        self._master = self._slave = -1
        self._due.clear()

    def serve(self, until: Callable[[], bool]) -> None:
        """Answer bytes, take faults and let time pass until ``until()`` is true."""
        while not until():
            self._once()

    def _once(self) -> None:
        now_ns = self._clock()
        wait_s = min(TICK_S, max(0.0, (self._wake_ns() - now_ns) * 1e-9)) if self._due else TICK_S
        watched = [self._master] if self.plugged else []
        extra = self._control.descriptors() if self._control is not None else []
        readable, _, _ = select.select(watched + extra, [], [], wait_s)
        if self._control is not None and len(readable) > (self._master in readable):
            self._control.serve(readable)
        with self._lock:
            now_ns = self._clock()
            if self._ran_ns is not None:
                if now_ns - self._ran_ns > LATE_NS:
                    self.bus.excuse(now_ns - self._ran_ns)
                self._ran_ns = now_ns
            if self._master in readable:
                for reply in self.bus.receive(self._read(), now_ns, rate=self._rate()):
                    self._queue(reply)
            else:
                self.bus.advance(now_ns)
            if self.bus.unplugged:
                self.unplug()
            else:
                self.plug()
        self._send(self._clock())

    def _wake_ns(self) -> int:
        """When to send next: answers that follow each other closely go together, as an adapter delivers them."""
        first = self._due[0][0]
        return max(at_ns for at_ns, _, _ in self._due if at_ns <= first + TOGETHER_NS)

    def _queue(self, reply: Reply) -> None:
        self._count += 1
        heapq.heappush(self._due, (reply.at_ns, self._count, reply.data))

    def _send(self, now_ns: int) -> None:
        out = bytearray()
        while self._due and self._due[0][0] <= now_ns:
            out += heapq.heappop(self._due)[2]
        while out and self.plugged:
            try:
                del out[: os.write(self._master, out)]
            except BlockingIOError:
                # Nobody reads at the other end; a wire does not wait.
                return

    def _read(self) -> bytes:
        try:
            return os.read(self._master, _CHUNK)
        except BlockingIOError:
            return b""

    def _rate(self) -> int:
        """The rate that the driver has set the port to."""
        return _RATES.get(termios.tcgetattr(self._master)[5], -1)

    def __enter__(self) -> VirtualPort:
        self._stop.clear()
        self._thread = threading.Thread(target=self.serve, args=(self._stop.is_set,), name="virtual bus", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread and hang up; DeviceError where the thread does not end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
            if self._thread.is_alive():
                raise DeviceError("the virtual bus does not stop", where=self.path)
            self._thread = None
        self.unplug()
        if self._control is not None:
            self._control.close()
