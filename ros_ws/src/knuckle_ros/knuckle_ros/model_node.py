"""A trained model on the bus: an IMU, a skin or the user's own numbers in, ``<stream>/estimate`` out, without torch.

Orientation goes out as `sensor_msgs/Imu`, as the classical estimator publishes it; velocities as
`geometry_msgs/TwistWithCovarianceStamped`; other targets by name, as `knuckle_msgs/NamedValues`. A classical estimate
of the same is on ``<stream>/classical`` where there is one: VQF or what ``estimator`` names for orientation, a leaky
integral for velocity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rclpy
from knuckle_msgs.msg import NamedValues, Tactile
from sensor_msgs.msg import Imu, MagneticField

from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import InputError, unknown_name
from knuckle.sensors.estimator import Array, Estimate
from knuckle.sensors.hiss.live_model import IMU_TASKS, LiveModel, LiveStream, needs_field, task_of
from knuckle.sensors.hiss.model_card import model_folder
from knuckle.sensors.hiss.row_stream import RowStream
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.imu_stream import ImuStream, ImuStreamConfig, PairedStream
from knuckle.sensors.orientation_estimators import ESTIMATORS
from knuckle.sensors.rate_search import RateSearch
from knuckle_ros import imu_messages, model_messages
from knuckle_ros.bus_qos import STREAM
from knuckle_ros.configuration_topic import publish_configuration
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.eager_subscription import EagerSubscription
from knuckle_ros.field_rows import FieldRows, Hear
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.wire import stamp_ns

_STALE_AFTER_S = 2
_REJECTED = ("nan", "repeats", "backwards", "jumps", "surplus")


@dataclass(frozen=True)
class Config:
    """Parameters of a model's node."""

    model: str = setting("", "a run's or a model's folder, or one of the models that come along")
    stream: str = setting("sensor", "name of the stream: estimates are published on <stream>/estimate")
    source: str = setting("", "what stands before the topics that are heard: left/ hears left/imu")
    rate_hz: float = setting(0.0, "rate of the samples, 0: found from the first ones", low=0.0, high=1e5, unit="Hz")
    staggered: bool = setting(False, "an estimate at every sample of the model instead of every tenth")
    bind: str = setting("", "table: where columns come from, a=/topic:field.x; else <source>values by name")
    by_name: bool = setting(False, "table: hear <source>values even for columns that name a topic")
    estimator: str = setting("vqf", "classical estimator beside an orientation", choices=tuple(ESTIMATORS))
    gyr_limit: float = setting(34.8, "angular rate of saturation (2000 deg/s)", low=0.1, high=1e3, unit="rad/s")
    acc_limit: float = setting(156.8, "acceleration of saturation (16 g)", low=1.0, high=1e5, unit="m/s^2")
    magnetometer: bool = setting(True, "orientation: whether a magnetic field comes with each reading")


class ModelNode:
    """One stream of one model. The thinking is `LiveModel`'s; this converts, publishes and reports.

    ``initial`` is a state to begin from, for which ``rate_hz`` must be told. InputError for a model or a state that
    cannot be used. A message that lacks what the model needs is told to ``refused``; without that it ends the executor.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        context: HostContext | None = None,
        initial: bytes | None = None,
        refused: Callable[[InputError], None] | None = None,
    ) -> None:
        folder = model_folder(config.model, where=f"{name}.model")
        self.live = LiveModel(folder, config.staggered)
        self.card = self.live.sensor_stream().card
        self.task, self.targets = task_of(self.card), tuple(entry.name for entry in self.card.channels.targets)
        self._initial, self._refused = initial, refused
        self.stream: LiveStream | None = None
        self._classical: ImuStream | None = None
        if config.rate_hz:
            self._open(config, config.rate_hz)
        self.node = rclpy.create_node(name)
        self.config = config = declare(self.node, config)
        self._configuration = publish_configuration(self.node, "model", config)
        self._search, self._waiting = RateSearch(), list[Callable[[], None]]()
        kind = Imu if self.task == "orientation" else model_messages.message_type(self.targets)
        self._estimates = self.node.create_publisher(kind, f"{config.stream}/estimate", STREAM)
        classical = kind if self.task in IMU_TASKS else None
        self._beside: Any = classical and self.node.create_publisher(classical, f"{config.stream}/classical", STREAM)
        self._diagnostics = Diagnostics(self.node, context or HostContext(), hardware=config.stream)
        self._diagnostics.level(Level.STALE, "no samples")
        self._frame, self._silent_s, self._rejected = "", 0, 0
        self.inputs = self._listen()
        self.node.create_timer(1.0, self._on_second)

    def heard(self) -> bool:
        """Whether someone listens to the estimates and someone publishes what they are made of."""
        return self._estimates.get_subscription_count() > 0 and all(s.get_publisher_count() > 0 for s in self.inputs)

    def heard_beside(self) -> bool:
        """Whether there is a classical estimate and somebody who listens: a message costs more than the estimate."""
        return self._beside is not None and bool(self._beside.get_subscription_count())

    def silence(self) -> str:
        """Why no sample has come yet, as far as the bus tells; empty once one has."""
        if self.stream is not None and self.stream.counts()["received"]:
            return ""
        if self._waiting:
            return "the rate of the samples is not found yet"
        topics = [topic for source in self.inputs for topic in source.topics()]
        awaited = [topic for topic in topics if not self.node.count_publishers(topic)]
        return f"no samples: nobody publishes {', '.join(awaited)}" if awaited else "no samples"

    def counts(self) -> dict[str, int]:
        """What happened to the stream, as the guard counts it; empty before its rate is known."""
        return {} if self.stream is None else self.stream.counts()

    def state(self) -> bytes:
        """The stream's state, to begin another from; empty before its rate is known."""
        return b"" if self.stream is None else self.stream.state()

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _open(self, config: Config, rate_hz: float) -> None:
        mag = needs_field(self.card) and config.magnetometer
        imu = ImuStreamConfig(
            rate_hz=rate_hz,
            magnetometer=mag,
            gyr_limit=config.gyr_limit,
            acc_limit=config.acc_limit,
            estimator=config.estimator,
        )
        self.stream = self.live.open(imu)
        if self._initial:
            self.stream.restore(self._initial)
        if self.task == "orientation":
            self._classical = ImuStream(imu)

    def _listen(self) -> list[Any]:
        config, node = self.config, self.node
        if self.task in IMU_TASKS:
            heard = [EagerSubscription(node, Imu, f"{config.source}imu", self._on_imu)]
            if needs_field(self.card) and config.magnetometer:
                topic = f"{config.source}magnetic_field"
                heard.append(EagerSubscription(node, MagneticField, topic, self._on_mag))
            return heard
        names = tuple(entry.name for entry in self.card.channels.inputs)
        if self.task == "skin":
            topic, kind = f"{config.source}tactile/{config.stream}", Tactile
        else:
            bound = _bound(config.bind, names, where=f"{node.get_name()}.bind")
            places = [bound.get(name, name) for name in names]
            if bound or (all(":" in place for place in places) and not config.by_name):
                return [FieldRows(node, places, self._on_row, self._heed)]
            topic, kind = f"{config.source}values", NamedValues

        def take(message: Any) -> None:
            row = model_messages.row_of(message, names, where=topic)
            self._frame = message.header.frame_id
            self._on_row(stamp_ns(message.header.stamp), row)

        return [EagerSubscription(node, kind, topic, self._heed(take))]

    def _heed(self, hear: Hear) -> Hear:
        def heeding(message: Any) -> None:
            try:
                hear(message)
            except InputError as error:
                if self._refused is None:
                    raise
                self._refused(error)

        return heeding

    def _on_imu(self, message: Imu) -> None:
        self._frame = message.header.frame_id
        stamp, (gyr, acc) = stamp_ns(message.header.stamp), imu_messages.reading_of(message)
        self._served(stamp, lambda: self._imu(stamp, gyr, acc), timed=True)

    def _on_mag(self, message: MagneticField) -> None:
        stamp, field = stamp_ns(message.header.stamp), imu_messages.field_of(message)
        self._served(stamp, lambda: self._mag(stamp, field), timed=False)

    def _on_row(self, stamp: int, values: Array) -> None:
        self._served(stamp, lambda: self._row(stamp, values), timed=True)

    def _imu(self, stamp: int, gyr: Array, acc: Array) -> None:
        assert isinstance(self.stream, PairedStream)
        if self._classical is not None:
            self._publish_classical(self._classical.imu(stamp, gyr, acc))
        self._publish(self.stream.imu(stamp, gyr, acc))

    def _mag(self, stamp: int, field: Array) -> None:
        assert isinstance(self.stream, PairedStream)
        if self._classical is not None:
            self._publish_classical(self._classical.mag(stamp, field))
        self._publish(self.stream.mag(stamp, field))

    def _row(self, stamp: int, values: Array) -> None:
        assert isinstance(self.stream, RowStream)
        self._publish(self.stream.row(stamp, values))

    def _served(self, stamp: int, serve: Callable[[], None], *, timed: bool) -> None:
        """Serve a message, or keep it until the rate is known: none is lost by the search."""
        self._silent_s, self._began = 0, time.monotonic()
        if self.stream is None:
            self._waiting.append(serve)
            if not (timed and self._search.push(stamp)):
                return
            self._open(self.config, self._search.rate_hz)
            waiting, self._waiting = self._waiting, []
            for earlier in waiting:
                earlier()
            return
        serve()

    def _publish(self, estimates: list[Any]) -> None:
        for estimate in estimates:
            if isinstance(estimate, StateEstimate):
                self._estimates.publish(model_messages.estimate_message(estimate, self._frame, self.targets))
                if self.heard_beside() and estimate.classical is not None:
                    self._beside.publish(self._classical_message(estimate))
            else:
                self._estimates.publish(imu_messages.estimate_message(estimate, self._frame))
            self._diagnostics.produced(time.monotonic() - self._began)
        if estimates:
            newest = estimates[-1]
            line = f"estimate invalid: {newest.reason}" if not newest.valid else newest.reason or "estimating"
            self._diagnostics.level(Level.WARN if newest.reason else Level.OK, line)

    def _classical_message(self, estimate: StateEstimate) -> Any:
        assert estimate.classical is not None
        mean, covariance = estimate.classical
        return model_messages.state_message(
            estimate.stamp_ns, self._frame, self.targets, mean, covariance, valid=estimate.valid
        )

    def _publish_classical(self, estimates: list[Estimate]) -> None:
        for estimate in estimates if self.heard_beside() else []:
            self._beside.publish(imu_messages.estimate_message(estimate, self._frame))

    def _on_second(self) -> None:
        self._silent_s += 1
        if self._silent_s > _STALE_AFTER_S:
            self._diagnostics.level(Level.STALE, self.silence() or "no samples")
        counts = self.counts()
        rejected = sum(counts.get(key, 0) for key in _REJECTED)
        self._diagnostics.dropped(rejected - self._rejected)
        self._rejected = rejected
        for key, count in counts.items():
            self._diagnostics.value(key, str(count))
        if self.stream is not None:
            self._diagnostics.value("input_rate_hz", self.stream.rate_hz())


def _bound(text: str, columns: tuple[str, ...], *, where: str) -> dict[str, str]:
    """Where each of ``columns`` comes from; InputError for one that the model lacks or that comes from nowhere."""
    bound = parse_pairs(text, where=where)
    for name in bound:
        if name not in columns:
            raise unknown_name("column", name, columns, where=where)
    for name in columns if bound else ():
        if ":" not in bound.get(name, name):
            raise InputError(f"no field of a topic for the column '{name}'", where=where, right=f"{name}=/topic:field")
    return bound


def build(node_name: str, config: Config, context: HostContext | None = None) -> ModelNode:
    """The node, on the bus from here on; ``close()`` takes it off. InputError for a model that cannot be used."""
    return ModelNode(node_name, config, context)
