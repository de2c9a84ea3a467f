"""A graph: one YAML file that says which nodes run, with which parameters, and which of them share a process."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from knuckle.core.config import describe, from_mapping, parse_text, setting, validate
from knuckle.core.errors import ConfigError, InputError, unknown_name
from knuckle_ros.graph_yaml import load_yaml

T = TypeVar("T")

GRAPHS = Path(__file__).parent / "graphs"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
Value = bool | int | float | str


@dataclass(frozen=True)
class ProcessOptions:
    """What may be said of a process."""

    nice: int = setting(0, "how much it gives way to the others; the planner above driver and stream", low=0, high=19)
    shared_memory: str = setting("default", "size of its DDS shared memory", choices=("default", "large"))
    restart: str = setting("on_failure", "what follows its death", choices=("on_failure", "never"))


@dataclass(frozen=True)
class NodeSpec:
    """One node: its name on the bus, its module, its process, its parameters and topic remappings.

    ``settings`` are the texts of ``--set node.key=text``; they are parsed when the module's ``Config`` is known.
    ``shared`` are texts that hold for all nodes of the graph, where a node has such a key and none of its own for it.
    """

    name: str
    module: str
    process: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def configure(self, cls: type[T]) -> T:
        """The node's validated configuration; ConfigError with the dotted path of what is wrong."""
        specs = {spec.name: spec for spec in describe(cls)}
        values = {
            key: parse_text(specs[key], text, where=f"{self.name}.{key}")
            for key, text in self.shared.items()
            if key in specs
        }
        values |= self.parameters
        for key, text in self.settings.items():
            where = f"--set {self.name}.{key}"
            _known(key, specs, where=where)
            values[key] = parse_text(specs[key], text, where=where)
        return validate(from_mapping(cls, values, where=f"{self.source}: nodes.{self.name}.parameters"))

    def to_json(self) -> dict[str, Any]:
        """Plain values for the way to the node's process."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


@dataclass(frozen=True)
class Graph:
    """The nodes, in the order of the file, and the options of each process, in the order of their start."""

    name: str
    processes: Mapping[str, ProcessOptions]
    nodes: tuple[NodeSpec, ...]

    def hosted_by(self, process: str) -> tuple[NodeSpec, ...]:
        """The nodes of one process."""
        return tuple(node for node in self.nodes if node.process == process)

    def with_settings(self, settings: Iterable[str]) -> Graph:
        """The graph with ``node.key=value`` texts laid over it; InputError for an unknown node or another form.

        There is one hand: what ``hand.model`` names is the ``hand`` of every other node too, unless that has its own.
        """
        nodes = {node.name: node for node in self.nodes}
        for text in settings:
            left, equals, value = text.partition("=")
            name, dot, key = left.strip().partition(".")
            if not (equals and dot and name and key):
                raise InputError(f"'{text}' is not a setting", where="--set", right="node.key=value")
            if name not in nodes:
                raise unknown_name("node", name, nodes, where=f"--set {left}")
            changed = {**nodes[name].settings, key: value.strip()}
            nodes[name] = dataclasses.replace(nodes[name], settings=changed)
        hand = nodes.get("hand")
        model = hand and (hand.settings.get("model") or hand.parameters.get("model"))
        if model:
            nodes = {name: dataclasses.replace(node, shared={"hand": str(model)}) for name, node in nodes.items()}
        return dataclasses.replace(self, nodes=tuple(nodes.values()))

    def without(self, name: str) -> Graph:
        """The graph without the node ``name``, nor its process where that would be left empty."""
        nodes = tuple(node for node in self.nodes if node.name != name)
        used = {node.process for node in nodes}
        return dataclasses.replace(self, nodes=nodes, processes={p: o for p, o in self.processes.items() if p in used})


def bundled_graphs() -> list[str]:
    """Names of the graphs that come with knuckle."""
    return sorted(path.stem for path in GRAPHS.glob("*.yaml"))


def load_graph(name: str) -> Graph:
    """The bundled graph ``name``, or the one in the file ``name`` (with a folder or .yaml in it).

    Raises InputError (no such graph, not YAML, too large) or ConfigError (dotted path of the wrong key).
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and len(path.parts) == 1:
        path = GRAPHS / f"{name}.yaml"
        if not path.is_file():
            raise unknown_name("graph", name, bundled_graphs(), where="knuckle run")
    return parse_graph(load_yaml(path), source=path.name)


def parse_graph(data: Any, *, source: str) -> Graph:
    """A graph from the plain values of its YAML file; ``source`` is the file's name, for messages."""
    top = _mapping(data, where=source)
    _only(top, ("processes", "nodes"), where=source)
    processes = {}
    for name, options in _mapping(top.get("processes"), where=f"{source}: processes").items():
        where = f"{source}: processes.{name}"
        _valid_name(name, where=where)
        processes[name] = from_mapping(ProcessOptions, _mapping(options or {}, where=where), where=where)
    entries = _mapping(top.get("nodes"), where=f"{source}: nodes")
    nodes = tuple(_node(name, entry, processes, source) for name, entry in entries.items())
    idle = [name for name in processes if name not in {node.process for node in nodes}]
    if idle:
        raise ConfigError("no node runs in it", where=f"{source}: processes.{idle[0]}", right="remove it")
    return Graph(Path(source).stem, processes, nodes)


def _node(name: str, entry: Any, processes: Mapping[str, ProcessOptions], source: str) -> NodeSpec:
    where = f"{source}: nodes.{name}"
    _valid_name(name, where=where)
    keys = _mapping(entry, where=where)
    _only(keys, ("module", "process", "parameters", "remappings"), where=where)
    for key in ("module", "process"):
        if not isinstance(keys.get(key), str):
            raise ConfigError("missing or not text", where=f"{where}.{key}", right=f"the name of its {key}")
    if keys["process"] not in processes:
        raise unknown_name("process", keys["process"], processes, where=f"{where}.process")
    parameters = _mapping(keys.get("parameters") or {}, where=f"{where}.parameters")
    remappings = _mapping(keys.get("remappings") or {}, where=f"{where}.remappings")
    for key, value in parameters.items():
        if not isinstance(value, (bool, int, float, str)):
            right = "true, a number or text"
            raise ConfigError(f"{value!r} is not a plain value", where=f"{where}.parameters.{key}", right=right)
    for key, value in remappings.items():
        if not isinstance(value, str):
            raise ConfigError(f"{value!r} is not a name", where=f"{where}.remappings.{key}", right="topic: other_topic")
    module = keys["module"] if "." in keys["module"] else f"knuckle_ros.{keys['module']}"
    return NodeSpec(name, module, keys["process"], parameters, remappings, source=source)


def _mapping(data: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        text = json.dumps(data, default=str)[:40]
        raise ConfigError(f"{text} is not a table", where=where, right="lines of name: value")
    return data


def _only(mapping: Mapping[str, Any], known: tuple[str, ...], *, where: str) -> None:
    for key in mapping:
        _known(key, known, where=f"{where}{'.' if ':' in where else ': '}{key}")


def _known(key: str, known: Iterable[str], *, where: str) -> None:
    names = sorted(known)
    if key not in names:
        near = get_close_matches(key, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError("unknown key", where=where, right=f"{hint}known: {', '.join(names)}")


def _valid_name(name: str, *, where: str) -> None:
    if not NAME.match(name):
        raise ConfigError("not a ROS name", where=where, right="letters, digits and _, a letter first")
