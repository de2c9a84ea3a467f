"""A watch that sees no more holds the hand and says why; one that is off or has no camera says so and holds nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

GRAPH = """
processes:
  watch: {}
nodes:
  zone: {module: zone_node, process: watch}
  idle:
    module: zone_node
    process: watch
    parameters: {watch: false}
    remappings: {zone/state: idle/state, zone/threat: idle/threat}
"""
PERIOD_NS = 83_000_000
LINKS = ("depth/camera_info", "detections", "tracks", "forecasts")


class Bus:
    """The hand's clock, its driver's words and the chain of the watch, as a test wants them."""

    def __init__(self, probe: Any) -> None:
        from knuckle_msgs.msg import Detections, Forecasts, SafetyState, Tracks, ZoneState
        from sensor_msgs.msg import CameraInfo, JointState
        from std_msgs.msg import String
        from std_srvs.srv import Trigger

        from knuckle_ros.bus_qos import LATCHED

        self.node, self.kinds = probe.node, dict(zip(LINKS, (CameraInfo, Detections, Tracks, Forecasts), strict=True))
        self.now_ns, self.holds = 1_000_000_000_000, 0
        self.sent: dict[str, Any] = {}
        self.joints = self.node.create_publisher(JointState, "joint_states", 10)
        self.safety = self.node.create_publisher(SafetyState, "safety/state", LATCHED)
        self.states, self.off = (probe.listen(ZoneState, f"{name}/state", 50) for name in ("zone", "idle"))
        self.threats, self.none = (probe.listen(String, f"{name}/threat", LATCHED) for name in ("zone", "idle"))
        self.held = threading.Event()
        self.node.create_service(Trigger, "hand/hold_for_zone", self._hold)

    def _hold(self, _: Any, response: Any) -> Any:
        self.holds += 1
        self.say(armed=False)
        self.held.set()
        response.success = True
        return response

    def say(self, *, armed: bool) -> None:
        from knuckle_msgs.msg import SafetyState

        self.held.clear()
        self.safety.publish(SafetyState(state=SafetyState.ARMED if armed else SafetyState.HOLD))

    def publish(self, link: str, stamp: int) -> None:
        from knuckle_ros.wire import header_msg

        if link not in self.sent:
            self.sent[link] = self.node.create_publisher(self.kinds[link], link, 1)
        message = self.kinds[link]()
        message.header = header_msg(stamp, "world")
        self.sent[link].publish(message)

    def go_on(
        self, links: tuple[str, ...], until: Callable[[], bool], what: str, *, old_ns: int = 0, timeout_s: float = 60.0
    ) -> None:
        """Let time go on with these links alive, each stamp ``old_ns`` ago, until something is so."""
        from sensor_msgs.msg import JointState

        from knuckle_ros.wire import header_msg

        deadline = time.monotonic() + timeout_s
        while not until():
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: {[m.data for m in self.threats]}, {self.states[-3:]}")
            self.now_ns += PERIOD_NS
            for link in links:
                self.publish(link, self.now_ns - old_ns)
            self.joints.publish(JointState(header=header_msg(self.now_ns)))
            time.sleep(0.02)

    def state(self) -> tuple[int, str]:
        return (self.states[-1].state, self.states[-1].reason) if self.states else (-1, "")

    def threat(self) -> str:
        return self.threats[-1].data if self.threats else "nothing said"


@pytest.mark.timeout(300)
def test_a_blind_watch_holds_the_hand_says_why_and_lets_it_be_armed_when_it_sees_again(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any
) -> None:
    from knuckle_msgs.msg import ZoneState

    path, bus = tmp_path / "blind.yaml", Bus(probe)
    path.write_text(GRAPH)
    run = run_graph(str(path))
    run.wait_for("process watch: running", timeout_s=60.0)

    # No camera on the bus: that is said, and the armed hand goes on.
    bus.say(armed=True)
    bus.go_on((), lambda: bus.state()[0] == ZoneState.OFF, "it did not say that there is no camera")
    assert bus.state()[1] == "no depth camera is part of the graph"
    later = bus.now_ns + 20_000_000_000
    bus.go_on((), lambda: bus.now_ns > later, "time stood still")
    assert bus.holds == 0
    assert bus.threat() == ""

    bus.go_on(LINKS, lambda: bus.state()[0] == ZoneState.WATCHING, "it never watched")
    assert bus.holds == 0
    for alive, name in ((0, "depth images"), (1, "detections"), (2, "tracks"), (3, "forecasts")):
        bus.say(armed=True)
        wanted = f"the watch is blind: no {name} newer than 1 s"
        bus.go_on(LINKS[:alive], lambda wanted=wanted: bus.held.is_set() and bus.threat() == wanted, wanted)
        assert bus.state() == (ZoneState.BLIND, wanted)
        if alive == 1:
            # Whoever arms it while nothing is seen is told to hold again.
            bus.say(armed=True)
            bus.go_on(LINKS[:alive], bus.held.is_set, "armed and blind")
        before = bus.holds
        bus.go_on(LINKS, lambda: bus.threat() == "" and bus.state()[0] == ZoneState.WATCHING, "it never saw again")
        assert bus.holds == before

    bus.say(armed=True)
    bus.go_on(LINKS, bus.held.is_set, "frames of long ago were believed", old_ns=2_000_000_000)
    assert "no depth images newer" in bus.threat()

    # The other one was told not to watch: it says so, and whatever was silent, it held nobody.
    assert {(said.state, said.reason) for said in bus.off} == {(ZoneState.OFF, "switched off")}
    assert {said.data for said in bus.none} == {""}
