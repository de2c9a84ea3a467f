"""IMU samples, estimates and an estimator's state as messages, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Imu, MagneticField
from std_msgs.msg import MultiArrayDimension, UInt8MultiArray

from knuckle.sensors.estimator import Estimate
from knuckle_ros.wire import from_ros_quaternion, header_msg, to_ros_quaternion

Array = NDArray[np.float64]

# The subscriber's end of bus_qos.STREAM: it holds seconds of a fast IMU, so that a busy machine delays its samples and
# does not lose them.
LOSSLESS = QoSProfile(depth=1000)

_ABSENT = -1.0  # in the first element of a covariance: the message does not carry this quantity (sensor_msgs/Imu)


def imu_message(stamp_ns: int, frame: str, gyr: Array, acc: Array) -> Imu:
    """A reading, ``gyr`` (3,) rad/s and ``acc`` (3,) m/s^2 in ``frame``, that carries no orientation."""
    message = Imu(header=header_msg(stamp_ns, frame))
    rate, force = message.angular_velocity, message.linear_acceleration
    rate.x, rate.y, rate.z = gyr.tolist()
    force.x, force.y, force.z = acc.tolist()
    message.orientation_covariance[0] = _ABSENT
    return message


def mag_message(stamp_ns: int, frame: str, mag: Array) -> MagneticField:
    """A magnetic field (3,) in T, in ``frame``."""
    message = MagneticField(header=header_msg(stamp_ns, frame))
    field = message.magnetic_field
    field.x, field.y, field.z = mag.tolist()
    return message


def reading_of(message: Imu) -> tuple[Array, Array]:
    """``gyr`` (3,) rad/s and ``acc`` (3,) m/s^2 of a reading."""
    rate, force = message.angular_velocity, message.linear_acceleration
    return np.array([rate.x, rate.y, rate.z]), np.array([force.x, force.y, force.z])


def field_of(message: MagneticField) -> Array:
    """The magnetic field (3,) in T."""
    field = message.magnetic_field
    return np.array([field.x, field.y, field.z])


def estimate_message(estimate: Estimate, frame: str) -> Imu:
    """An estimate, its covariance in rad^2 about the earth's axes; -1 there where it is not valid or has none.

    The orientation is set in both cases. Angular velocity and acceleration are absent (-1 in their covariances).
    """
    message = Imu(header=header_msg(estimate.stamp_ns, frame), orientation=to_ros_quaternion(estimate.orientation))
    if estimate.valid and estimate.covariance is not None:
        message.orientation_covariance = estimate.covariance.ravel()
    else:
        message.orientation_covariance[0] = _ABSENT
    message.angular_velocity_covariance[0] = _ABSENT
    message.linear_acceleration_covariance[0] = _ABSENT
    return message


def orientation_of(message: Imu) -> Array:
    """The orientation (4,) w x y z of an estimate."""
    return from_ros_quaternion(message.orientation)


def is_valid(message: Imu) -> bool:
    """Whether an estimate may be acted upon."""
    return bool(message.orientation_covariance[0] != _ABSENT)


def state_message(state: bytes) -> UInt8MultiArray:
    """The state of an ImuStream as a message."""
    message = UInt8MultiArray()
    message.layout.dim.append(MultiArrayDimension(label="imu_stream state, JSON", size=len(state), stride=len(state)))
    message.data = state
    return message


def state_of(message: UInt8MultiArray) -> bytes:
    """The state of an ImuStream, to be given to its ``restore``."""
    return bytes(message.data)
