"""Asking whether our messages are there, before a node needs them."""

from __future__ import annotations

import importlib.util

from knuckle.core.errors import BusError
from knuckle_ros.message_build.definitions import DISTRIBUTION, PACKAGES, expected_version, installed_version


def messages_problem() -> str | None:
    """What is wrong with the messages of this environment, None where they are built and current.

    Messages of a ROS workspace (no wheel of ours, but importable) are taken as they are.
    """
    absent = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if absent:
        return f"messages not built: {', '.join(absent)}"
    have = installed_version()
    if have is not None and have != expected_version():
        return f"messages built for other definitions or ROS wheels ({DISTRIBUTION} {have})"
    return None


def require_messages() -> None:
    """Return where knuckle_msgs and tf2_msgs can be imported; BusError saying to run `knuckle setup` otherwise."""
    problem = messages_problem()
    if problem is not None:
        raise BusError(problem, right="run `knuckle setup`")
