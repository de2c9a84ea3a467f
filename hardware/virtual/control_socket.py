"""A Unix socket in a run's folder: one line of text asks, one line of JSON answers. Both ends of it."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from knuckle.core.errors import DeviceError, InputError

MAX_LINE = 4096
MAX_PATH = 107
_PATIENCE_S = 10.0


def default_socket() -> Path:
    """Where a graph's virtual bus listens: in the user's run-time (or state) folder, one for each ROS domain."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = Path(runtime) / "knuckle" if runtime else Path(state).expanduser() / "knuckle"
    return folder / f"servo_bus_{os.environ.get('ROS_DOMAIN_ID') or '0'}.sock"


class ControlServer:
    """Listens at ``path``, which only its user may open; ``answer`` is called with each line.

    InputErrors of ``answer`` go back as ``{"error": ...}``. Raises DeviceError where somebody listens there already,
    InputError where the path is taken by something else.
    """

    def __init__(self, path: Path, answer: Callable[[str], dict[str, Any]]) -> None:
        self.path, self._answer = path, answer
        _check(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and not path.is_socket():
            raise InputError("is there already, and no socket", where=str(path), right="a path of its own")
        if path.is_socket() and _alive(path):
            raise DeviceError("another virtual bus is served there", where=str(path), right="one bus a folder")
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(before)
        self._listener.listen(8)
        self._listener.setblocking(False)
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}

    def descriptors(self) -> list[int]:
        """What to watch for reading."""
        return [self._listener.fileno(), *self._clients]

    def serve(self, readable: Sequence[int]) -> None:
        """Take what came at ``readable`` descriptors, those of others are ignored, and answer whole lines."""
        for descriptor in readable:
            if descriptor == self._listener.fileno():
                self._welcome()
            elif descriptor in self._clients:
                self._hear(descriptor)

    def _welcome(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            # It went away before it was let in.
            return
        client.setblocking(False)
        self._clients[client.fileno()] = client, bytearray()

    def _hear(self, descriptor: int) -> None:
        client, buffer = self._clients[descriptor]
        try:
            data = client.recv(MAX_LINE)
            buffer += data
            while b"\n" in buffer:
                line, _, rest = bytes(buffer).partition(b"\n")
                buffer[:] = rest
                client.sendall(json.dumps(self._say(line.decode("utf-8", "replace"))).encode() + b"\n")
            if data and len(buffer) <= MAX_LINE:
                return
        except (BlockingIOError, ConnectionError):
            # It does not take its answer, or went away: nobody waits for it.
            data = b""
        client.close()
        del self._clients[descriptor]

    def _say(self, line: str) -> dict[str, Any]:
        try:
            return self._answer(line)
        except InputError as error:
            return {"error": str(error)}

    def close(self) -> None:
        """Stop listening, and take the socket away."""
        for client, _ in self._clients.values():
            client.close()
        self._clients.clear()
        self._listener.close()
        self.path.unlink(missing_ok=True)


def ask(path: Path, line: str) -> dict[str, Any]:
    """Send ``line`` to the socket at ``path`` and give its answer.

    Raises DeviceError where nobody listens or answers there, InputError with what the other end found wrong.
    """
    _check(path)
    if len(line) >= MAX_LINE or "\n" in line:
        raise InputError("what is asked is too long, or not one line", where=str(path), right=f"below {MAX_LINE} bytes")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(_PATIENCE_S)
            client.connect(str(path))
            client.sendall(line.encode() + b"\n")
            with client.makefile("rb") as stream:
                raw = stream.readline(1 << 22)
    except (FileNotFoundError, ConnectionRefusedError):
        raise DeviceError("no virtual servo bus runs here", where=str(path)) from None
    except (ConnectionError, TimeoutError, PermissionError) as error:
        reason = (os.strerror(error.errno) if error.errno else "no answer").lower()
        raise DeviceError(f"the virtual servo bus cannot be asked ({reason})", where=str(path)) from None
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise DeviceError("what answers is no virtual servo bus", where=str(path))
    if "error" in answer:
        raise InputError(str(answer["error"]))
    return answer


def _check(path: Path) -> None:
    if len(os.fsencode(path)) > MAX_PATH:
        what = f"a socket's path has at most {MAX_PATH} bytes, this one {len(os.fsencode(path))}"
        raise InputError(what, where=str(path), right="a shorter folder")


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return bool(select.select([], [probe], [], 1.0)[1])
        except OSError:
            return False
        return True
