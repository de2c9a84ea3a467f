"""A file of bytes written under a temporary name and renamed: a reader never sees half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from knuckle.core.errors import RunError


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` whole or not at all. RunError where that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        what = f"the file cannot be written ({error.strerror})"
        raise RunError(what, where=str(path), right="a folder of yours with room") from error
