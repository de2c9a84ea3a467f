"""The camera on the bus: the RealSense driver under the simulated world, and what its failures do to the hand."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knuckle.hardware.virtual.control_socket import ask

pytestmark = [
    pytest.mark.ros,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        importlib.util.find_spec("pyrealsense2") is None,
        reason="pyrealsense2 is not installed: pip install 'knuckle[hand]'",
    ),
]

GRAPH = """
processes:
  world: {{shared_memory: large}}
  rest: {{}}
nodes:
  world: {{module: world_node, process: world, parameters: {{object_name: duck}}, remappings: {{object/pose: truth}}}}
  hand: {{module: hand_node, process: world, parameters: {{autostart: true, latch_file: {folder}/stop.json}}}}
  camera:
    module: camera_node
    process: world
    parameters:
      {{source: virtual, stream_mode: 424x240, decimation: 1, rate: 12.0, late_frame_s: {late_s}, back_off_s: 0.1}}
  perception: {{module: perception_node, process: rest, parameters: {{voxel_m: 0.01, late_s: 100.0}}}}
  pose: {{module: graph_nodes.pose_echo, process: rest}}
  policy: {{module: policy_node, process: rest, parameters: {{model: nothing, engage: true}}}}
"""
PERIOD_MS = 1000.0 / 12.0
HOLD, ARMED = 0, 1


class Scene:
    """The graph, what it says, and its camera's faults."""

    def __init__(self, folder: Path, run_graph: Callable[..., Any], probe: Any, late_s: float) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from knuckle_msgs.msg import SafetyState
        from sensor_msgs.msg import PointCloud2
        from trajectory_msgs.msg import JointTrajectory

        from knuckle_ros.bus_qos import LATCHED

        self.probe = probe
        self.socket = folder / "knuckle"
        self.clouds = probe.listen(PointCloud2, "points")
        self.safety = probe.listen(SafetyState, "safety/state", LATCHED)
        self.sent = probe.listen(JointTrajectory, "joint_commands/sent")
        self.reports = probe.listen(DiagnosticArray, "diagnostics")
        path = folder / "g.yaml"
        path.write_text(GRAPH.format(folder=folder, late_s=late_s))
        run_graph(str(path)).wait_for("process world: running", timeout_s=60.0)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.lines('camera')[-1:]} {self.safety[-1:]}"
            time.sleep(0.01)

    def lines(self, node: str) -> list[tuple[int, str]]:
        """Level and line of each report of a node."""
        heard = [status for report in list(self.reports) for status in report.status if status.name == node]
        return [(int.from_bytes(status.level, "little"), status.message) for status in heard]

    def stale(self, after: int) -> list[float]:
        """For each STALE of perception from report ``after`` on: ms of joint states' stamps since its last cloud."""
        heard = [s for report in list(self.reports)[after:] for s in report.status if s.name == "perception"]
        values = [{pair.key: pair.value for pair in s.values} for s in heard if s.level == b"\x03"]
        return [float(value["since_cloud_ms"]) for value in values]

    def commanding(self) -> None:
        """The policy is armed and obeyed. On a busy machine its first commands may be refused as too old."""
        from std_srvs.srv import Trigger

        self.until(lambda: bool(self.safety), "safety")
        before = len(self.sent)

        def obeyed() -> bool:
            if self.safety[-1].state == HOLD:
                self.probe.call(Trigger, "policy/engage")
                wait = time.monotonic() + 5.0
                while self.safety[-1].state == HOLD and time.monotonic() < wait:
                    time.sleep(0.01)
            return self.safety[-1].state == ARMED and len(self.sent) > before + 4

        self.until(obeyed, "commands obeyed")

    def fault(self, line: str) -> dict[str, Any]:
        return ask(next(self.socket.glob("camera_*.sock")), line)


def ms(stamp: Any) -> float:
    return float(stamp.sec * 1e3 + stamp.nanosec * 1e-6)


@pytest.fixture
def make_scene(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Scene]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return lambda late_s=100.0: Scene(tmp_path, run_graph, probe, late_s)


def test_a_camera_that_fails_makes_perception_stale_and_the_hand_hold_until_it_is_rearmed(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene()
    faults = {"unplug": "no RealSense camera is connected", "freeze": "frozen", "zero": "every pixel is zero"}
    for fault, said in faults.items():
        scene.commanding()
        after, reported = len(scene.reports), len(scene.lines("camera"))
        scene.fault(f"fault {fault}")
        scene.until(lambda: scene.safety[-1].state == HOLD, "HOLD")
        scene.until(lambda after=after: bool(scene.stale(after)), "STALE")  # type: ignore[misc]
        last = max(ms(cloud.header.stamp) for cloud in scene.clouds)
        assert scene.stale(after)[0] <= 3 * PERIOD_MS
        held = ms(scene.safety[-1].header.stamp) - last
        print(f"{fault}: STALE {scene.stale(after)[0]:.0f} ms and HOLD {held:.0f} ms after the last cloud's stamp")
        assert held <= 4 * PERIOD_MS
        scene.until(
            lambda said=said, reported=reported: any(  # type: ignore[misc]
                level == 2 and said in line for level, line in scene.lines("camera")[reported:]
            ),
            said,
        )
        scene.fault("clear")
        seen = len(scene.clouds)
        scene.until(lambda seen=seen: len(scene.clouds) > seen + 4, "clouds again")  # type: ignore[misc]
        assert scene.safety[-1].state == HOLD
    scene.commanding()


def test_late_frames_are_dropped_and_a_wrong_pinhole_is_named(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(late_s=0.25)
    scene.until(lambda: len(scene.clouds) > 4, "clouds")
    for fault, said in (("late", "ms old; at most 250"), ("intrinsics", "it changed from 424x240 fx")):
        scene.fault(f"fault {fault}")
        scene.until(lambda said=said: any(said in line for _, line in scene.lines("camera")), said)  # type: ignore[misc]
        scene.fault("clear")
        seen = len(scene.clouds)
        scene.until(lambda seen=seen: len(scene.clouds) > seen + 2, "clouds again")  # type: ignore[misc]


def test_a_recording_is_played_to_the_bus_and_its_end_is_said(
    tmp_path: Path, run_graph: Callable[..., Any], probe: Any
) -> None:
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import Image

    legacy = Path(__file__).parents[1] / "hardware" / "recordings" / "d415_legacy.bag"
    images, reports = probe.listen(Image, "depth/image_rect_raw", 20), probe.listen(DiagnosticArray, "diagnostics")
    path = tmp_path / "g.yaml"
    path.write_text(
        "processes: {camera: {}}\n"
        "nodes: {camera: {module: camera_node, process: camera, parameters: "
        f"{{source: realsense, playback: {legacy}, decimation: 1, late_frame_s: 100.0, every: 3}}}}}}\n"
    )
    run = run_graph(str(path))
    run.wait_for("process camera: running")

    def ended() -> bool:
        return any("the recording has ended" in s.message for r in list(reports) for s in r.status)

    deadline = time.monotonic() + 30.0
    while not ended():
        assert time.monotonic() < deadline, reports[-1:]
        time.sleep(0.01)
    assert all((image.width, image.height, image.encoding) == (64, 48, "16UC1") for image in images)
    # Of 12 frames every third; discovery and a busy machine may cost some.
    assert len(images) <= 4


def test_a_recording_cut_short_ends_the_run_with_its_line(tmp_path: Path, run_graph: Callable[..., Any]) -> None:
    legacy = Path(__file__).parents[1] / "hardware" / "recordings" / "d415_legacy.bag"
    (tmp_path / "cut.bag").write_bytes(legacy.read_bytes()[:20000])
    path = tmp_path / "g.yaml"
    path.write_text(
        "processes: {camera: {}}\nnodes: {camera: {module: camera_node, process: camera, parameters: "
        f"{{source: realsense, playback: {tmp_path}/cut.bag}}}}}}\n"
    )
    run = run_graph(str(path))
    assert run.wait(60.0) == 2
    assert any("cut.bag: cut short: 20000 of at least" in line for line in run.lines)
