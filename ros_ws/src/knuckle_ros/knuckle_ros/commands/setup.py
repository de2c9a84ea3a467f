"""`knuckle setup`: build the messages and install them into the running environment."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting


@dataclass(frozen=True)
class SetupConfig:
    """Build knuckle_msgs and tf2_msgs from the ROS wheels and install them here; quick where nothing changed."""

    rebuild: bool = setting(False, "build anew even where a current build is cached or installed")


def setup(argv: list[str]) -> int:
    """Run the command; raises BusError for missing tools and RunError for a failed build."""
    from knuckle_ros.message_build.definitions import installed_version
    from knuckle_ros.message_build.install import set_up_messages

    config = parse_arguments(SetupConfig, argv, "knuckle setup")
    signal.signal(signal.SIGTERM, _terminate)
    started = time.monotonic()
    changed = set_up_messages(_say, rebuild=config.rebuild)
    took = f"ready after {time.monotonic() - started:.0f} s" if changed else "are current"
    _say(f"messages {installed_version()} {took}")
    return 0


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave by the way of an error, so that what a build has started and written is cleared away."""
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
