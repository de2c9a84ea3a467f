"""The supervisor, with real processes: who dies, who hears of it, who comes back, and that nothing is left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knuckle_ros.dds_leftovers import leftovers
from knuckle_ros.run_members import members
from knuckle_ros.short_turns import TURN_NS
from tests.ros.turns import turns_ns

pytestmark = pytest.mark.ros

GRAPH = """
processes:
  left: {}
  right: {nice: 5, shared_memory: large}
nodes:
  a: {module: graph_nodes.counter, process: left}
  b: {module: graph_nodes.counter, process: right, parameters: {period: 0.1}}
"""
Start = Callable[..., Any]


@pytest.fixture
def graph(tmp_path: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(GRAPH)
    return str(path)


def run_id(pid: int) -> str:
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(word for word in environment if word.startswith(b"KNUCKLE_RUN=")).decode().partition("=")[2]


def segments(pid: int) -> set[str]:
    """The segments that a process owns: it holds their lock files open."""
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {Path(link).name.removesuffix("_el") for link in links if link.endswith("_el") and "_port" not in link}


def test_a_killed_process_is_told_to_the_others_and_comes_back_inactive(graph: str, run_graph: Start) -> None:
    run = run_graph(graph)
    run.wait_for("running", times=2)
    # Who gives way to nobody is let in at once, the bus's threads too.
    turns = {name: turns_ns(pid) for name, pid in run.children().items()}
    assert not turns["left"] or (turns["left"][0] == TURN_NS and turns["left"].count(TURN_NS) > 5)
    assert TURN_NS not in turns["right"]
    dead = segments(run.children()["right"])
    alive = segments(run.children()["left"])
    assert dead
    assert alive
    began = time.monotonic()
    run.kill("right")
    run.wait_for("a heard that right died", timeout_s=5.0)
    assert time.monotonic() - began < 2.0
    run.wait_for("[right] killed by SIGKILL; started again in 0.5 s, inactive")
    run.wait_for("[right] b built, restarted=True")
    assert not [name for name in dead if Path("/dev/shm", name).exists()]
    assert all(Path("/dev/shm", name).exists() for name in alive)
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_supervisor_leaves_no_process_and_no_shared_memory(
    number: signal.Signals, graph: str, run_graph: Start
) -> None:
    began = time.time()
    run = run_graph(graph)
    run.wait_for("running", times=2)
    mark = run_id(run.children()["left"])
    held = segments(run.children()["left"]) | segments(run.children()["right"])
    run.process.send_signal(number)
    assert run.wait() == (-number if number == signal.SIGKILL else 0)
    assert members(mark) == []
    assert not [name for name in held if Path("/dev/shm", name).exists()]
    assert leftovers(began) == []


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_random_moments_of_start_up_leave_nothing(seed: int, graph: str, run_graph: Start) -> None:
    rng = random.Random(seed)
    began = time.time()
    run = run_graph(graph, "--set", "b.build_time=0.5")
    time.sleep(rng.uniform(0.3, 2.0))
    children = run.children()
    mark = run_id(next(iter(children.values()))) if children else ""
    if children and rng.random() < 0.5:
        os.kill(rng.choice(sorted(children.values())), signal.SIGKILL)
        time.sleep(rng.uniform(0.0, 0.5))
    run.process.send_signal(rng.choice([signal.SIGKILL, signal.SIGINT]))
    run.wait()
    assert not mark or members(mark) == []
    assert leftovers(began) == []


def test_ctrl_c_during_start_up_ends_at_once_and_well(graph: str, run_graph: Start) -> None:
    run = run_graph(graph)
    run.wait_for("starting")
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 0
    assert time.monotonic() - began < 6.0


def test_an_exception_in_a_callback_ends_the_process_with_one_line_and_it_comes_back(
    graph: str, run_graph: Start
) -> None:
    run = run_graph(graph, "--set", "a.fail_at=3")
    run.wait_for("[left] ended with code 1: process left: ValueError: a bug in a callback (counter.py:")
    run.wait_for("a built, restarted=True")


def test_a_process_that_hangs_is_ended_all_the_same(graph: str, run_graph: Start) -> None:
    began = time.time()
    run = run_graph(graph, "--set", "a.hang_at=2")
    run.wait_for("running", times=2)
    time.sleep(0.5)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 0
    assert leftovers(began) == []


def test_a_misspelt_key_stops_the_run_before_a_node_is_built(graph: str, run_graph: Start) -> None:
    run = run_graph(graph, "--set", "b.perod=3")
    assert run.wait() == 2
    right = "unknown key; did you mean 'period'? known: build_time, fail_at, fail_build, hang_at, period"
    assert run.lines[-1] == f"knuckle: --set b.perod: {right}"
    assert not any("building" in line or "a built" in line for line in run.lines)


def test_a_node_that_cannot_be_built_ends_the_run_with_its_line(graph: str, run_graph: Start) -> None:
    run = run_graph(graph, "--set", "b.fail_build=true")
    assert run.wait() == 1
    assert run.lines[-1] == "knuckle: counter: no such device; another one"


def test_a_second_copy_on_the_same_domain_is_refused(graph: str, run_graph: Start) -> None:
    first = run_graph(graph)
    first.wait_for("running", times=2)
    second = run_graph(graph)
    assert second.wait() == 1
    assert "runs here already" in second.lines[-1]
    assert "--domain" in second.lines[-1]
    assert len(second.lines) == 1
    assert first.process.poll() is None


def test_a_new_run_begins_when_the_children_of_a_killed_one_have_ended(graph: str, run_graph: Start) -> None:
    first = run_graph(graph, "--set", "a.hang_at=2")
    first.wait_for("running", times=2)
    time.sleep(0.3)
    mark = run_id(first.children()["left"])
    first.process.kill()
    second = run_graph(graph)
    second.wait_for("starting")
    assert members(mark) == []
    second.wait_for("running", times=2)


def test_a_run_ends_by_itself_after_its_seconds(graph: str, run_graph: Start) -> None:
    run = run_graph(graph, "--seconds", "2")
    assert run.wait() == 0
    assert run.lines[-2:] == ["process left: ended", "process right: ended"]
