"""The watchdog: a small process beside the driver that tells it to hold, and kills it where its heart stops.

    what happens                     what follows                                     within
    a commander dies, someone asks   the driver is told over the socket, and holds    20 ms: wake-up, and a driver cycle
    the driver's heartbeat stops     the watchdog kills it: SIGKILL to its handle     150 ms after the last beat
    the driver is dead or silent     the servos' own bus watchdog stops them          200 ms after the last packet

The driver beats at every cycle of its servo loop, so a stuck loop falls silent however alive the rest is; from there to
servos that stand still it takes at most 350 ms. Where the watchdog itself dies the driver sees its socket close and
holds. A driver that ends closes its own, and nothing is killed.

Only the standard library is used and nothing of ours is imported: it starts in a fraction of 0.2 s, and nothing that
breaks the driver can break it. Messages are packets: any from the driver is a beat, to it go ``died NAME`` and ``hold
WHO``, and on the listening socket, which only this user can reach, come ``commander NAME`` (its death is the end of the
connection, which no process can hide) and ``hold WHO``.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

LIMIT_S = 0.15
LARGEST = 128
MOST_CLIENTS = 16
BEAT = b"."


class Watchdog:
    """Guards the process behind ``pidfd`` which talks on ``driver``; others connect to ``listener``.

    ``clock`` yields ns of a monotonic clock. The heartbeat counts from its first beat on.
    """

    def __init__(
        self, driver: socket.socket, pidfd: int, listener: socket.socket, limit_s: float, clock: Callable[[], int]
    ) -> None:
        self._driver, self._pidfd, self._listener = driver, pidfd, listener
        self._limit_ns, self._clock = round(limit_s * 1e9), clock
        self._due_ns: int | None = None
        self._clients: dict[int, tuple[socket.socket, str]] = {}
        self._poll = select.poll()
        listener.setblocking(False)
        for end in (driver, listener):
            self._poll.register(end, select.POLLIN)

    def serve(self) -> str:
        """Watch until the driver has ended or was killed; which of the two, in words."""
        while not (said := self.turn(self.patience_ms())):
            pass
        return said

    def turn(self, wait_ms: int | None) -> str:
        """Do what has come, once something has or ``wait_ms`` are over; how the watch ended, empty where it goes on."""
        for number, _ in self._poll.poll(wait_ms):
            if number == self._listener.fileno():
                self._accept()
            elif number in self._clients:
                self._hear_client(number)
        # Every beat from before this moment is heard before it counts: a late watchdog blames nobody for it.
        now_ns = self._clock()
        if not self._hear_driver():
            return "the driver ended"
        if self._due_ns is None or now_ns < self._due_ns:
            return ""
        # It may have ended this very moment.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        return f"no heartbeat for {self._limit_ns / 1e6:.0f} ms: killed"

    def patience_ms(self) -> int | None:
        """How long nothing need be done where nothing comes; None before the first beat: for ever."""
        if self._due_ns is None:
            return None
        return max(0, math.ceil((self._due_ns - self._clock()) / 1e6))

    def _hear_driver(self) -> bool:
        """Take every packet of the driver; False where it has ended."""
        while word := _packet(self._driver):
            self._due_ns = self._clock() + self._limit_ns
        return word is None

    def _tell(self, line: str) -> None:
        # A driver that does not read is about to be killed, or gone.
        with suppress(OSError):
            self._driver.send(line.encode()[:LARGEST], socket.MSG_DONTWAIT)

    def _accept(self) -> None:
        # Whoever knocked may have left again.
        with suppress(OSError):
            client, _ = self._listener.accept()
            if len(self._clients) >= MOST_CLIENTS:
                client.close()
                return
            self._clients[client.fileno()] = (client, "")
            self._poll.register(client, select.POLLIN)

    def _hear_client(self, number: int) -> None:
        """One packet of a client: none may keep the watchdog from its driver by talking."""
        client, name = self._clients[number]
        verb, _, text = (_packet(client) or b"").decode("utf-8", "replace").partition(" ")
        if verb == "commander":
            self._clients[number] = (client, text)
        elif verb == "hold":
            self._tell(f"hold {text}")
        else:
            self._poll.unregister(client)
            del self._clients[number]
            client.close()
            if name:
                self._tell(f"died {name}")


def _packet(end: socket.socket) -> bytes | None:
    """The next packet; empty at the end of the connection, None where none waits."""
    try:
        return end.recv(LARGEST, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def main(arguments: list[str]) -> int:
    """Watch over the parent. Arguments: its process id, the two sockets' numbers, the limit in s."""
    parent, driver, listener, limit_s = arguments
    # A terminal's Ctrl-C is for the driver, whose end then ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with (
        socket.socket(fileno=int(driver)) as talking,
        socket.socket(fileno=int(listener)) as listening,
        suppress(ProcessLookupError),
    ):
        pidfd = os.pidfd_open(int(parent))
        said = Watchdog(talking, pidfd, listening, float(limit_s), time.monotonic_ns).serve()
        os.close(pidfd)
        if "killed" in said:
            print(f"watchdog of process {parent}: {said}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
