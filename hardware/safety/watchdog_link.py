"""The ends of the watchdog's sockets: the driver's, which starts it, and that of a commander or of anyone who asks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from knuckle.core.errors import DeviceError
from knuckle.hardware.safety import watchdog
from knuckle.hardware.safety.guarded_hand import GuardedHand

GRACE_S = 1.0


class DriverEnd:
    """The driver's end of the ``connection`` to its watchdog, for one thread: that of the driver's cycles."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.alive = True
        """False once the watchdog has died, or does not listen any more."""

    def attend(self, hand: GuardedHand) -> None:
        """Once a driver cycle: beat, and do what the watchdog says; HOLD where it is gone."""
        while packet := self._packet():
            verb, _, text = packet.decode("utf-8", "replace").partition(" ")
            if verb == "died":
                hand.commander_died(text)
            else:
                hand.fault(f"hold asked by {text}")
        self._beat()
        hand.concern("" if self.alive else "the watchdog died; restart the driver")

    def close(self) -> None:
        """Tell the watchdog that the driver ends."""
        self._socket.close()

    def _beat(self) -> None:
        try:
            self._socket.send(watchdog.BEAT, socket.MSG_DONTWAIT)
        except OSError:  # closed, or full of beats that nobody takes
            self.alive = False

    def _packet(self) -> bytes:
        """The next packet, empty where there is none; that nobody is there any more shows the next beat."""
        packet = b""
        with suppress(OSError):
            packet = self._socket.recv(watchdog.LARGEST, socket.MSG_DONTWAIT)
        return packet


class WatchdogLink(DriverEnd):
    """Starts the watchdog of this process; it listens on a socket at ``path`` and kills us ``limit_s`` after a beat.

    Raises DeviceError where it cannot be started.
    """

    def __init__(self, path: Path, limit_s: float = watchdog.LIMIT_S) -> None:
        self.path = path
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(ours)
        try:
            with theirs, _listener(path) as listener:
                numbers = (theirs.fileno(), listener.fileno())
                words = [str(os.getpid()), *map(str, numbers), str(limit_s)]
                # -S: no site-packages, so neither their memory nor the ROS bootstrapper's second start.
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", watchdog.__file__, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=numbers,
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise DeviceError(
                f"the watchdog cannot be started ({error.strerror or error})",
                where=str(path),
                right="a folder of yours",
            ) from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """End it: our closed socket tells it that we do. One that stands still is killed."""
        super().close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.path.unlink(missing_ok=True)


class CommanderLink:
    """A connection to the watchdog at ``path``, whose end, with this process or before, is the death of ``name``."""

    def __init__(self, path: Path, name: str) -> None:
        self._socket = _said(path, f"commander {name}")

    @property
    def alive(self) -> bool:
        """Whether the watchdog is still there."""
        try:
            return self._socket.recv(watchdog.LARGEST, socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Give it up: the hand holds, where ``name`` holds the lease."""
        self._socket.close()


def ask_to_hold(path: Path, who: str) -> None:
    """Ask the watchdog at ``path`` to make its driver hold; DeviceError where there is none."""
    _said(path, f"hold {who}").close()


def _said(path: Path, words: str) -> socket.socket:
    """A connection to the watchdog at ``path`` on which ``words`` were said."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(str(path))
        connection.send(words.encode())
    except OSError as error:
        connection.close()
        raise DeviceError(f"no watchdog listens ({error.strerror or error})", where=str(path)) from error
    return connection


def _listener(path: Path) -> socket.socket:
    """A listening socket that only this user can reach, in the place of one that was left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        # The mode of a socket file is that of its making: changed afterwards, a stranger could have come first.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(watchdog.MOST_CLIENTS)
    except OSError:
        listener.close()
        raise
    return listener
