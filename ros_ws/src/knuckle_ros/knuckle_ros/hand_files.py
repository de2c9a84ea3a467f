"""The files of a hand in the user's state folder: the latched stop, and the socket of the driver's watchdog."""

from __future__ import annotations

import os
from pathlib import Path


def default_latch(hand: str) -> Path:
    """The file of the latched stop of ``hand`` on this ROS domain."""
    return _state_file("stop", hand, "json")


def watchdog_socket(hand: str) -> Path:
    """Where the watchdog of the driver of ``hand`` on this ROS domain listens."""
    return _state_file("watchdog", hand, "sock")


def _state_file(kind: str, hand: str, ending: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return Path(state).expanduser() / "knuckle" / f"{kind}_{hand}_{domain}.{ending}"
