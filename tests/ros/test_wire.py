"""Conversions: there and back, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000


@given(st.integers(0, 2**31 * SECOND - 1))
def test_stamps_and_durations_survive(nanoseconds: int) -> None:
    from knuckle_ros.wire import duration_msg, stamp_msg, stamp_ns

    assert stamp_ns(stamp_msg(nanoseconds)) == nanoseconds
    assert stamp_ns(duration_msg(nanoseconds)) == nanoseconds


def test_quaternions_are_w_x_y_z_inside_and_named_outside() -> None:
    from knuckle_ros.wire import from_ros_quaternion, to_ros_quaternion

    message = to_ros_quaternion([0.1, 0.2, 0.3, 0.4])
    assert (message.w, message.x, message.y, message.z) == (0.1, 0.2, 0.3, 0.4)
    assert from_ros_quaternion(message).tolist() == [0.1, 0.2, 0.3, 0.4]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=16), st.integers(0, SECOND), st.integers(0, SECOND))
def test_commands_survive(q: list[float], stamp: int, validity: int) -> None:
    from knuckle.hardware.spec.contracts import HandCommand
    from knuckle_ros.wire import command_msg, command_of

    names = [f"j{i}" for i in range(len(q))]
    lease, named, command = command_of(command_msg(names, HandCommand(stamp, stamp + validity, np.array(q)), "mine"))
    assert (lease, named, command.stamp_ns, command.valid_until_ns) == ("mine", names, stamp, stamp + validity)
    assert command.q.tolist() == q


def test_a_command_without_exactly_one_point_is_refused() -> None:
    from trajectory_msgs.msg import JointTrajectory

    from knuckle.core.errors import InputError
    from knuckle_ros.wire import command_of

    with pytest.raises(InputError, match="0 points; exactly one"):
        command_of(JointTrajectory())


def test_depth_survives_and_another_scale_becomes_millimetres() -> None:
    from knuckle.hardware.spec.contracts import DepthFrame
    from knuckle.hardware.spec.mounts import pinhole
    from knuckle_ros.wire import camera_info_msg, depth_msg, depth_of, intrinsics_of

    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000
    intrinsics = pinhole(4, 3)
    message = depth_msg(DepthFrame(5, 1, depth, 0.001, intrinsics, "camera"))
    np.testing.assert_array_equal(depth_of(message), depth)
    assert (message.encoding, message.step, message.header.frame_id) == ("16UC1", 8, "camera")
    half = depth_msg(DepthFrame(5, 1, depth, 0.0005, intrinsics, "camera"))
    np.testing.assert_array_equal(depth_of(half), depth // 2)
    assert intrinsics_of(camera_info_msg(5, "camera", intrinsics)) == intrinsics


@pytest.mark.parametrize(("field", "value"), [("encoding", "32FC1"), ("step", 6), ("height", 9)])
def test_an_image_that_is_not_what_it_says_is_refused(field: str, value: object) -> None:
    from knuckle.core.errors import InputError
    from knuckle.hardware.spec.contracts import DepthFrame
    from knuckle.hardware.spec.mounts import pinhole
    from knuckle_ros.wire import depth_msg, depth_of

    message = depth_msg(DepthFrame(5, 1, np.zeros((3, 4), np.uint16), 0.001, pinhole(4, 3), "camera"))
    setattr(message, field, value)
    with pytest.raises(InputError, match="depth image"):
        depth_of(message)


def test_joint_states_are_mapped_by_name_and_refused_where_they_do_not_say_all() -> None:
    from sensor_msgs.msg import JointState

    from knuckle.core.errors import InputError
    from knuckle_ros.wire import joints_of

    q, dq = joints_of(JointState(name=["b", "x", "a"], position=[1.0, 2.0, 3.0], velocity=[4.0, 5.0, 6.0]), ("a", "b"))
    assert (q.tolist(), dq.tolist()) == ([3.0, 1.0], [6.0, 4.0])
    for fields, what in (
        ({"name": ["a"], "position": [0.0], "velocity": [0.0]}, "joints missing: b"),
        ({"name": ["a", "b"], "position": [0.0, 0.0]}, "2 names with other counts"),
        ({"name": ["a", "b"], "position": [0.0, np.nan], "velocity": [0.0, 0.0]}, "not finite"),
        ({"name": ["a", "b"], "position": [0.0, 0.0], "velocity": [np.inf, 0.0]}, "not finite"),
    ):
        with pytest.raises(InputError, match=what):
            joints_of(JointState(**fields), ("a", "b"))


def test_a_pose_is_refused_where_it_is_none() -> None:
    from knuckle.core.errors import InputError
    from knuckle_ros.wire import pose_msg, pose_of

    position, quaternion = pose_of(pose_msg(0, "world", [1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 0.0]), where="object/pose")
    assert (position.tolist(), quaternion.tolist()) == ([1.0, 2.0, 3.0], [0.0, 1.0, 0.0, 0.0])
    for bad_position, bad_quaternion, what in (
        ([np.nan, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], "is not finite"),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], "the quaternion is zero"),
    ):
        with pytest.raises(InputError, match=what):
            pose_of(pose_msg(0, "world", bad_position, bad_quaternion), where="object/pose")
