"""Messages there and back, and the estimator's node driven by messages alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'knuckle[ros]'")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from sensor_msgs.msg import Imu, MagneticField  # noqa: E402
from std_msgs.msg import UInt8MultiArray  # noqa: E402

from knuckle.core import rotations  # noqa: E402
from knuckle.sensors.estimator import Estimate  # noqa: E402
from knuckle.sensors.imu_stream import ImuStream  # noqa: E402
from knuckle.sensors.replay_stream import replay, stream_config  # noqa: E402
from knuckle_ros import estimator_node  # noqa: E402
from knuckle_ros import imu_messages as im  # noqa: E402
from knuckle_ros.executor import HostExecutor  # noqa: E402
from knuckle_ros.wire import stamp_ns  # noqa: E402
from tests.sensors.conftest import made_recording  # noqa: E402

pytestmark = pytest.mark.ros
floats = st.floats(allow_nan=True, width=64)
rows = st.tuples(floats, floats, floats).map(np.array)
stamps = st.integers(0, 2**31 * 10**9 - 1)


def same_bits(a, b) -> bool:
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


@given(stamp=stamps, gyr=rows, acc=rows, mag=rows)
def test_a_sample_comes_back_to_the_last_bit(stamp, gyr, acc, mag):
    reading, field = im.imu_message(stamp, "imu", gyr, acc), im.mag_message(stamp, "imu", mag)
    assert stamp_ns(reading.header.stamp) == stamp_ns(field.header.stamp) == stamp
    back = im.reading_of(reading)
    np.testing.assert_array_equal(back, [gyr, acc])
    np.testing.assert_array_equal(im.field_of(field), mag)
    assert reading.orientation_covariance[0] == -1.0


@given(seed=st.integers(0, 2**32 - 1), valid=st.booleans())
def test_an_estimate_says_its_orientation_covariance_and_what_it_lacks(seed, valid):
    q = rotations.random(np.random.default_rng(seed), 1)[0]
    covariance = np.diag([1.0, 2.0, 3.0])
    message = im.estimate_message(Estimate(12_345_678_901, q, covariance, valid), "palm_imu")
    assert same_bits(im.orientation_of(message), q)
    assert (message.orientation.x, message.orientation.w) == (q[1], q[0])
    assert im.is_valid(message) is valid
    if valid:
        np.testing.assert_array_equal(message.orientation_covariance.reshape(3, 3), covariance)
    assert message.angular_velocity_covariance[0] == message.linear_acceleration_covariance[0] == -1.0


@pytest.fixture
def bus(monkeypatch) -> Iterator[rclpy.node.Node]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(domain_id=1 + os.getpid() % 100, args=["--ros-args", "--disable-external-lib-logs"])
    node = rclpy.create_node("listener")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_the_node_estimates_every_sample_publishes_its_state_and_tells_its_health(bus):
    recording = made_recording(4.0, rate_hz=200.0)
    config = stream_config(recording)
    node = estimator_node.build("estimator", estimator_node.Config(**vars(config), stream="palm"))
    estimates: list[Imu] = []
    states: list[bytes] = []
    health: list[DiagnosticStatus] = []
    bus.create_subscription(Imu, "palm/estimate", estimates.append, im.LOSSLESS)
    bus.create_subscription(UInt8MultiArray, "palm/estimator_state", lambda m: states.append(im.state_of(m)), 10)
    bus.create_subscription(DiagnosticArray, "diagnostics", lambda m: health.append(m.status[0]), 10)
    readings = bus.create_publisher(Imu, "imu", im.LOSSLESS)
    fields = bus.create_publisher(MagneticField, "magnetic_field", im.LOSSLESS)
    executor = HostExecutor(rclpy.utilities.get_default_context())
    executor.add_node(bus)
    executor.add_node(node.node)

    def spin(until) -> None:
        end = time.monotonic() + 20.0
        executor.spin(lambda: until() or time.monotonic() > end)
        assert until()

    spin(lambda: node.heard() and readings.get_subscription_count() > 0 and fields.get_subscription_count() > 0)
    order = np.random.default_rng(0)
    stamps_ns = [int(s) + 10**9 for s in recording.stamps_ns]
    for i, stamp in enumerate(stamps_ns):
        pair = [
            lambda s=stamp, k=i: readings.publish(im.imu_message(s, "palm_imu", recording.gyr[k], recording.acc[k])),
            lambda s=stamp, k=i: fields.publish(im.mag_message(s, "palm_imu", recording.mag[k])),
        ]
        for publish in order.permutation(pair):
            publish()
        if i % 100 == 99:
            spin(lambda n=i + 1: len(estimates) == n)
    spin(lambda: len(states) >= 4 and any(s.level == DiagnosticStatus.STALE for s in health[-1:]))
    node.close()
    executor.shutdown()

    expected = list(replay(recording, ImuStream(config)))
    assert [stamp_ns(m.header.stamp) for m in estimates] == stamps_ns
    assert {m.header.frame_id for m in estimates} == {"palm_imu"}
    assert [im.is_valid(m) for m in estimates] == [e.valid for e in expected]
    assert same_bits([im.orientation_of(m) for m in estimates], [e.orientation for e in expected])

    joined = ImuStream(config)
    first = stamps_ns.index(joined.restore(states[1])) + 1
    assert 1 <= first < len(stamps_ns) - 100
    for i in range(first, len(stamps_ns)):
        joined.mag(stamps_ns[i], recording.mag[i])
        (again,) = joined.imu(stamps_ns[i], recording.gyr[i], recording.acc[i])
        assert same_bits(again.orientation, im.orientation_of(estimates[i]))

    levels = [s.level for s in health]
    assert DiagnosticStatus.WARN in levels
    assert DiagnosticStatus.OK in levels
    values = {pair.key: pair.value for pair in health[-1].values}
    assert values["estimated"] == str(len(recording))
    assert values["filled"] == values["unpaired"] == "0"
