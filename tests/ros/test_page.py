"""The page in a real browser: it opens, it shows the scene, its stop button stops."""

from __future__ import annotations

import io
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

GRAPH = "processes:\n  page: {}\nnodes:\n  page: {module: page_node, process: page, parameters: {port: PORT}}\n"
SOFTWARE_GL = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def graph(tmp_path: Path, port: int) -> str:
    path = tmp_path / "page.yaml"
    path.write_text(GRAPH.replace("PORT", str(port)))
    return str(path)


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with playwright.sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, headless=True, args=SOFTWARE_GL)
        yield running
        running.close()


class Watch:
    """A stranger beside the hand and where it is expected, once it has ``come``."""

    def __init__(self, node: Any) -> None:
        from knuckle_msgs.msg import Forecasts, Tracks

        self.come = threading.Event()
        self._tracks = node.create_publisher(Tracks, "tracks", 1)
        self._forecasts = node.create_publisher(Forecasts, "forecasts", 1)

    def play(self, stamp_ns: int) -> None:
        from knuckle.motion.forecaster import Forecaster
        from knuckle.perception.thing_tracker import TrackedThings
        from knuckle_ros.thing_messages import forecasts_msg, tracks_msg

        if not self.come.is_set():
            return
        place, one = np.array([[0.25, -0.2, 0.1]]), np.ones(1)
        told = TrackedThings(
            stamp_ns, "world", np.array([3]), ("stranger",), one, place, 1e-4 * one, 0 * place, one, 0 * place + 0.1,
            0 * one,
        )  # fmt: skip
        forecast = Forecaster().forecast(np.repeat(place[:, None], 6, axis=1), 0.083)
        self._tracks.publish(tracks_msg(told))
        self._forecasts.publish(forecasts_msg(stamp_ns, "world", [3], ["stranger"], forecast))


class Stage:
    """What the page listens to and calls, played by the test."""

    def __init__(self, probe: Any) -> None:
        from geometry_msgs.msg import PoseStamped
        from knuckle_msgs.msg import SafetyState, ZoneState
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Bool, String
        from std_srvs.srv import Trigger

        from knuckle.hardware.spec.hands import hand_spec
        from knuckle_ros.bus_qos import LATCHED
        from knuckle_ros.wire import header_msg, pose_msg

        node, spec = probe.node, hand_spec("dclaw3")
        self.calls: list[str] = []
        self.stops = probe.listen(Bool, "emergency_stop")
        self.states = node.create_publisher(SafetyState, "safety/state", LATCHED)
        self.threats = node.create_publisher(String, "zone/threat", LATCHED)
        self.zone = node.create_publisher(ZoneState, "zone/state", LATCHED)
        self.watch = Watch(node)
        self.SafetyState = SafetyState
        self.say(SafetyState.ARMED, holder="policy")

        def answer(name: str) -> Callable[[Any, Any], Any]:
            def serve(_: Any, response: Any) -> Any:
                self.calls.append(name)
                response.success, response.message = True, f"{name} heard"
                if name == "emergency_stop":
                    self.say(SafetyState.STOPPED, reason="the page's button")
                return response

            return serve

        for name in ("emergency_stop", "hand/rearm", "policy/engage", "goals/next", "world/reset", "world/intruder"):
            node.create_service(Trigger, name, answer(name))
        joints = node.create_publisher(JointState, "joint_states", 10)
        poses = node.create_publisher(PoseStamped, "object/pose", 10)
        self._stop = threading.Event()

        def play() -> None:
            k = 0
            while not self._stop.wait(0.05):
                k += 1
                header = header_msg(k * 50_000_000)
                joints.publish(JointState(header=header, name=list(spec.joint_names), position=spec.home.tolist()))
                poses.publish(pose_msg(k * 50_000_000, "world", (0.0, 0.0, 0.04), (1.0, 0.0, 0.0, 0.0)))
                self.watch.play(k * 50_000_000)

        self._thread = threading.Thread(target=play)
        self._thread.start()

    def say(self, state: int, **fields: str) -> None:
        self.states.publish(self.SafetyState(state=state, **fields))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def stage(probe: Any) -> Iterator[Stage]:
    played = Stage(probe)
    yield played
    played.close()


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(what)
        time.sleep(0.02)


@pytest.mark.browser
def test_the_page_shows_the_scene_and_its_stop_button_stops(
    graph: str, port: int, run_graph: Callable[..., Any], stage: Stage, browser: Any
) -> None:
    run = run_graph(graph)
    run.wait_for("process page: running")
    page = browser.new_page(viewport={"width": 1000, "height": 640})
    page.goto(f"http://127.0.0.1:{port}")
    stop = page.get_by_role("button", name="STOP", exact=True)
    stop.wait_for(timeout=30_000)
    page.get_by_text("held by policy").wait_for(timeout=15_000)
    for said in ("no camera: no depth image has come", "no estimate has come yet", "no goal now"):
        page.get_by_text(said).first.wait_for(timeout=15_000)

    def drawn() -> bool:
        """Many colours in the scene: not blank, not one plain shade."""
        from PIL import Image

        shot = np.asarray(Image.open(io.BytesIO(page.screenshot(clip={"x": 0, "y": 0, "width": 600, "height": 600}))))
        pixels = shot[..., :3].reshape(-1, 3).astype(int)
        orange = (pixels[:, 0] - pixels[:, 2] > 60).mean()  # the fingertips
        return len(np.unique(pixels, axis=0)) > 300 and bool(orange > 0.005)

    wait_until(drawn, 20.0, "the scene stays blank")
    stop.click(timeout=15_000)
    wait_until(lambda: "emergency_stop" in stage.calls, 5.0, "the service was not called")
    wait_until(lambda: [m.data for m in stage.stops] == [True], 5.0, "the topic was not published")
    page.get_by_text("STOPPED").first.wait_for(timeout=15_000)
    page.get_by_text("emergency_stop heard").first.wait_for(timeout=15_000)
    for button, service in (
        ("Re-arm after a stop", "hand/rearm"),
        ("Arm", "policy/engage"),
        ("Next goal", "goals/next"),
        ("Reset the world", "world/reset"),
        ("Send an intruder", "world/intruder"),
    ):
        page.get_by_role("button", name=button, exact=True).click(timeout=15_000)
        wait_until(lambda wanted=service: wanted in stage.calls, 5.0, f"{service} was not called")


@pytest.mark.browser
@pytest.mark.timeout(540)
def test_the_page_draws_a_stranger_with_its_forecast_and_says_why_the_hand_holds(
    graph: str, port: int, run_graph: Callable[..., Any], stage: Stage, browser: Any
) -> None:
    from knuckle_msgs.msg import ZoneState
    from std_msgs.msg import String

    run_graph(graph).wait_for("process page: running", timeout_s=90.0)
    page = browser.new_page(viewport={"width": 1000, "height": 640})
    page.goto(f"http://127.0.0.1:{port}")
    page.get_by_text("held by policy").wait_for(timeout=120_000)
    assert page.get_by_text("zone").count() == 0

    def warm() -> float:
        """The share of the scene's pixels in the colours of fingertips, objects and forecasts."""
        from PIL import Image

        shot = np.asarray(Image.open(io.BytesIO(page.screenshot(clip={"x": 0, "y": 0, "width": 600, "height": 600}))))
        pixels = shot[..., :3].reshape(-1, 3).astype(int)
        return float((pixels[:, 0] - pixels[:, 2] > 15).mean())

    wait_until(lambda: warm() > 0.005, 60.0, "the scene stays blank")
    before = warm()
    stage.threats.publish(String(data="stranger 3 will be in the zone in 0.4 s (probability 0.62)"))
    stage.say(stage.SafetyState.HOLD, reason="hold asked by 'the watch of the zone'")
    stage.watch.come.set()
    page.get_by_text("stranger 3 will be in the zone in 0.4 s").first.wait_for(timeout=60_000)
    page.get_by_text("hold asked by 'the watch of the zone'").first.wait_for(timeout=60_000)
    wait_until(lambda: warm() > before + 0.02, 60.0, "no forecast is drawn")
    stage.threats.publish(String(data=""))

    def free() -> bool:
        stage.zone.publish(ZoneState(state=ZoneState.WATCHING))
        return bool(page.get_by_text("the zone round the hand is free").count())

    wait_until(free, 60.0, "the zone is not called free")
    # A watch that says no more is not believed for long.
    page.get_by_text("nobody watches the zone: its watch is silent").first.wait_for(timeout=60_000)


def test_the_page_answers_on_this_machine_alone(graph: str, port: int, run_graph: Callable[..., Any]) -> None:
    run_graph(graph).wait_for("process page: running")
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {row[1].split(":")[0] for row in listening if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    assert addresses == {"0100007F"}


def test_strangers_words_do_not_end_the_page(graph: str, run_graph: Callable[..., Any], probe: Any) -> None:
    from geometry_msgs.msg import PoseStamped
    from std_msgs.msg import String

    from knuckle_ros.bus_qos import LATCHED

    run = run_graph(graph)
    run.wait_for("process page: running")
    said = probe.node.create_publisher(String, "player/configuration", LATCHED)
    goals = probe.node.create_publisher(PoseStamped, "reorient/goal", LATCHED)
    nowhere = PoseStamped()
    nowhere.header.frame_id, nowhere.pose.orientation.w = "world", 0.0
    goals.publish(nowhere)
    said.publish(String(data="not json"))
    run.wait_for("player/configuration: no configuration in it")
    run.wait_for("reorient/goal: the quaternion is zero")
    assert list(run.children()) == ["page"]


def test_a_port_in_use_ends_the_run_with_one_line_that_names_it(
    graph: str, port: int, run_graph: Callable[..., Any]
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        run = run_graph(graph)
        assert run.wait() != 0
    assert sum(f"port {port} is in use" in line for line in run.lines) >= 1
    assert not any("Traceback" in line for line in run.lines)
