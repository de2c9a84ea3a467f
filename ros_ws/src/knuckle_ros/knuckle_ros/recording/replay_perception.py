"""Perception run again over a recording, as its node ran it."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib

from knuckle.core.errors import RecordingError
from knuckle.perception.pipeline import Perception, PerceptionConfig
from knuckle_ros.configuration_topic import SUFFIX, configuration_kind, read_configuration
from knuckle_ros.perception_feed import CAMERA_INFO, FRAME, IMAGE, JOINT_STATES, POINTS, feed
from knuckle_ros.recording.comparison import Comparison, compare
from knuckle_ros.recording.recording_file import RecordingFile

KIND = "perception"
INPUTS = {
    JOINT_STATES: "sensor_msgs/msg/JointState",
    IMAGE: "sensor_msgs/msg/Image",
    CAMERA_INFO: "sensor_msgs/msg/CameraInfo",
}
CLOUD = "sensor_msgs/msg/PointCloud2"
TEXT = "std_msgs/msg/String"


def configuration_text(recording: RecordingFile, kind: str) -> tuple[str, str]:
    """Topic and text of the configuration of the (last) node of ``kind``; RecordingError where none is recorded."""
    topics = [topic for topic, held in recording.types.items() if topic.endswith(SUFFIX) and held == TEXT]
    said = [(topic, m.data) for topic, m in recording.messages(topics) if configuration_kind(m.data) == kind]
    if not said:
        right = f"a recording with the latched topic {kind}{SUFFIX}"
        raise RecordingError(f"the configuration of {kind} is not in it", where=str(recording.path), right=right)
    return said[-1]


def replay_perception(recording: RecordingFile) -> Comparison:
    """Make all clouds again and compare them with those recorded on ``points``."""
    recording.require({**INPUTS, POINTS: CLOUD}, what=POINTS)
    topic, text = configuration_text(recording, KIND)
    config = read_configuration(text, PerceptionConfig, where=f"{recording.path}: {topic}")
    # What came late or waited too long live depends on the machine's load; what a cloud holds does not.
    perception = Perception(dataclasses.replace(config, late_s=1e6, history_s=100.0, waiting=1000))
    again: dict[int, bytes] = {}
    joints: list[int] = []
    images: set[int] = set()
    for name, message in recording.messages(INPUTS):
        stamp = _stamp(message)
        if name == JOINT_STATES:
            joints.append(stamp)
        elif name == IMAGE:
            images.add(stamp)
        for cloud in feed(perception, name, message):
            again[cloud.stamp_ns] = _key(FRAME, len(cloud.points), cloud.packed().tobytes())
    joints.sort()
    gap_ns = int(config.gap_s * 1e9)

    def has_inputs(stamp: int) -> bool:
        after = bisect.bisect_left(joints, stamp)
        if stamp not in images or after == len(joints):
            return False
        return joints[after] == stamp or (after > 0 and joints[after] - joints[after - 1] <= gap_ns)

    recorded = {_stamp(m): _key(m.header.frame_id, m.width, bytes(m.data)) for _, m in recording.messages((POINTS,))}
    return compare(POINTS, recorded, again, has_inputs)


def _stamp(message: object) -> int:
    stamp = message.header.stamp  # type: ignore[attr-defined]
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _key(frame: str, points: int, data: bytes) -> bytes:
    """A digest: a long recording's clouds need not be held in memory."""
    return hashlib.sha256(f"{frame} {points} ".encode() + data).digest()
