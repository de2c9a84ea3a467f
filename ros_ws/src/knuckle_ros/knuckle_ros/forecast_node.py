"""Forecasting on the bus: ``tracks`` in, ``forecasts`` out: means, covariances and the probability of each mode."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from knuckle_msgs.msg import Forecasts, Tracks
from rclpy.node import Node

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.motion.forecast_mixture import ForecastMixture
from knuckle.motion.forecaster import Forecaster
from knuckle.motion.forecaster_config import ForecasterConfig
from knuckle.motion.track_memory import TrackMemory
from knuckle_ros.bus_qos import NEWEST, STREAM
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.frame_judge import FrameJudge
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.thing_messages import forecasts_msg
from knuckle_ros.wire import stamp_ns


@dataclass(frozen=True)
class Config(ForecasterConfig):
    """Parameters of the forecast node."""

    frame: str = setting("", "frame of reference of tracks; empty for that of the first that come")
    unit_m: float = setting(
        1.0, "1 for tracks in metres; in an image, what a pixel spans", low=1e-6, high=10.0, unit="m"
    )
    every_frame: bool = setting(False, "frames that lag are used too; else only the newest is")
    rows: int = setting(12, "frames of the past that are looked at", low=1, high=200)
    gap_s: float = setting(1.0, "after a gap of so long the past is forgotten", low=0.01, high=60.0, unit="s")


class ForecastNode:
    """All the foretelling is the forecaster's; this remembers the past of each track, converts and reports."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.forecaster = Forecaster(self.config)
        self.memory = TrackMemory(self.config.rows, self.config.gap_s)
        self._judge = FrameJudge("tracks", self.config.frame)
        qos = STREAM if self.config.every_frame else NEWEST
        self._forecasts = self.node.create_publisher(Forecasts, "forecasts", qos)
        self._diagnostics = Diagnostics(self.node, context)
        self._diagnostics.level(Level.STALE, "no tracks")
        self.node.create_subscription(Tracks, "tracks", self._on_tracks, qos)
        steady_timer(self.node, 1.0, lambda: self._judge.report(self._diagnostics))

    def close(self) -> None:
        """Leave the bus."""
        self.node.destroy_node()

    def _on_tracks(self, message: Tracks) -> None:
        began = time.monotonic()
        if not self._judge.right_frame(message.header.frame_id):
            return
        labels, points, seen = self._usable(message)
        past = self.memory.push(stamp_ns(message.header.stamp), list(labels), points, seen)
        if past is None:
            self._judge.dropped("tracks that are not newer than those before")
            return
        told = Forecasts(header=message.header)
        if past.ids:
            try:
                forecast = in_units(self.forecaster.forecast(past.history * self.config.unit_m, past.dt_s), self.config)
            except InputError as error:
                self._judge.dropped(str(error))
                return
            names = [labels[track] for track in past.ids]
            told = forecasts_msg(stamp_ns(message.header.stamp), message.header.frame_id, past.ids, names, forecast)
        self._forecasts.publish(told)
        self._diagnostics.produced(time.monotonic() - began)
        self._judge.went_well(f"{len(past.ids)} forecast{'' if len(past.ids) == 1 else 's'}")

    def _usable(self, message: Tracks) -> tuple[dict[int, str], np.ndarray, np.ndarray]:
        """Labels by number, centres (N, 3), and which are seen now; without doubles and without what is no place."""
        labels: dict[int, str] = {}
        points, seen = [], []
        for track in message.tracks:
            place = track.pose.pose.position
            point = (place.x, place.y, place.z)
            if track.id in labels:
                self._judge.dropped(f"track {track.id} is there twice")
            elif not np.isfinite(point).all():
                self._judge.dropped(f"track {track.id}: a place that is not finite")
            else:
                labels[track.id] = track.label
                points.append(point)
                seen.append(track.coasted <= 0.0)
        return labels, np.array(points, dtype=np.float64).reshape(-1, 3), np.array(seen, dtype=bool)


def in_units(told: ForecastMixture, config: Config) -> ForecastMixture:
    """A forecast in metres, in the unit of the tracks."""
    u = config.unit_m
    return ForecastMixture(told.times_s, told.probability, told.mean / u, told.covariance / (u * u))


def build(name: str, config: Config, context: HostContext) -> ForecastNode:
    """The forecast node ``name``."""
    return ForecastNode(name, config, context)
