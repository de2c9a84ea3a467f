"""Graphs: what a file may say, and the one line for what it may not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from knuckle.core.config import setting
from knuckle.core.errors import ConfigError, InputError, KnuckleError
from knuckle_ros.graph import NodeSpec, bundled_graphs, load_graph, parse_graph

GOOD = {
    "processes": {"world": {"shared_memory": "large"}, "policy": {"nice": 10}},
    "nodes": {
        "hand": {"module": "hand_node", "process": "world", "parameters": {"rate": 50}},
        "thinker": {"module": "my.own", "process": "policy", "remappings": {"joint_states": "other"}},
    },
}


@dataclass(frozen=True)
class Config:
    rate: float = setting(100.0, "driver cycles", low=10.0, high=1000.0, unit="Hz")
    name: str = setting("dclaw3", "hand")
    arm: bool = setting(False, "arm at start")
    count: int = setting(3, "how many", low=0, high=9)


def changed(path: str, value: object) -> dict[str, object]:
    graph = json.loads(json.dumps(GOOD))
    *way, last = path.split(".")
    place = graph
    for key in way:
        place = place[key]
    place[last] = value
    return graph


def test_a_good_graph_says_who_runs_where() -> None:
    graph = parse_graph(GOOD, source="g.yaml")
    assert [node.name for node in graph.hosted_by("world")] == ["hand"]
    assert graph.processes["world"].shared_memory == "large"
    assert graph.processes["policy"].nice == 10
    assert graph.nodes[0].module == "knuckle_ros.hand_node"
    assert graph.nodes[1].module == "my.own"
    assert graph.nodes[0].configure(Config) == Config(rate=50.0)


def test_a_node_survives_its_way_to_its_process() -> None:
    node = parse_graph(GOOD, source="g.yaml").with_settings(["hand.count=4"]).nodes[0]
    assert NodeSpec(**json.loads(json.dumps(node.to_json()))).configure(Config) == Config(rate=50.0, count=4)


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("nodez", {}, "g.yaml: nodez: unknown key; did you mean 'nodes'? known: nodes, processes"),
        ("processes.world.nise", 3, "g.yaml: processes.world.nise: unknown key; did you mean 'nice'?"),
        ("processes.world.nice", 99, "g.yaml: processes.world.nice: 99 is out of range; 0 to 19"),
        ("processes.world.shared_memory", "huge", "one of: default, large"),
        ("processes.idle", {}, "g.yaml: processes.idle: no node runs in it"),
        ("nodes.hand.modul", "x", "g.yaml: nodes.hand.modul: unknown key; did you mean 'module'?"),
        ("nodes.hand.process", "wrld", "g.yaml: nodes.hand.process: unknown process 'wrld'; did you mean 'world'?"),
        ("nodes.hand.module", 3, "g.yaml: nodes.hand.module: missing or not text"),
        ("nodes.hand.parameters", [1], "g.yaml: nodes.hand.parameters: [1] is not a table"),
        ("nodes.hand.parameters.rate", {"a": 1}, "g.yaml: nodes.hand.parameters.rate: {'a': 1} is not a plain value"),
        ("nodes.hand.remappings", {"a": 1}, "g.yaml: nodes.hand.remappings.a: 1 is not a name"),
        ("nodes.bad name", {}, "g.yaml: nodes.bad name: not a ROS name"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(path: str, value: object, line: str) -> None:
    with pytest.raises(InputError) as error:
        parse_graph(changed(path, value), source="g.yaml")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        (
            {"rat": 50},
            "g.yaml: nodes.hand.parameters.rat: unknown key; did you mean 'rate'? known: arm, count, name, rate",
        ),
        ({"rate": 5000}, "g.yaml: nodes.hand.parameters.rate: 5000.0 is out of range; 10 to 1000 Hz"),
        ({"rate": "fast"}, "g.yaml: nodes.hand.parameters.rate: 'fast' is not of type float; driver cycles"),
        ({"arm": 1}, "g.yaml: nodes.hand.parameters.arm: 1 is not of type bool"),
    ],
)
def test_parameters_are_held_to_the_node_s_config(parameters: dict[str, object], line: str) -> None:
    node = parse_graph(changed("nodes.hand.parameters", parameters), source="g.yaml").nodes[0]
    with pytest.raises(ConfigError) as error:
        node.configure(Config)
    assert line in str(error.value)


def test_settings_lie_over_the_file_and_are_checked_too() -> None:
    graph = parse_graph(GOOD, source="g.yaml")
    settings = ["hand.rate=200", "hand.arm=true", "hand.name=a=b"]
    assert graph.with_settings(settings).nodes[0].configure(Config) == Config(rate=200.0, arm=True, name="a=b")
    for text, line in [
        ("hand.rate=5000", "--set hand.rate: 5000.0 is out of range; 10 to 1000 Hz"),
        ("hand.rote=1", "--set hand.rote: unknown key; did you mean 'rate'?"),
        ("hand.count=1.5", "--set hand.count: '1.5' is not of type int"),
    ]:
        with pytest.raises(ConfigError) as error:
            graph.with_settings([text]).nodes[0].configure(Config)
        assert line in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hnd.rate=1", "--set hnd.rate: unknown node 'hnd'; did you mean 'hand'? known: hand, thinker"),
        ("rate=1", "--set: 'rate=1' is not a setting; node.key=value"),
        ("hand.rate", "--set: 'hand.rate' is not a setting"),
        ("", "--set: '' is not a setting"),
    ],
)
def test_a_setting_that_is_none_is_refused(text: str, line: str) -> None:
    with pytest.raises(InputError, match=r"--set") as error:
        parse_graph(GOOD, source="g.yaml").with_settings([text])
    assert line in str(error.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"nodes: [", "not YAML"),
        (b"processes: {a: {}}\nprocesses: {b: {}}\n", "the key 'processes' is there twice"),
        (b"\xff\xfe", "not YAML"),
        (b"!!python/object/apply:os.system [echo]", "not YAML"),
        (b"# " + b"x" * 70000, "larger than 64 kB"),
        (b"", "null is not a table"),
        (b"processes: {a: {}}\n", "nodes"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_in_one_line(content: bytes, line: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_graph(str(path))
    assert line in str(error.value)
    assert "bad.yaml" in str(error.value)


def test_a_graph_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"unknown graph 'dem'; did you mean 'demo'\?"):
        load_graph("dem")
    with pytest.raises(KnuckleError, match="No such file"):
        load_graph("nowhere/graph.yaml")


@pytest.mark.parametrize("name", bundled_graphs())
def test_every_bundled_graph_reads_in_one_screen(name: str) -> None:
    graph = load_graph(name)
    assert graph.nodes
    path = Path(load_graph.__globals__["GRAPHS"]) / f"{name}.yaml"
    assert len(path.read_text().splitlines()) <= 60
    assert yaml.safe_load(path.read_text())


def test_leaving_a_node_out_leaves_its_empty_process_out() -> None:
    graph = parse_graph(GOOD, source="g.yaml").without("thinker")
    assert list(graph.processes) == ["world"]


def test_the_hand_that_is_named_is_the_hand_of_every_node_that_has_none_of_its_own() -> None:
    @dataclass(frozen=True)
    class WithHand:
        hand: str = setting("dclaw3", "the hand")

    graph = load_graph("demo").with_settings(["hand.model=leap", "page.hand=dclaw4"])
    nodes = {node.name: node for node in graph.nodes}
    assert [nodes[name].configure(WithHand).hand for name in ("perception", "page")] == ["leap", "dclaw4"]
    alone = {node.name: node for node in load_graph("demo").with_settings([]).nodes}
    assert alone["perception"].configure(WithHand).hand == "dclaw3"
