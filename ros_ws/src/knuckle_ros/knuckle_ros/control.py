"""The control pipe between the supervisor and one process of the graph: short text messages, and the death of either.

From the supervisor: ``start {json}`` (what to host), ``go`` (all processes have checked their parameters), ``died
NAME NODE...`` (another process ended, and its nodes with it), and the end of the pipe (the supervisor is gone). From
the process: ``checked``, ``ready``, ``failed CODE LINE`` and ``health {json}``.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

ENVIRONMENT = "KNUCKLE_CONTROL_FD"
SUPERVISOR = "KNUCKLE_SUPERVISOR_PID"
MAX_BYTES = 128 * 1024


def control_pair() -> tuple[Control, Control]:
    """The supervisor's end, which never blocks, and the child's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return Control(ours), Control(theirs)


def inherited_control() -> Control | None:
    """The end that this process was started with; None where no supervisor started it."""
    number = os.environ.get(ENVIRONMENT)
    return Control(socket.socket(fileno=int(number))) if number else None


class Control:
    """One end of a control pipe."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def fileno(self) -> int:
        """For selectors, and for handing the end to a child."""
        return self._socket.fileno()

    def send(self, verb: str, text: str = "") -> bool:
        """Send one message, never waiting; False where the other end is gone or has not read for long.

        A supervisor that is suspended (Ctrl-Z) must not stop the driver, which tells it of its health.
        """
        data = f"{verb} {text}".encode()
        if len(data) > MAX_BYTES:
            raise ValueError(f"control message of {len(data)} bytes, above {MAX_BYTES}")
        try:
            self._socket.send(data, socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def receive(self, timeout_s: float | None = None) -> tuple[str, str] | None:
        """The next message as verb and text; None at the end of the pipe.

        The child's end waits, at most ``timeout_s`` where that is given (TimeoutError); the supervisor's end raises
        BlockingIOError where no message waits.
        """
        if timeout_s is not None:
            self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(MAX_BYTES)
        except ConnectionResetError:
            return None
        finally:
            if timeout_s is not None:
                self._socket.settimeout(None)
        if not data:
            return None
        verb, _, text = data.decode("utf-8", "replace").partition(" ")
        return verb, text

    def stop_receiving(self) -> None:
        """End one direction: a reader in another thread wakes with None; what is left to say can still be said."""
        # The other end may have been first.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()
