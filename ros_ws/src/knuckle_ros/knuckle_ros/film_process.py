"""The processes behind `knuckle stream FOLDER`: one plays a film's detections and measures, two track and forecast.

Run as ``python -m knuckle_ros.film_process player|tracker|forecaster SETTINGS PARENT``; the events are those of
``stream_process``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from knuckle_msgs.msg import Detections, Forecasts, Tracks
from rclpy.node import Node

from knuckle.core.config import from_mapping, setting
from knuckle.perception.thing_tracker import TrackedThings
from knuckle.sensors.pacing import Pacer
from knuckle_ros import forecast_node, track_node
from knuckle_ros.bus_qos import STREAM
from knuckle_ros.child_process import ParentLink
from knuckle_ros.film import Film, FilmSource, digest_of, load_film, scores_of, tracks_of
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.stream_process import PROGRESS_S, QUIET_S, OnTheBus, main, spin
from knuckle_ros.thing_messages import detections_msg
from knuckle_ros.wire import stamp_ns


@dataclass(frozen=True)
class Config(FilmSource):
    """Parameters of the film player."""

    speed: float = setting(1.0, "how fast it is played, 1 for the film's own rate", low=0.01, high=100.0)


class FilmPlayer:
    """Plays a film onto ``detections`` and hears what is told of each frame. Stamps are the film's time from now on."""

    def __init__(self, name: str, config: Config) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.film: Film = load_film(self.config)
        period_ns = round(1e9 / (self.film.truth.rate_hz * self.config.speed))
        self.pacer = Pacer(period_ns, 0, 0)
        self.epoch_ns = self.node.get_clock().now().nanoseconds
        self.tracks: dict[int, TrackedThings] = {}
        self.forecasts = 0
        self.sent_ns: dict[int, int] = {}
        self.track_ms: list[float] = []
        self.forecast_ms: list[float] = []
        self.done = threading.Event()
        self._detections = self.node.create_publisher(Detections, "detections", STREAM)
        self.heard = [
            self.node.create_subscription(Tracks, "tracks", self._on_tracks, STREAM),
            self.node.create_subscription(Forecasts, "forecasts", self._on_forecasts, STREAM),
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, name="pacing", daemon=True)

    def ready(self) -> bool:
        """Whether somebody tracks and somebody forecasts."""
        listened = self._detections.get_subscription_count() > 0
        return listened and all(subscription.get_publisher_count() > 0 for subscription in self.heard)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def close(self) -> None:
        """Stop playing and leave the bus."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.node.destroy_node()

    def _play(self) -> None:
        self.pacer.begin_ns = time.monotonic_ns()
        for k in range(len(self.film)):
            at_ns = round(self.film.truth.stamp_ns(k) / self.config.speed)
            wait_ns = self.pacer.due_ns(at_ns) - time.monotonic_ns()
            if self._stop.wait(max(0.0, wait_ns * 1e-9)):
                return
            message = detections_msg(self.film.things(k, self.epoch_ns))
            now_ns = time.monotonic_ns()
            self.sent_ns[stamp_ns(message.header.stamp)] = now_ns
            self._detections.publish(message)
            self.pacer.sent_at(at_ns, now_ns)
        self.done.set()

    def _on_tracks(self, message: Tracks) -> None:
        told = tracks_of(message)
        self.tracks[told.stamp_ns] = told
        self._note(told.stamp_ns, self.track_ms)

    def _on_forecasts(self, message: Forecasts) -> None:
        self.forecasts += 1
        self._note(stamp_ns(message.header.stamp), self.forecast_ms)

    def _note(self, stamp: int, latencies: list[float]) -> None:
        if stamp in self.sent_ns:
            latencies.append((time.monotonic_ns() - self.sent_ns[stamp]) * 1e-6)


def _play(link: ParentLink, settings: dict[str, Any]) -> None:
    player = FilmPlayer("player", from_mapping(Config, settings, where="player"))
    told, started, next_word, quiet_since, received = False, False, 0.0, 0.0, 0

    def look() -> bool:
        nonlocal told, started, next_word, quiet_since, received
        now = time.monotonic()
        if not told and player.ready():
            link.say("ready")
            told = True
        if told and not started and link.go.is_set():
            player.start()
            started = True
        if started and now >= next_word:
            link.say("progress", **_progress(player))
            next_word = now + PROGRESS_S
        if player.forecasts != received or not player.done.is_set():
            received, quiet_since = player.forecasts, now
        return player.forecasts < len(player.film) and now - quiet_since < QUIET_S

    spin(link, player, look)
    if player.done.is_set():
        link.say("result", **_result(player))


def _progress(player: FilmPlayer) -> dict[str, Any]:
    recent = player.forecast_ms[-100:]
    return {
        "sent": player.pacer.sent,
        "received": player.forecasts,
        "rate_hz": player.pacer.rate_hz(),
        "latency_p50_ms": float(np.median(recent)) if recent else None,
    }


def _result(player: FilmPlayer) -> dict[str, Any]:
    told = [player.tracks[stamp] for stamp in sorted(player.tracks)]
    latency: dict[str, float] = {}
    for name, values in (("tracks", player.track_ms), ("forecasts", player.forecast_ms)):
        if values:
            p50, worst = np.percentile(values, [50, 100]).tolist()
            latency |= {f"{name}_latency_p50_ms": p50, f"{name}_latency_max_ms": worst}
    return {
        "frames": len(player.film),
        "tracked": len(told),
        "forecast": player.forecasts,
        "late_sent": player.pacer.late,
        "rate_hz": player.pacer.rate_hz(),
        **latency,
        "digest": digest_of(told),
        "scores": scores_of(player.film, told, player.epoch_ns),
    }


def _serving(build: Callable[[dict[str, Any]], OnTheBus], topic: str) -> Callable[[ParentLink, dict[str, Any]], None]:
    def serve(link: ParentLink, settings: dict[str, Any]) -> None:
        bus = build(settings)
        told = False

        def look() -> bool:
            nonlocal told
            if not told and bus.node.count_publishers(topic) > 0:
                link.say("ready")
                told = True
            return True

        spin(link, bus, look)

    return serve


def _tracker(settings: dict[str, Any]) -> OnTheBus:
    config = from_mapping(track_node.Config, settings, where="tracker")
    return track_node.TrackNode("tracker", config, HostContext())


def _forecaster(settings: dict[str, Any]) -> OnTheBus:
    config = from_mapping(forecast_node.Config, settings, where="forecaster")
    return forecast_node.ForecastNode("forecaster", config, HostContext())


ROLES = {
    "player": _play,
    "tracker": _serving(_tracker, "detections"),
    "forecaster": _serving(_forecaster, "tracks"),
}

if __name__ == "__main__":
    raise SystemExit(main(ROLES))
