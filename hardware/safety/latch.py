"""The stop latch: a file that says the hand was stopped, and outlives every process.

Written whole and synced to disk before the stop acts, so that no crash can lose it; removed by rearm alone. Whatever
cannot be judged (a damaged file, a folder that cannot be written) counts as stopped.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from knuckle.core.errors import RunError
from knuckle.core.figures import write_text
from knuckle.hardware.safety.quote import quote

VERSION = 1
LARGEST = 4096


class StopLatch:
    """The latch file at ``path``. Its folder is made when missing."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def engaged(self) -> str:
        """Why the hand counts as stopped, one line; empty where it does not."""
        try:
            content = self._content()
        except FileNotFoundError:
            try:
                self.probe()
            except RunError as error:
                return str(error)
            return ""
        except OSError as error:
            return f"stop latch {self.path} cannot be read ({error.strerror}): counts as stopped"
        return self._judge(content)

    def engage(self, source: str, stamp_ns: int) -> None:
        """Write the latch, file and folder synced to disk, for a stop asked by ``source``; RunError where it fails."""
        text = json.dumps({"version": VERSION, "source": source, "stamp_ns": stamp_ns}) + "\n"
        try:
            write_text(self.path, text)
            self._sync_folder()
        except OSError as error:
            raise self._unwritable(error) from error

    def clear(self) -> None:
        """Remove the latch; RunError where it cannot be removed, or where a next stop could not be latched."""
        self.probe()
        try:
            self.path.unlink(missing_ok=True)
            self._sync_folder()
        except OSError as error:
            raise RunError(
                f"stop latch cannot be removed ({error.strerror})", where=str(self.path), right="remove it by hand"
            ) from error

    def probe(self) -> None:
        """RunError where a stop could not be latched: written beside the latch and removed again."""
        trial = self.path.with_name(f".{self.path.name}.probe")
        try:
            write_text(trial, "probe\n")
            trial.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def _content(self) -> bytes:
        """The file's first bytes; a thing that is not a plain file (a pipe would block for ever) reads as empty."""
        if not stat.S_ISREG(self.path.stat().st_mode):
            return b""
        with self.path.open("rb") as stream:
            return stream.read(LARGEST)

    def _judge(self, content: bytes) -> str:
        try:
            said = json.loads(content.decode("utf-8"))
            version, source = said["version"], said["source"]
        except (ValueError, KeyError, TypeError, RecursionError):
            version, source = None, None
        if version != VERSION or not isinstance(source, str):
            return f"stop latch {self.path} is damaged: counts as stopped"
        return f"emergency stop by {quote(source)}, latched in {self.path}"

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unwritable(self, error: OSError) -> RunError:
        return RunError(
            f"stop latch cannot be written ({error.strerror}): counts as stopped",
            where=str(self.path),
            right="a writable folder with free space",
        )
