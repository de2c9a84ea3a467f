"""Short messages between the driver and the camera's process, each a verb and a JSON object; and the end of either."""

from __future__ import annotations

import json
import select
import socket
from typing import Any

ENVIRONMENT = "KNUCKLE_CAMERA_FD"
LARGEST = 16 * 1024

Message = tuple[str, dict[str, Any]]
GONE: Message = ("gone", {})
"""What a reader gets when the other end has ended."""


def link_pair() -> tuple[CameraLink, CameraLink]:
    """Both ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return CameraLink(ours), CameraLink(theirs)


class CameraLink:
    """One end. Sending never waits: what the other end does not read is lost, as frames may be."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def fileno(self) -> int:
        """For select, and for handing the end to a child."""
        return self._socket.fileno()

    def send(self, verb: str, **fields: Any) -> bool:
        """Send one message; False where it was lost."""
        data = json.dumps([verb, fields]).encode()
        if len(data) > LARGEST:
            raise ValueError(f"message of {len(data)} bytes, above {LARGEST}")
        try:
            self._socket.send(data, socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None where none comes within ``timeout_s``, ``GONE`` where the other end has ended."""
        if not select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            return None
        try:
            data = self._socket.recv(LARGEST)
        except ConnectionResetError:
            return GONE
        if not data:
            return GONE
        verb, fields = json.loads(data)
        return str(verb), dict(fields)

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on."""
        return self._socket.detach()

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()
