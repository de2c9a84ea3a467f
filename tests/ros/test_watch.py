"""The watch on the bus: a stranger makes the hand hold, and what is wrong with detections is named and dropped."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

WATCH = """
  tracks: {module: track_node, process: watch, parameters: {frame: world, classes: stranger}}
  forecasts: {module: forecast_node, process: watch, parameters: {frame: world}}
"""
GUARDED = """
processes:
  world: {shared_memory: large}
  policy: {nice: 10}
  watch: {}
nodes:
  world: {module: world_node, process: world, parameters: {object_name: truck, intruder_speed: 0.2}}
  hand: {module: hand_node, process: world, parameters: {autostart: true, latch_file: LATCH}}
  camera: {module: camera_node, process: world, parameters: {source: rays, width: 160, height: 90}}
  policy: {module: policy_node, process: policy, parameters: {model: nothing, engage: true}}
  blobs: {module: blob_node, process: watch, parameters: {stride: 1}}
  zone: {module: zone_node, process: watch}
"""


def wait_until(condition: Callable[[], bool], timeout_s: float, what: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(what())
        time.sleep(0.02)


class Ears:
    """What the bus says, kept."""

    def __init__(self, probe: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from knuckle_msgs.msg import SafetyState
        from std_msgs.msg import String

        from knuckle_ros.bus_qos import LATCHED

        self.threats = probe.listen(String, "zone/threat", LATCHED)
        self.words = probe.listen(String, "reorient/status", LATCHED)
        self.safety = probe.listen(SafetyState, "safety/state", LATCHED)
        self.health = probe.listen(DiagnosticArray, "diagnostics", 50)

    def state(self) -> int:
        return int(self.safety[-1].state) if self.safety else -1

    def values(self, node: str) -> dict[str, str]:
        said: dict[str, str] = {}
        for array in list(self.health):
            for status in array.status:
                if status.name == node:
                    said |= {pair.key: pair.value for pair in status.values} | {"line": status.message}
        return said

    def lines(self, node: str) -> set[str]:
        return {status.message for array in list(self.health) for status in array.status if status.name == node}


@pytest.mark.timeout(300)
def test_a_stranger_makes_the_hand_hold_until_it_is_gone_and_the_hand_is_armed_again(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any
) -> None:
    from knuckle_msgs.msg import SafetyState
    from std_srvs.srv import Trigger

    path, ears = tmp_path / "guarded.yaml", Ears(probe)
    path.write_text((GUARDED + WATCH.strip("\n") + "\n").replace("LATCH", str(tmp_path / "latch")))
    run = run_graph(str(path))
    wait_until(lambda: ears.state() == SafetyState.ARMED, 90.0, lambda: f"never armed: {run.lines}")
    wait_until(lambda: "free" in ears.values("zone").get("line", ""), 60.0, lambda: f"no watch: {run.lines}")
    # What was always there, the object in hand among it, is no stranger.
    assert not any(message.data for message in ears.threats)
    assert probe.call(Trigger, "world/intruder").success
    assert not probe.call(Trigger, "world/intruder").success

    def held() -> bool:
        """A machine that is too busy to see a whole visit is sent another."""
        if ears.state() == SafetyState.ARMED:
            probe.call(Trigger, "world/intruder")
        return ears.state() == SafetyState.HOLD

    wait_until(held, 90.0, lambda: f"never held: {run.lines}")
    assert "watch of the zone" in ears.safety[-1].reason
    wait_until(lambda: any("stranger" in word.data for word in ears.words), 20.0, lambda: "the policy did not say why")
    refused = probe.call(Trigger, "policy/engage")
    assert not refused.success
    assert "the zone" in refused.message
    assert ears.state() == SafetyState.HOLD
    wait_until(lambda: ears.threats[-1].data == "", 60.0, lambda: "the zone was never free again")
    assert ears.state() == SafetyState.HOLD
    assert probe.call(Trigger, "policy/engage").success
    wait_until(lambda: ears.state() == SafetyState.ARMED, 60.0, lambda: f"never armed again: {run.lines}")
    wait_until(lambda: "frame_to_hold_ms" in ears.values("zone"), 20.0, lambda: "no latency was told")
    assert float(ears.values("zone")["frame_to_hold_ms"]) >= 0.0
    assert {"watch", "world", "policy"} == set(run.children())

    # A watch that hangs can tell nobody; the driver sees its silence, and lets nobody arm until there is one that sees.
    os.kill(run.children()["watch"], signal.SIGSTOP)
    wait_until(lambda: ears.state() == SafetyState.HOLD, 60.0, lambda: f"nobody missed the watch: {run.lines}")
    assert "the watch of the zone has judged nothing for" in ears.safety[-1].reason
    said = len(ears.words)
    assert probe.call(Trigger, "policy/engage").success
    wait_until(
        lambda: any("judged nothing" in word.data for word in ears.words[said:]), 20.0, lambda: str(ears.words[said:])
    )
    assert ears.state() == SafetyState.HOLD
    run.kill("watch")

    def armed() -> bool:
        if ears.state() != SafetyState.ARMED:
            probe.call(Trigger, "policy/engage")
        return ears.state() == SafetyState.ARMED

    wait_until(armed, 90.0, lambda: f"never armed under a new watch: {run.lines}")


BAD_ONES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"frame": "moon"}, "frame 'moon', not 'world'"),
    ({"label": "dragon"}, "unknown class 'dragon'"),
    ({"size": 0.0}, "a size of [0.0, 0.0, 0.0]"),
    ({"size": -1.0}, "a size of [-1.0, -1.0, -1.0]"),
    ({"x": math.nan}, "not finite"),
)


def test_what_is_wrong_with_detections_is_named_and_dropped(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any
) -> None:
    import numpy as np
    from knuckle_msgs.msg import Detections, Forecasts, Track, Tracks

    from knuckle.perception.things import Things
    from knuckle_ros.thing_messages import detections_msg

    path, ears = tmp_path / "watch.yaml", Ears(probe)
    path.write_text("processes:\n  watch: {}\nnodes:" + WATCH)
    run = run_graph(str(path))
    run.wait_for("process watch: running", timeout_s=60.0)
    sent = probe.node.create_publisher(Detections, "detections", 1)
    tracks, forecasts = probe.listen(Tracks, "tracks"), probe.listen(Forecasts, "forecasts")
    wait_until(lambda: sent.get_subscription_count() > 0, 20.0, lambda: "nobody listens")

    def say(k: int, *, frame: str = "world", label: str = "stranger", size: float = 0.1, x: float = 0.0) -> None:
        place, extent = np.array([[0.5 - 0.02 * k, x, 0.1]]), np.full((1, 3), size)
        sent.publish(detections_msg(Things(k * 83_000_000, frame, place, extent, np.array([0.9]), (label,))))

    def refused(node: str, word: str) -> None:
        wait_until(lambda: any(word in line for line in ears.lines(node)), 20.0, lambda: f"{word}: {ears.lines(node)}")

    def follow(first: int) -> None:
        for k in range(first, first + 4):
            seen = len(tracks)
            say(k)
            wait_until(lambda seen=seen: len(tracks) > seen, 20.0, lambda: "no track")

    follow(1)
    wait_until(lambda: bool(forecasts) and bool(forecasts[-1].forecasts), 20.0, lambda: "no forecast")
    one = forecasts[-1].forecasts[0]
    assert one.label == "stranger"
    assert sum(mode.probability for mode in one.modes) == pytest.approx(1.0)
    assert one.modes[0].probability == max(mode.probability for mode in one.modes)
    last = one.modes[0].steps[-1]
    assert last.pose.pose.position.x < 0.5 - 0.02 * 4
    assert last.pose.covariance[0] > one.modes[0].steps[0].pose.covariance[0] > 0.0
    for k, (bad, word) in enumerate(BAD_ONES, 5):
        say(k, **bad)
        refused("tracks", word)
    say(1)
    refused("tracks", "not newer")
    known = tracks[-1].tracks[0].id if tracks[-1].tracks else 1
    follow(10)
    assert tracks[-1].tracks[0].id == known
    twice = Tracks(header=tracks[-1].header, tracks=[Track(id=9, label="a"), Track(id=9, label="a")])
    twice.header.stamp.sec += 1
    stranger = probe.node.create_publisher(Tracks, "tracks", 1)
    wait_until(lambda: stranger.get_subscription_count() > 1, 20.0, lambda: "nobody listens")
    stranger.publish(twice)
    refused("forecasts", "track 9 is there twice")
    assert list(run.children()) == ["watch"]
