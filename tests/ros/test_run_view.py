"""What a run shows."""

from __future__ import annotations

from typing import Any

from knuckle_ros.graph import NodeSpec, ProcessOptions
from knuckle_ros.graph_process import GraphProcess
from knuckle_ros.run_view import LiveView, OpeningView, PlainView


def process(state: str, health: dict[str, tuple[int, str]]) -> GraphProcess:
    made = GraphProcess("world", ProcessOptions(), (NodeSpec("hand", "m", "world"),))
    made.state, made.health = state, health
    return made


def test_plain_lines_tell_changes_once(capsys: Any) -> None:
    view = PlainView()
    for state, health in (
        ("starting", {}),
        ("running", {}),
        ("running", {"hand": (0, "fine")}),
        ("running", {"hand": (0, "still fine")}),
        ("running", {"hand": (2, "servo error")}),
    ):
        view.show([process(state, health)])
    view.line("world", "hello")
    assert capsys.readouterr().err.splitlines() == [
        "process world: starting",
        "process world: running",
        "hand: ok",
        "hand: error (servo error)",
        "[world] hello",
    ]


def test_the_table_names_process_node_and_health(capsys: Any) -> None:
    view = LiveView()
    view.show([process("running", {"hand": (2, "servo error")})])
    view.line("world", "[bold]not markup[/bold]")
    view.close()
    shown = capsys.readouterr().err
    assert "[world] [bold]not markup[/bold]" in shown


def test_the_first_address_is_opened_and_no_other() -> None:
    opened: list[str] = []
    view = OpeningView(PlainView(), opened.append)
    view.line("page", "no address")
    view.line("page", "the page is at http://127.0.0.1:8080 now")
    view.line("page", "http://127.0.0.1:9090")
    assert opened == ["http://127.0.0.1:8080"]
