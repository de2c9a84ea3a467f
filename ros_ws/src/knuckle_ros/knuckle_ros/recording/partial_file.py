"""The two names of a recording: NAME.mcap.part while it grows, NAME.mcap once it is whole.

A file under its final name always has its summary, which readers want; a recorder that is killed leaves the other, with
all whole chunks in it, and `knuckle record --recover` makes it whole.
"""

from __future__ import annotations

from pathlib import Path

_PART = ".part"


def partial_path(path: Path) -> Path:
    """The name while the recording grows."""
    return path.with_name(path.name + _PART)


def finished_path(path: Path) -> Path:
    """The name of the whole recording that is made of a broken one."""
    if path.name.endswith(_PART):
        return path.with_name(path.name.removesuffix(_PART))
    return path.with_name(f"{path.stem}.recovered.mcap")
