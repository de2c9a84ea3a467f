"""Messages into Perception and what it sees out of it, for the node and for the replay alike.

Only attributes of messages are read, so that rclpy's messages and those that rosbags reads from a file both serve.
"""

from __future__ import annotations

from typing import Any, TypeVar

from knuckle.core.errors import InputError
from knuckle.perception.depth_image import DepthImage, intrinsics_of
from knuckle.perception.pipeline import Sight

JOINT_STATES = "joint_states"
IMAGE = "depth/image_rect_raw"
CAMERA_INFO = "depth/camera_info"
POINTS = "points"
FRAME = "hand_base"


T = TypeVar("T")


def feed(perception: Sight[T], topic: str, message: Any) -> list[T]:
    """Give ``message`` of one of the three topics to ``perception``; what it completes: clouds, for Perception."""
    stamp_ns = int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
    if topic == JOINT_STATES:
        return perception.on_joint_state(stamp_ns, message.name, message.position)
    if topic == IMAGE:
        return perception.on_image(_depth_image(stamp_ns, message))
    try:
        return perception.on_camera_info(stamp_ns, intrinsics_of(message.width, message.height, message.k, message.p))
    except InputError as error:
        perception.refuse_camera_info(str(error), stamp_ns)
        return []


def _depth_image(stamp_ns: int, message: Any) -> DepthImage:
    return DepthImage(
        stamp_ns=stamp_ns,
        frame=message.header.frame_id,
        encoding=message.encoding,
        width=int(message.width),
        height=int(message.height),
        step=int(message.step),
        big_endian=bool(message.is_bigendian),
        data=memoryview(message.data),
    )
