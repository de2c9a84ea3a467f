"""The latency timer of an FTDI USB adapter, such as the U2D2: how long it keeps received bytes back, 16 ms by default.

At 16 ms no bus reaches 100 Hz. 1 ms is right.
"""

from __future__ import annotations

import os
from pathlib import Path

SYSFS = Path("/sys/bus/usb-serial/devices")


def latency_file(port: str, root: Path = SYSFS) -> Path | None:
    """The file that holds the latency of ``port`` in ms; None where its adapter has none."""
    path = root / Path(os.path.realpath(port)).name / "latency_timer"
    return path if path.is_file() else None


def latency_ms(port: str, root: Path = SYSFS) -> int | None:
    """The latency of ``port``'s adapter, ms; None where it has none or cannot be read."""
    path = latency_file(port, root)
    try:
        return int(path.read_text(encoding="ascii")) if path is not None else None
    except (OSError, ValueError):
        return None
