"""`knuckle bench bus`, short, and what it computes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from knuckle.core.errors import InputError
from knuckle_ros.bench.results import latency_figures, read_results, write_results
from knuckle_ros.commands.bench_bus import bench_bus


def test_latencies_become_milliseconds() -> None:
    figures = latency_figures("command", [0.001 * i for i in range(101)])
    assert figures == pytest.approx({"command_p50_ms": 50.0, "command_p99_ms": 99.0, "command_max_ms": 100.0})
    assert all(math.isnan(value) for value in latency_figures("command", []).values())


def test_results_of_several_nodes_are_merged_and_none_are_written_without_a_folder(tmp_path: Path) -> None:
    write_results(str(tmp_path), "a", {"x": 1.0})
    write_results(str(tmp_path), "b", {"y": 2.0})
    write_results("", "c", {"z": 3.0})
    assert read_results(tmp_path) == {"x": 1.0, "y": 2.0}


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"--seconds: 0 s; 0.5 to 3600"):
        bench_bus(["--seconds", "0"])


@pytest.mark.ros
def test_every_frame_arrives_commands_answer_and_costs_are_counted(tmp_path: Path, free_domain: int) -> None:
    path = tmp_path / "bus.json"
    assert bench_bus(["--seconds", "1", "--no-demo", "--domain", str(free_domain), "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    figures = written["figures"]
    assert figures["frames_sent"] == figures["frames_received"] == 90
    assert figures["joint_states_sent"] == 100
    assert 0 < figures["commands_received"] <= 100
    assert written["n"] == figures["commands_received"]
    assert 0.0 < figures["command_p50_ms"] <= figures["command_p99_ms"] <= figures["command_max_ms"]
    parts = [value for name, value in figures.items() if name.endswith("_memory_mb") and not name.startswith("total")]
    assert len(parts) == 5
    assert figures["total_memory_mb"] == pytest.approx(sum(parts))
    assert all(figures[f"{name}_cpu_percent"] > 0.0 for name in ("driver", "policy", "camera", "listener"))
