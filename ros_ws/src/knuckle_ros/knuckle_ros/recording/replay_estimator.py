"""The estimator run again over a recording, from the first state after which every reading was recorded."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

from knuckle.core.errors import RecordingError
from knuckle.sensors.imu_stream import ImuStream, ImuStreamConfig
from knuckle_ros.configuration_topic import read_configuration
from knuckle_ros.estimator_node import Config
from knuckle_ros.imu_messages import estimate_message, field_of, reading_of, state_of
from knuckle_ros.recording.comparison import Comparison, compare
from knuckle_ros.recording.recording_file import RecordingFile
from knuckle_ros.recording.replay_perception import configuration_text
from knuckle_ros.wire import stamp_ns

IMU = "imu"
FIELD = "magnetic_field"
KIND = "estimator"
READING = "sensor_msgs/msg/Imu"
STATE = "std_msgs/msg/UInt8MultiArray"


def replay_estimator(recording: RecordingFile) -> Comparison:
    """Make the estimates after the first recorded state again and compare them with those on ``<stream>/estimate``."""
    topic, text = configuration_text(recording, KIND)
    config = read_configuration(text, Config, where=f"{recording.path}: {topic}")
    estimates, states = f"{config.stream}/estimate", f"{config.stream}/estimator_state"
    needed = {IMU: READING, states: STATE, estimates: READING}
    recording.require(
        needed | ({FIELD: "sensor_msgs/msg/MagneticField"} if config.magnetometer else {}), what=estimates
    )
    names = {field.name for field in dataclasses.fields(ImuStreamConfig)}
    stream = ImuStream(ImuStreamConfig(**{k: v for k, v in vars(config).items() if k in names}))
    begin = _restore(stream, recording, states, (IMU, FIELD) if config.magnetometer else (IMU,))
    again: dict[int, bytes] = {}
    readings: set[int] = set()
    frame = ""
    for name, message in recording.messages((IMU, FIELD)):
        stamp = stamp_ns(message.header.stamp)
        if stamp <= begin:
            continue
        if name == IMU:
            frame = message.header.frame_id
            readings.add(stamp)
            made = stream.imu(stamp, *reading_of(message))
        else:
            made = stream.mag(stamp, field_of(message))
        again |= {estimate.stamp_ns: _bits(estimate_message(estimate, frame)) for estimate in made}
    recorded = {stamp_ns(m.header.stamp): _bits(m) for _, m in recording.messages((estimates,))}
    newest = max(again, default=begin)
    return compare(estimates, recorded, again, lambda stamp: begin < stamp <= newest and stamp in readings)


def _restore(stream: ImuStream, recording: RecordingFile, states: str, inputs: tuple[str, ...]) -> int:
    """Restore the first state that is not older than the first reading of each of ``inputs``; its stamp.

    A recorder that joins hears some topics before others: after an older state readings would be missing.
    """
    first = max(stamp_ns(next(recording.messages((name,)))[1].header.stamp) for name in inputs)
    for _, message in recording.messages((states,)):
        begin = stream.restore(state_of(message))
        if begin >= first:
            return begin
    right = "a recording of a few seconds: the state is told once a second"
    raise RecordingError(f"no state on {states} after the first readings", where=str(recording.path), right=right)


def _bits(message: Any) -> bytes:
    """All that an estimate says, exactly."""
    q = message.orientation
    covariances = (
        message.orientation_covariance,
        message.angular_velocity_covariance,
        message.linear_acceleration_covariance,
    )
    numbers = [q.x, q.y, q.z, q.w, *(float(value) for matrix in covariances for value in matrix)]
    return str(message.header.frame_id).encode() + struct.pack(f"<{len(numbers)}d", *numbers)
