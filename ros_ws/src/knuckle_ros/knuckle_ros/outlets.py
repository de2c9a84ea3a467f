"""Where a recording's samples go on the bus: the topics of an IMU, of a skin, or of a table's rows."""

from __future__ import annotations

from typing import Protocol

from rclpy.node import Node
from sensor_msgs.msg import Imu, MagneticField

from knuckle.sensors.hiss.playback import Playback
from knuckle.sensors.recording import ImuRecording
from knuckle_ros.bus_qos import STREAM
from knuckle_ros.imu_messages import imu_message, mag_message


class Outlet(Protocol):
    """Publishers of one recording."""

    def heard(self) -> bool:
        """Whether somebody listens to all of it."""
        ...

    def publish(self, i: int, stamp_ns: int) -> None:
        """Publish sample ``i`` with ``stamp_ns``."""
        ...


class ImuOutlet:
    """``imu``, and ``magnetic_field`` where the recording has one."""

    def __init__(self, node: Node, recording: ImuRecording, frame: str) -> None:
        self._recording, self._frame = recording, frame
        self._readings = node.create_publisher(Imu, "imu", STREAM)
        self._fields = node.create_publisher(MagneticField, "magnetic_field", STREAM)

    def heard(self) -> bool:
        """Whether somebody listens to all that the recording holds."""
        listened = [self._readings] if self._recording.mag is None else [self._readings, self._fields]
        return all(publisher.get_subscription_count() > 0 for publisher in listened)

    def publish(self, i: int, stamp_ns: int) -> None:
        """The field first: the estimate then follows at the reading."""
        recording = self._recording
        if recording.mag is not None:
            self._fields.publish(mag_message(stamp_ns, self._frame, recording.mag[i]))
        self._readings.publish(imu_message(stamp_ns, self._frame, recording.gyr[i], recording.acc[i]))


class RowOutlet:
    """``topic``: a skin's fields as `Tactile`, or rows by name as `NamedValues`."""

    def __init__(self, node: Node, playback: Playback, topic: str, frame: str, *, tactile: bool) -> None:
        from knuckle_msgs.msg import NamedValues, Tactile

        assert playback.rows is not None
        self._rows, self._names = playback.rows, playback.channels
        self._frame, self._tactile = frame, tactile
        self._publisher = node.create_publisher(Tactile if tactile else NamedValues, topic, STREAM)

    def heard(self) -> bool:
        """Whether somebody listens."""
        return bool(self._publisher.get_subscription_count() > 0)

    def publish(self, i: int, stamp_ns: int) -> None:
        """The row."""
        from knuckle_ros.model_messages import tactile_message, values_message

        row = self._rows[i]
        message = (
            tactile_message(stamp_ns, self._frame, row) if self._tactile else values_message(stamp_ns, self._names, row)
        )
        self._publisher.publish(message)
