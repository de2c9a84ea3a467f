"""A Python process of ours, tied to its parent at both ends, that says what it does in lines of JSON.

The parent holds a ``ChildProcess``; the child makes a ``ParentLink`` first of all. The child ends when the parent
ends, however that happens: the kernel then sends it SIGTERM, and the pipe from the parent closes.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
_GRACE_S = 3.0


class ChildProcess:
    """Starts ``python -m module arguments...``; its lines arrive as events, its complaints stay to be quoted."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", module, *arguments, str(os.getpid())]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=dict(environment), start_new_session=True
        )
        self._stderr: deque[str] = deque(maxlen=20)
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def fileno(self) -> int:
        """The pipe of events, to be waited on."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read_event(self) -> dict[str, Any] | None:
        """The next event, waiting for it; None where the process has closed its end."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return None
        event: dict[str, Any] = json.loads(line)
        return event

    def tell(self, word: str) -> None:
        """Send one word to the child; a child that has ended does not hear it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{word}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its death is seen, and told, where its events are read

    def complaint(self) -> str:
        """How the process ended, with the last line it wrote to stderr."""
        code = self.process.wait()
        self._drain.join(1.0)
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{ended}: {self._stderr[-1]}" if self._stderr else ended

    def stop(self) -> bool:
        """End the process, politely and then not; whether it could tidy up behind itself."""
        self.process.terminate()
        try:
            self.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self._drain.join(1.0)
        return self.process.returncode >= 0

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                text = line.decode("utf-8", "replace").strip()
                if text:
                    self._stderr.append(text)


class ParentLink:
    """The child's end: ``stop`` is set when the parent wants or has an end, ``go`` when the parent says so."""

    def __init__(self, parent: int) -> None:
        self.stop = threading.Event()
        self.go = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
            raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG")
        if os.getppid() != parent:  # it died before the line above
            self.stop.set()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, event: str, **values: Any) -> None:
        """One event for the parent; with nobody left to hear it, stop."""
        try:
            sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            self.stop.set()

    def _listen(self) -> None:
        for line in sys.stdin:
            if line.strip() == "go":
                self.go.set()
        self.stop.set()
