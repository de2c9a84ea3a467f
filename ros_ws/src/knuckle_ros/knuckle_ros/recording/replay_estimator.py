"""The estimator run again over a recording, from the first state it told of."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

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
    _, state = next(recording.messages((states,)))
    begin = stream.restore(state_of(state))
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
