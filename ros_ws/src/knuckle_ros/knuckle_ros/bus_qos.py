"""The quality of service of the bus's topics, written once for both ends."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile

# DDS's own threads assert liveliness, so this counts the death of a process and not a busy interpreter. The
# supervisor's notice comes within milliseconds; this is the second way, for a commander from outside the graph.
COMMANDER_LEASE_S = 0.5

JOINT_STATES = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DEPTH = QoSProfile(depth=5)
# What a watch acts on: where it lags it must see what is, not what was.
NEWEST = QoSProfile(depth=1)
JOINTS_OF_FRAME = QoSProfile(depth=3)
STREAM = QoSProfile(depth=200)
DIAGNOSTICS = QoSProfile(depth=10)
# One reader's queue holds what all writers send: with room for one, a stranger's words would push the commander's out.
COMMANDS_HEARD = 100


def commands(lifespan_s: float | None = None) -> QoSProfile:
    """``joint_commands``: reliable, of a publisher whose death is noticed.

    A publisher keeps 1 and gives the wall time after which an undelivered command is worthless; a subscriber gives
    nothing, and keeps many.
    """
    profile = QoSProfile(
        depth=COMMANDS_HEARD if lifespan_s is None else 1,
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Duration(nanoseconds=round(COMMANDER_LEASE_S * 1e9)),
    )
    if lifespan_s is not None:
        profile.lifespan = Duration(nanoseconds=round(lifespan_s * 1e9))
    return profile
