"""The quality of service of the bus's topics, written once for both ends (see the table in ARCHITECTURE.md)."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile

# DDS's own threads assert liveliness, so this counts the death of a process and not a busy interpreter. The
# supervisor's notice comes within milliseconds; this is the second way, for a commander from outside the graph.
COMMANDER_LEASE_S = 0.5

JOINT_STATES = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DEPTH = QoSProfile(depth=5)
STREAM = QoSProfile(depth=200)
DIAGNOSTICS = QoSProfile(depth=10)


def commands(lifespan_s: float | None = None) -> QoSProfile:
    """``joint_commands``: reliable 1, of a publisher whose death is noticed.

    A publisher gives the wall time after which an undelivered command is worthless; a subscriber gives nothing.
    """
    profile = QoSProfile(
        depth=1,
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Duration(nanoseconds=round(COMMANDER_LEASE_S * 1e9)),
    )
    if lifespan_s is not None:
        profile.lifespan = Duration(nanoseconds=round(lifespan_s * 1e9))
    return profile
