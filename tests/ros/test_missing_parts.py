"""`knuckle run` where something is not installed: one line that says what, and no process left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

BLOCK = """
import importlib.machinery

find = importlib.machinery.PathFinder.find_spec

def found(name, path=None, target=None):
    return None if name.partition(".")[0] in {names!r} else find(name, path, target)

importlib.machinery.PathFinder.find_spec = found
"""


@pytest.mark.parametrize(
    ("names", "code", "line"),
    [
        (("rclpy",), 1, "knuckle: rclpy is not installed; pip install 'knuckle[ros]'"),
        (("knuckle_msgs",), 1, "knuckle: messages not built: knuckle_msgs; run `knuckle setup`"),
        (("mujoco",), 1, "mujoco is not installed; `knuckle doctor` says what to install"),
    ],
)
def test_what_is_missing_is_named_once(
    names: tuple[str, ...], code: int, line: str, tmp_path: Path, run_graph: Callable[..., Any]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(names=names))
    graph = tmp_path / "hand.yaml"
    graph.write_text(
        "processes: {world: {}}\n"
        "nodes:\n"
        "  world: {module: world_node, process: world}\n"
        "  hand: {module: hand_node, process: world}\n"
    )
    run = run_graph(str(graph), path=str(tmp_path))
    assert run.wait() == code
    assert line in run.lines[-1]
    assert not [text for text in run.lines if "Traceback" in text]


def test_a_module_that_is_not_there_is_named_with_its_key(tmp_path: Path, run_graph: Callable[..., Any]) -> None:
    graph = tmp_path / "odd.yaml"
    graph.write_text("processes: {p: {}}\nnodes:\n  a: {module: no_such_node, process: p}\n")
    run = run_graph(str(graph))
    assert run.wait() == 2
    line = "knuckle: odd.yaml: nodes.a.module: no module 'knuckle_ros.no_such_node'; a module with Config and build"
    assert run.lines[-1] == line
