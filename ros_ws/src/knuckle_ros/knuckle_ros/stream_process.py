"""The two processes behind ``knuckle stream``: one plays a recording and measures, the other estimates.

Run as ``python -m knuckle_ros.stream_process player|estimator SETTINGS PARENT``, SETTINGS being the JSON of the node's
configuration. Events said: ``ready``, ``progress``, ``result`` (player), ``trouble`` with one line of ``text``.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_default_context

from knuckle.core.config import from_mapping
from knuckle.core.errors import BusError, KnuckleError
from knuckle.sensors import imu_file
from knuckle.sensors.replay_stream import digest, score
from knuckle_ros import estimator_node, player_node
from knuckle_ros.child_process import ParentLink
from knuckle_ros.estimate_meter import EstimateMeter
from knuckle_ros.estimator_node import EstimatorNode
from knuckle_ros.executor import HostExecutor
from knuckle_ros.player_node import PlayerNode
from knuckle_ros.short_turns import take_short_turns

STREAM = "recording"
_LOOK_S = 0.05
PROGRESS_S = 0.25
"""How often the player tells how far it is."""
QUIET_S = 2.0
"""Estimates that have not come so long after the last sample will not come."""


class OnTheBus(Protocol):
    """A node of ours, which leaves the bus when it is closed."""

    node: Node

    def close(self) -> None:
        """Leave the bus."""


def main(roles: Mapping[str, Callable[[ParentLink, dict[str, Any]], None]]) -> int:
    """Run the one of ``roles`` that the command line names until it is done or its parent ends it."""
    role, settings, parent = sys.argv[1:]
    link = ParentLink(int(parent))
    if refused := take_short_turns():
        print(refused, file=sys.stderr)
    rclpy.init(args=["--ros-args", "--disable-external-lib-logs"], signal_handler_options=SignalHandlerOptions.NO)
    try:
        roles[role](link, json.loads(settings))
    except KnuckleError as error:
        link.say("trouble", text=str(error))
        return error.exit_code
    finally:
        rclpy.shutdown()
    return 0


def spin(link: ParentLink, bus: OnTheBus, look: Callable[[], bool]) -> None:
    """Serve the node until ``look``, called some ten times a second, returns False, or the parent stops it."""
    executor = HostExecutor(get_default_context())
    executor.add_node(bus.node)
    next_look = 0.0

    def over() -> bool:
        nonlocal next_look
        now = time.monotonic()
        if link.stop.is_set() or now < next_look:
            return link.stop.is_set()
        next_look = now + _LOOK_S
        return not look()

    gc.collect()
    gc.freeze()
    try:
        executor.spin(over)
    finally:
        bus.close()
        executor.shutdown()


def _estimate(link: ParentLink, settings: dict[str, Any]) -> None:
    estimator = EstimatorNode("estimator", from_mapping(estimator_node.Config, settings, where="estimator"))
    told = False

    def look() -> bool:
        nonlocal told
        if not told and estimator.heard():
            link.say("ready")
            told = True
        if estimator.readings.get_publisher_count() > 1 or estimator.fields.get_publisher_count() > 1:
            right = "one source for each stream; choose another domain with --domain N"
            raise BusError("somebody else publishes it too", where="imu or magnetic_field", right=right)
        return True

    spin(link, estimator, look)


class Meter(Protocol):
    """What counts the estimates that come."""

    subscription: Any

    @property
    def received(self) -> int:
        """How many came."""


def measure(
    link: ParentLink,
    player: PlayerNode,
    meter: Meter,
    progress: Callable[[], dict[str, Any]],
    *,
    until: int | None = None,
) -> None:
    """Play when told to go and tell ``progress``, until all ``until`` estimates have come, or none comes any more."""
    told, started, next_word, quiet_since, received = False, False, 0.0, 0.0, 0

    def look() -> bool:
        nonlocal told, started, next_word, quiet_since, received
        now = time.monotonic()
        if not told and player.heard() and meter.subscription.get_publisher_count() > 0:
            link.say("ready")
            told = True
        if told and not started and link.go.is_set():
            player.start()
            started = True
        if started and now >= next_word:
            link.say("progress", **progress())
            next_word = now + PROGRESS_S
        if meter.received != received or not player.done.is_set():
            received, quiet_since = meter.received, now
        return (until is None or meter.received < until) and now - quiet_since < QUIET_S

    spin(link, player, look)


def _play(link: ParentLink, settings: dict[str, Any]) -> None:
    config = from_mapping(player_node.Config, settings, where="player")
    recording = imu_file.load(Path(config.file)).part(config.start_s, config.seconds)
    player = PlayerNode("player", config, recording)
    meter = EstimateMeter(player.node, STREAM, player)
    measure(link, player, meter, lambda: _progress(player, meter), until=len(recording))
    if player.done.is_set():
        link.say("result", **_result(player, meter))


def _progress(player: PlayerNode, meter: EstimateMeter) -> dict[str, Any]:
    recent = meter.latencies_ms(newest=300)
    sent = player.pacer.sent
    return {
        "sent": sent,
        "received": meter.received,
        "rate_hz": player.pacer.rate_hz(),
        "latency_p50_ms": float(np.median(recent)) if len(recent) else None,
    }


def _result(player: PlayerNode, meter: EstimateMeter) -> dict[str, Any]:
    came = meter.received_ns > 0
    errors, dropped = score(meter.recording, meter.recording.stamps_ns[came], meter.orientations[came])
    latencies = meter.latencies_ms()
    p50, p99, worst = np.percentile(latencies, [50, 99, 100]).tolist() if len(latencies) else [None] * 3
    return {
        "samples": len(player.recording),
        "dropped": dropped,
        "invalid": int((came & ~meter.valid).sum()),
        "late_sent": player.pacer.late,
        "published_hz": player.pacer.rate_hz(),
        "rate_hz": meter.rate_hz(),
        "latency_p50_ms": p50,
        "latency_p99_ms": p99,
        "latency_max_ms": worst,
        "digest": digest(meter.orientations[came]),
        "errors": None if errors is None or errors.n == 0 else vars(errors),
    }


if __name__ == "__main__":
    raise SystemExit(main({"player": _play, "estimator": _estimate}))
