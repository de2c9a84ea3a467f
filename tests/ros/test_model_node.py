"""A trained model on the bus: its node publishes what the model gives offline, and no torch is in its process."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'knuckle[ros]'")
pytest.importorskip("torch", reason="models are trained with torch")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import TwistWithCovarianceStamped, Vector3Stamped  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Imu, MagneticField  # noqa: E402

from knuckle.cli import main  # noqa: E402
from knuckle.core.errors import InputError  # noqa: E402
from knuckle.sensors.hiss.live_model import LiveModel  # noqa: E402
from knuckle.sensors.imu_stream import ImuStreamConfig  # noqa: E402
from knuckle.sensors.replay_stream import replay  # noqa: E402
from knuckle_ros import imu_messages as im  # noqa: E402
from knuckle_ros import model_messages, model_node  # noqa: E402
from knuckle_ros.executor import HostExecutor  # noqa: E402
from knuckle_ros.messages_built import messages_problem  # noqa: E402
from knuckle_ros.wire import header_msg, stamp_ns  # noqa: E402
from tests.sensors.conftest import made_recording  # noqa: E402
from tests.sensors.hiss.conftest import made_trial, write_csv  # noqa: E402
from tests.sensors.hiss.test_live_model import imu_model, offline, table_model  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.skipif(messages_problem() is not None, reason="messages not built")]
LIMIT_S = 100.0


class Bus:
    """A node of the test's own and an executor for it and others."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("tester")
        self.executor = HostExecutor(rclpy.utilities.get_default_context())
        self.executor.add_node(self.node)

    def spin(self, until) -> None:
        end = time.monotonic() + LIMIT_S
        self.executor.spin(lambda: until() or time.monotonic() > end)
        assert until()

    def hear(self, kind, topic) -> list:
        messages: list = []
        self.node.create_subscription(kind, topic, messages.append, im.LOSSLESS)
        return messages


@pytest.fixture
def bus(monkeypatch) -> Iterator[Bus]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    rclpy.init(domain_id=1 + os.getpid() % 100, args=["--ros-args", "--disable-external-lib-logs"])
    made = Bus()
    yield made
    made.node.destroy_node()
    made.executor.shutdown()
    rclpy.shutdown()


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return table_model(tmp_path_factory.mktemp("table"))


def test_two_streams_at_once_each_give_what_offline_gives_and_tell_their_health(bus, table):
    nodes = {
        name: model_node.build(
            f"model_{name}", model_node.Config(model=str(table), stream=name, source=f"{name}/", rate_hz=rate)
        )
        for name, rate in (("left", 50.0), ("right", 0.0))  # one knows its rate, the other finds it
    }
    inputs = {"left": made_trial(5, 200).inputs, "right": made_trial(6, 200).inputs}
    heard, sources = {}, {}
    health: dict[str, dict[str, str]] = {}
    for name, node in nodes.items():
        heard[name] = bus.hear(model_messages.NamedValues, f"{name}/estimate")
        sources[name] = bus.node.create_publisher(model_messages.NamedValues, f"{name}/values", im.LOSSLESS)
        bus.executor.add_node(node.node)

    def note(message: DiagnosticArray) -> None:
        for status in message.status:
            health[status.name] = {pair.key: pair.value for pair in status.values} | {"line": status.message}

    bus.node.create_subscription(DiagnosticArray, "diagnostics", note, 10)
    bus.spin(lambda: all(node.heard() and sources[name].get_subscription_count() for name, node in nodes.items()))
    for k in range(200):
        for name in nodes:
            stamp = 10**9 + 20_000_000 * k
            sources[name].publish(model_messages.values_message(stamp, ("b", "a"), inputs[name][k, ::-1]))
        if k % 50 == 49:
            bus.spin(lambda n=k: all(len(messages) == (n + 1) // 10 for messages in heard.values()) or n < 99)
    sources["left"].publish(model_messages.values_message(10**9, ("a", "b"), np.ones(2)))  # late by far: not used
    bus.spin(lambda: health.get("model_left", {}).get("jumps") == "1")
    for name, node in nodes.items():
        wanted = offline(table, inputs[name])
        states = [model_messages.state_of(message, 2) for message in heard[name]]
        np.testing.assert_allclose([mean for mean, _, _ in states], wanted, atol=1e-5)
        assert [valid for _, _, valid in states] == [False] * 5 + [True] * 15  # trust takes a second
        assert all(np.linalg.eigvalsh(covariance).min() > 0.0 for _, covariance, valid in states if valid)
        assert [stamp_ns(m.header.stamp) for m in heard[name]] == [10**9 + 20_000_000 * k for k in range(9, 200, 10)]
        assert heard[name][0].names == ["x", "y"]
        assert node.counts()["received"] == 200 + (name == "left")
    assert {"latency_p50_ms", "latency_p99_ms", "gaps", "repeats", "resets", "filled"} <= set(health["model_left"])
    assert float(health["model_left"]["input_rate_hz"]) == pytest.approx(50.0, rel=0.01)
    for node in nodes.values():
        node.close()


def test_columns_may_come_from_fields_of_any_topics(bus, table):
    bind = "a=/force:vector.x,b=/torque:vector.z"
    node = model_node.build("model", model_node.Config(model=str(table), rate_hz=50.0, bind=bind))
    heard, inputs = bus.hear(model_messages.NamedValues, "sensor/estimate"), made_trial(5, 60).inputs
    force = bus.node.create_publisher(Vector3Stamped, "force", im.LOSSLESS)
    torque = bus.node.create_publisher(Vector3Stamped, "torque", im.LOSSLESS)
    bus.executor.add_node(node.node)
    bus.spin(lambda: force.get_subscription_count() and torque.get_subscription_count() and node.heard())
    for k, (a, b) in enumerate(inputs):
        message = Vector3Stamped(header=header_msg(10**9 + 20_000_000 * k))
        message.vector.z = float(b)
        torque.publish(message)
        bus.spin(lambda b=b: node.inputs[0].newest()[1] == b)
        message.vector.x = float(a)
        force.publish(message)
    bus.spin(lambda: len(heard) == 6)
    assert node.silence() == ""
    means = [model_messages.state_of(message, 2)[0] for message in heard]
    np.testing.assert_allclose(means, offline(table, inputs), atol=1e-5)
    node.close()


@pytest.mark.parametrize(
    ("bind", "line"),
    [
        ("a=/force:vector.x,c=/force:vector.y", "unknown column 'c'; known: a, b"),
        ("a=/force:vector.x", "no field of a topic for the column 'b'; b=/topic:field"),
    ],
)
def test_a_binding_that_does_not_fit_the_model_is_refused(bus, table, bind, line):
    with pytest.raises(InputError, match="bind") as caught:
        model_node.build("model", model_node.Config(model=str(table), rate_hz=50.0, bind=bind))
    assert line in str(caught.value)


def test_a_node_that_hears_nothing_says_what_nobody_publishes(bus, table):
    bind = "a=/force:vector.x,b=/torqe:vector.z"
    node = model_node.build("model", model_node.Config(model=str(table), rate_hz=50.0, bind=bind))
    force = bus.node.create_publisher(Vector3Stamped, "force", im.LOSSLESS)
    health = bus.hear(DiagnosticArray, "diagnostics")
    bus.executor.add_node(node.node)
    bus.spin(lambda: force.get_subscription_count())
    said = "no samples: nobody publishes /torqe"
    assert node.silence() == said
    bus.spin(lambda: any(status.message == said for message in health for status in message.status))
    node.close()


def test_a_field_that_is_no_number_ends_the_command_in_one_line(bus, table):
    bind = "a=/force:vector.x,b=/force:vector"
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    command = [sys.executable, "-m", "knuckle.cli", "stream", "--model", str(table), "--bind", bind]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    force = bus.node.create_publisher(Vector3Stamped, "force", im.LOSSLESS)
    bus.spin(lambda: force.get_subscription_count() or process.poll() is not None)
    force.publish(Vector3Stamped(header=header_msg(10**9)))
    bus.spin(lambda: process.poll() is not None)
    began, *rest = process.stderr.read().splitlines()
    process.stderr.close()
    assert "on sensor/estimate, from /force;" in began
    assert rest == [
        "knuckle: bind: '/force:vector' is not a number but Vector3; /force:vector.x, /force:vector.y, /force:vector.z"
    ]
    assert process.returncode == 2


def test_a_driver_that_offers_best_effort_is_heard(bus, table):
    node = model_node.build("model", model_node.Config(model=str(table), rate_hz=50.0))
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    source = bus.node.create_publisher(model_messages.NamedValues, "values", qos)
    bus.executor.add_node(node.node)
    sent = itertools.count()

    def came() -> bool:
        source.publish(model_messages.values_message(10**9 + 20_000_000 * next(sent), ("a", "b"), np.ones(2)))
        return node.counts()["received"] > 2

    bus.spin(came)
    node.close()


@pytest.mark.parametrize("task", ["velocity", "orientation"])
def test_an_imu_model_keeps_every_sample_and_publishes_the_classical_estimate_beside_its_own(bus, tmp_path, task):
    folder, recording = imu_model(tmp_path, task), made_recording(1.5)
    node = model_node.build("model", model_node.Config(model=str(folder), rate_hz=recording.rate_hz))
    kind = Imu if task == "orientation" else TwistWithCovarianceStamped
    heard, beside = bus.hear(kind, "sensor/estimate"), bus.hear(kind, "sensor/classical")
    readings = bus.node.create_publisher(Imu, "imu", im.LOSSLESS)
    fields = bus.node.create_publisher(MagneticField, "magnetic_field", im.LOSSLESS)
    bus.executor.add_node(node.node)
    bus.spin(lambda: readings.get_subscription_count() and node.heard())
    bus.spin(lambda: task == "velocity" or fields.get_subscription_count())
    bus.spin(node.heard_beside)  # what nobody listens to is not published
    for k, stamp in enumerate(recording.stamps_ns.tolist()):
        if task == "orientation":
            fields.publish(im.mag_message(10**9 + stamp, "palm", recording.mag[k]))
        readings.publish(im.imu_message(10**9 + stamp, "palm", recording.gyr[k], recording.acc[k]))
        if k % 100 == 99:
            bus.spin(lambda n=k: node.counts()["received"] == n + 1)
    config = ImuStreamConfig(recording.rate_hz, task == "orientation")
    expected = list(replay(recording, LiveModel(folder).open(config)))
    bus.spin(lambda: len(heard) == len(beside) == len(expected) and node.counts()["received"] == len(recording))
    counts = node.counts()
    assert counts["received"] == len(recording)
    assert not any(counts[key] for key in ("filled", "resampled", "surplus", "resets", "repeats", "gaps"))
    assert {message.header.frame_id for message in heard} == {"palm"}
    if task == "orientation":
        assert len(heard) == len(recording)
        found = [im.orientation_of(message) for message in heard]
        np.testing.assert_array_equal(found, [e.orientation for e in expected])
    else:
        found = [model_messages.state_of(message, 3)[0] for message in heard]
        np.testing.assert_allclose(found, [e.mean for e in expected], atol=1e-12)
        classical = [model_messages.state_of(message, 3)[0] for message in beside]
        np.testing.assert_allclose(classical, [e.classical[0] for e in expected], atol=1e-12)
        assert heard[-1].twist.covariance[35] == -1.0  # nothing is said of angular velocity
    node.close()


def test_the_command_gives_the_same_bits_on_the_bus_and_without_and_its_node_never_imports_torch(table, tmp_path):
    path, domain = write_csv(tmp_path / "run.csv", made_trial(8, 150)), 1 + os.getpid() % 100
    words = ["stream", str(path), "--model", str(table), "--json"]
    kept = ["--domain", str(domain), "--keep", str(tmp_path / "state")]
    command = [sys.executable, "-m", "knuckle", *words, str(tmp_path / "bus.json"), *kept]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert main([*words, str(tmp_path / "fast.json"), "--fast"]) == 0
    figures = {name: json.loads((tmp_path / f"{name}.json").read_text())["figures"] for name in ("bus", "fast")}
    for key in ("samples", "estimates", "estimates_digest", "rmse", "stream_received", "stream_filled"):
        assert figures["bus"][key] == figures["fast"][key]
    assert (figures["bus"]["samples"], figures["bus"]["estimates"]) == (150, 15)
    assert figures["bus"]["torch_imported"] == 0
    assert figures["bus"]["latency_p50_ms"] <= figures["bus"]["latency_p99_ms"]
    LiveModel(table).open(ImuStreamConfig(50.0)).restore((tmp_path / "state").read_bytes())
