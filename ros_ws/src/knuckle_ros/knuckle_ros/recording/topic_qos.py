"""The quality of service that hears every publisher of a topic, and its text in a recording."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

SMALL_QUEUE = 2000
LARGE_QUEUE = 40
LARGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/PointCloud2")

_FOREVER = "{sec: 9223372036, nsec: 854775807}"


def hearing_qos(offered: Sequence[QoSProfile], type_name: str) -> QoSProfile:
    """Reliable and latched where all publishers are, so that nothing they offer is missed and none is refused.

    The queue is long, short only for large messages: a stalled disk must not fill the memory.
    """
    reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=LARGE_QUEUE if type_name in LARGE_TYPES else SMALL_QUEUE,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def qos_yaml(profile: QoSProfile) -> str:
    """The profile as rosbag2 writes it beside a topic (offered_qos_profiles), for players that publish it again."""
    reliable = profile.reliability == ReliabilityPolicy.RELIABLE
    latched = profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return "\n".join(
        [
            "- history: keep_last",
            f"  depth: {1 if latched else 10}",
            f"  reliability: {'reliable' if reliable else 'best_effort'}",
            f"  durability: {'transient_local' if latched else 'volatile'}",
            f"  deadline: {_FOREVER}",
            f"  lifespan: {_FOREVER}",
            "  liveliness: automatic",
            f"  liveliness_lease_duration: {_FOREVER}",
            "  avoid_ros_namespace_conventions: false",
        ]
    )
