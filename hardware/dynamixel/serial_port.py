"""The serial port of the servos: the vendor SDK's port handler, made exclusive, monotonic and quick to give up.

What differs from the SDK's own: the port is locked; reading waits in the kernel instead of spinning; time is the
monotonic clock (the SDK asks the wall clock, so a jump of it ends or prolongs a wait); the wait for an answer is a
setting (the SDK adds 34 ms, three cycles, for every servo that is silent); and a babbling bus cannot hold the reader
for ever.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import select
import stat
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import serial  # type: ignore[import-untyped]
from dynamixel_sdk import PortHandler

from knuckle.core.errors import DeviceError
from knuckle.hardware.dynamixel.faults import PortLost
from knuckle.hardware.dynamixel.port_lock import PortLock, in_use
from knuckle.hardware.spec.dynamixel_table import BAUD_RATES

CHUNK = 4096
SPARE_BYTES = 64


class ServoPort(PortHandler):  # type: ignore[misc]  # the SDK has no types
    """An open, locked port. Opened by the constructor; DeviceError says why it cannot be, and how that is mended.

    ``answer_s`` is how long after its own bytes an answer may begin (adapter latency, servo, scheduling).
    """

    def __init__(
        self, path: str, baud: int, answer_s: float = 0.006, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(path)
        self.answer_s, self._clock = answer_s, clock
        self.bytes_out = self.bytes_in = 0
        self._buffer = bytearray()
        self._budget = 0
        self._lock: PortLock | None = None
        self.baudrate = self._known(baud)
        try:
            self._lock = PortLock(path)
            self.ser = serial.Serial(port=path, baudrate=baud, bytesize=serial.EIGHTBITS, timeout=0)
            self._fd: int = self.ser.fd
            if not is_pseudo_terminal(path):
                fcntl.ioctl(self._fd, termios.TIOCEXCL)
        except (OSError, ValueError, termios.error) as error:
            self.closePort()
            raise cannot_open(path, error) from error
        self.is_open = True
        self._timing()

    def closePort(self) -> None:
        """Close and unlock."""
        if self.ser is not None:
            with contextlib.suppress(OSError, termios.error):
                fcntl.ioctl(self.ser.fd, termios.TIOCNXCL)
            with contextlib.suppress(OSError, termios.error):
                self.ser.close()
            self.ser = None
        if self._lock is not None:
            self._lock.release()
        self.is_open = False

    def setBaudRate(self, baudrate: int) -> bool:
        """Change the rate of the open port; unlike the SDK's, without closing it and losing the lock."""
        self.baudrate = self._known(baudrate)
        try:
            self.ser.baudrate = baudrate
        except (OSError, ValueError, termios.error) as error:
            raise cannot_open(self.port_name, error) from error
        self._timing()
        self.clearPort()
        return True

    def clearPort(self) -> None:
        """Forget what was received and not read."""
        self._buffer.clear()
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except (OSError, termios.error) as error:
            raise self._lost(error) from error

    def drain(self, until_ms: float) -> None:
        """Throw away what comes until ``until_ms`` of this port's clock."""
        while (left_ms := until_ms - self.getCurrentTime()) > 0.0:
            self.setPacketTimeoutMillis(left_ms)
            self.readPort(CHUNK)

    def readPort(self, length: int) -> bytes:
        """Up to ``length`` bytes; where none are there, wait for some until the packet's time is over."""
        if self._budget <= 0:
            self.packet_timeout = -1.0
            return b""
        if not self._buffer:
            self._receive()
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._budget -= len(taken)
        return taken

    def writePort(self, packet: Sequence[int]) -> int:
        """The number of bytes written; fewer than given where the device takes no more."""
        try:
            written = os.write(self._fd, bytes(packet))
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._lost(error) from error
        self.bytes_out += written
        return written

    def setPacketTimeout(self, packet_length: int) -> None:
        """Wait for ``packet_length`` bytes: their own time on the wire, and ``answer_s`` before them."""
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + self.answer_s * 1e3)
        self._budget = 2 * packet_length + SPARE_BYTES

    def setPacketTimeoutMillis(self, msec: float) -> None:
        """Wait for ``msec``, and for no more than a whole bus may answer."""
        super().setPacketTimeoutMillis(msec)
        self._budget = CHUNK

    def getCurrentTime(self) -> float:
        """Milliseconds of the clock given."""
        return self._clock() * 1e3

    def expired(self) -> bool:
        """Whether the time of the packet that is waited for is over."""
        return self._left_s() <= 0.0

    def _left_s(self) -> float:
        until_ms: float = self.packet_start_time + self.packet_timeout
        return until_ms * 1e-3 - self._clock()

    def _receive(self) -> None:
        try:
            # Asked even where time is over: an answer that came while we were not scheduled is an answer.
            if select.select([self._fd], [], [], max(0.0, self._left_s()))[0]:
                got = os.read(self._fd, CHUNK)
                if not got:
                    raise OSError(errno.EIO, "the device is gone")
                self.bytes_in += len(got)
                self._buffer += got
        except BlockingIOError:
            return
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> PortLost:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        return PortLost(f"the port is gone ({why})", where=self.port_name, right="plug the adapter in and start again")

    def _timing(self) -> None:
        self.tx_time_per_byte = 10.0 * 1e3 / self.baudrate

    def _known(self, baud: int) -> int:
        if self.getCFlagBaud(baud) <= 0:
            rates = ", ".join(map(str, BAUD_RATES))
            raise DeviceError(f"{baud} is no baud rate of the port", where=self.port_name, right=rates)
        return baud


def is_pseudo_terminal(path: str) -> bool:
    """Whether a port is a virtual one. It would stay exclusive after we were killed, as its other end lives on."""
    return os.path.realpath(path).startswith("/dev/pts/")


def serial_ports() -> list[str]:
    """The USB serial devices of this machine, by their lasting names where they have one."""
    by_id = sorted(Path("/dev/serial/by-id").glob("*")) if Path("/dev/serial/by-id").is_dir() else []
    plain = sorted(path for pattern in ("ttyUSB*", "ttyACM*") for path in Path("/dev").glob(pattern))
    named = {path.resolve() for path in by_id}
    return [str(path) for path in [*by_id, *(path for path in plain if path not in named)]]


def cannot_open(path: str, error: Exception) -> DeviceError:
    """Why a port cannot be opened, and how that is mended."""
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, DeviceError):
        return error
    if code in (errno.EACCES, errno.EPERM):
        group = _group(path)
        return DeviceError(
            f"this user may not open it (its group is {group})",
            where=path,
            right=f"sudo usermod -aG {group} $USER, then log in again",
        )
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = ", ".join(serial_ports()) or "no USB serial device is connected"
        return DeviceError("there is no such port", where=path, right=there)
    if code == errno.EBUSY:
        return in_use(path)
    if not _is_character_device(path):
        return DeviceError("not a serial device", where=path, right="a path such as /dev/ttyUSB0")
    return DeviceError(f"cannot be opened ({error})", where=path, right="a serial port of the servos' USB adapter")


def _group(path: str) -> str:
    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"


def _is_character_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False
