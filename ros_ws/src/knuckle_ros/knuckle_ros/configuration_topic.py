"""How a node was configured, said once on a latched topic: a recording that holds it can be replayed by itself."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import String

from knuckle.core.config import from_mapping
from knuckle.core.errors import RecordingError
from knuckle_ros.bus_qos import LATCHED

T = TypeVar("T")

SUFFIX = "/configuration"


def publish_configuration(node: Node, kind: str, config: Any) -> Publisher:
    """Publish ``config`` (a dataclass of plain values) on ``<node>/configuration`` for as long as the node lives."""
    publisher = node.create_publisher(String, f"{node.get_name()}{SUFFIX}", LATCHED)
    publisher.publish(String(data=json.dumps({"kind": kind, "config": dataclasses.asdict(config)})))
    return publisher


def configuration_kind(text: str) -> str:
    """What kind of node said this; empty where it is none of ours."""
    try:
        said = json.loads(text)
    except ValueError:
        return ""
    return str(said.get("kind", "")) if isinstance(said, dict) else ""


def read_configuration(text: str, cls: type[T], *, where: str) -> T:
    """The ``cls`` that was published; RecordingError or ConfigError where the text does not hold one."""
    return from_mapping(cls, said_configuration(text, where=where), where=where)


def said_configuration(text: str, *, where: str) -> dict[str, Any]:
    """The values that were published, unchecked; RecordingError where the text does not hold any."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("config"), dict):
        raise RecordingError("no configuration in it", where=where, right='{"kind": ..., "config": {...}}')
    config: dict[str, Any] = said["config"]
    return config
