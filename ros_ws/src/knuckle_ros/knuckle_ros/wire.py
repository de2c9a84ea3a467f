"""Our values on the wire: numpy to messages and back. The only place, IMU streams aside, with quaternions x y z w."""

from __future__ import annotations

import array
import sys
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose, PoseStamped, Quaternion, Transform, TransformStamped
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from knuckle.core.errors import InputError
from knuckle.core.rotations import require_unit
from knuckle.hardware.spec.contracts import ColourImage, DepthFrame, HandCommand, HandState, Intrinsics

Array = NDArray[np.float64]

_SECOND = 1_000_000_000
_MILLIMETRE_M = 0.001
DEPTH_ENCODING = "16UC1"
COLOUR_ENCODING = "rgb8"
LENSES = {"kannala_brandt4": "equidistant"}
"""ROS's name of a lens model where it is not plumb_bob."""


def stamp_msg(nanoseconds: int) -> Time:
    """Integer nanoseconds as a stamp."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    return Time(sec=seconds, nanosec=rest)


def stamp_ns(stamp: Time | Duration) -> int:
    """A stamp, or a duration, as integer nanoseconds."""
    return int(stamp.sec) * _SECOND + int(stamp.nanosec)


def duration_msg(nanoseconds: int) -> Duration:
    """Integer nanoseconds as a duration."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    return Duration(sec=seconds, nanosec=rest)


def header_msg(stamp: int, frame: str = "") -> Header:
    """A header of integer nanoseconds and a frame."""
    return Header(stamp=stamp_msg(stamp), frame_id=frame)


def to_ros_quaternion(q: ArrayLike) -> Quaternion:
    """w x y z to a message."""
    w, x, y, z = np.asarray(q, dtype=np.float64).tolist()
    return Quaternion(x=x, y=y, z=z, w=w)


def from_ros_quaternion(q: Quaternion) -> Array:
    """A message to w x y z, (4,)."""
    return np.array([q.w, q.x, q.y, q.z])


def pose_msg(stamp: int, frame: str, position: ArrayLike, quaternion: ArrayLike) -> PoseStamped:
    """A pose in ``frame``: position (3,) m, quaternion (4,) w x y z."""
    pose = Pose(orientation=to_ros_quaternion(quaternion))
    pose.position.x, pose.position.y, pose.position.z = np.asarray(position, dtype=np.float64).tolist()
    return PoseStamped(header=header_msg(stamp, frame), pose=pose)


def transform_msg(stamp: int, parent: str, child: str, position: ArrayLike, quaternion: ArrayLike) -> TransformStamped:
    """The pose of frame ``child`` in ``parent``."""
    transform = Transform(rotation=to_ros_quaternion(quaternion))
    place = transform.translation
    place.x, place.y, place.z = np.asarray(position, dtype=np.float64).tolist()
    return TransformStamped(header=header_msg(stamp, parent), child_frame_id=child, transform=transform)


def joint_state_msg(names: list[str], state: HandState) -> JointState:
    """A reading of the hand, by joint name: rad, rad/s, N m."""
    return JointState(
        header=header_msg(state.stamp_ns),
        name=names,
        position=state.q.tolist(),
        velocity=state.dq.tolist(),
        effort=state.effort.tolist(),
    )


def joints_of(message: JointState, names: Sequence[str]) -> tuple[Array, Array]:
    """``q`` rad and ``dq`` rad/s in the order of ``names``; InputError where one is missing or not finite."""
    index = {name: i for i, name in enumerate(message.name)}
    missing = [name for name in names if name not in index]
    if missing:
        raise InputError(f"joints missing: {', '.join(missing)}", where="joint_states", right="every joint by name")
    if not len(message.name) == len(message.position) == len(message.velocity):
        right = "a position and a velocity for each"
        raise InputError(f"{len(message.name)} names with other counts", where="joint_states", right=right)
    order = [index[name] for name in names]
    q, dq = np.array(message.position)[order], np.array(message.velocity)[order]
    if not (np.isfinite(q).all() and np.isfinite(dq).all()):
        raise InputError("a value is not finite", where="joint_states", right="finite angles and rates")
    return q, dq


def pose_of(message: PoseStamped, *, where: str) -> tuple[Array, Array]:
    """Position (3,) m and unit quaternion w x y z; InputError where they are none."""
    p = message.pose.position
    position = np.array([p.x, p.y, p.z])
    if not np.isfinite(position).all():
        raise InputError(f"position {position.tolist()} is not finite", where=where, right="finite metres")
    return position, require_unit(from_ros_quaternion(message.pose.orientation), where=where)


def command_msg(names: list[str], command: HandCommand, lease: str = "") -> JointTrajectory:
    """A command as one trajectory point whose ``time_from_start`` is its validity."""
    validity = duration_msg(command.valid_until_ns - command.stamp_ns)
    point = JointTrajectoryPoint(positions=command.q.tolist(), time_from_start=validity)
    return JointTrajectory(header=header_msg(command.stamp_ns, lease), joint_names=names, points=[point])


def command_of(message: JointTrajectory) -> tuple[str, list[str], HandCommand]:
    """The lease, the joint names and the command, its ``q`` in the order of the names; InputError for another form."""
    if len(message.points) != 1:
        raise InputError(f"{len(message.points)} points", where="joint_commands.points", right="exactly one")
    point = message.points[0]
    stamp = stamp_ns(message.header.stamp)
    command = HandCommand(stamp, stamp + stamp_ns(point.time_from_start), np.array(point.positions, dtype=np.float64))
    return message.header.frame_id, list(message.joint_names), command


def depth_msg(frame: DepthFrame) -> Image:
    """A depth image as 16UC1 in millimetres, 0 where nothing was measured."""
    depth = frame.depth
    if frame.scale_m != _MILLIMETRE_M:
        depth = np.rint(depth * (frame.scale_m / _MILLIMETRE_M)).astype(np.uint16)
    height, width = depth.shape
    data = array.array("B")
    # The setter of `data` takes bytes or lists one by one in Python; an array of bytes is taken as it is.
    data.frombytes(np.ascontiguousarray(depth).data.cast("B"))
    return Image(
        header=header_msg(frame.stamp_ns, frame.frame),
        height=height,
        width=width,
        encoding=DEPTH_ENCODING,
        is_bigendian=sys.byteorder == "big",
        step=2 * width,
        data=data,
    )


def colour_msg(stamp: int, image: ColourImage) -> Image:
    """A colour image as rgb8."""
    height, width, _ = image.pixels.shape
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(image.pixels).data.cast("B"))
    header = header_msg(stamp, image.frame)
    return Image(header=header, height=height, width=width, encoding=COLOUR_ENCODING, step=3 * width, data=data)


def depth_of(message: Image) -> NDArray[np.uint16]:
    """Depth (height, width) in millimetres; InputError where the encoding or the size of the data is another."""
    if message.encoding != DEPTH_ENCODING:
        raise InputError(f"encoding '{message.encoding}'", where="depth image", right=DEPTH_ENCODING)
    order = ">" if message.is_bigendian else "<"
    if message.step != 2 * message.width or len(message.data) != message.step * message.height:
        size = f"{len(message.data)} bytes in rows of {message.step}"
        raise InputError(size, where="depth image", right=f"{message.height} rows of {2 * message.width}")
    values = np.frombuffer(message.data, dtype=f"{order}u2")
    return values.reshape(message.height, message.width).astype(np.uint16, copy=False)


def camera_info_msg(stamp: int, frame: str, k: Intrinsics) -> CameraInfo:
    """The intrinsics, and the lens where the image is not rectified."""
    lens = LENSES.get(k.distortion, "plumb_bob")
    info = CameraInfo(header=header_msg(stamp, frame), height=k.height, width=k.width, distortion_model=lens)
    info.d = [*k.coefficients, *(0.0,) * (5 - len(k.coefficients))]
    info.k = [k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def intrinsics_of(message: CameraInfo) -> Intrinsics:
    """The pinhole of a CameraInfo; InputError where it has a distortion, which is not modelled."""
    if any(value != 0.0 for value in message.d):
        raise InputError("distorted", where="depth/camera_info.d", right="an undistorted (rectified) image")
    k = message.k
    return Intrinsics(message.width, message.height, float(k[0]), float(k[4]), float(k[2]), float(k[5]))
