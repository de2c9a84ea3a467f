"""`knuckle replay`: make the outputs of a recording again, and compare them bit for bit."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import RecordingError

if TYPE_CHECKING:
    from knuckle_ros.recording.comparison import Comparison
    from knuckle_ros.recording.recording_file import RecordingFile

NOT_PUBLISHED = ("rosout", "parameter_events")


@dataclass(frozen=True)
class ReplayConfig:
    """Run perception and the estimator again over a recording: the outputs must be those recorded, bit for bit."""

    file: Annotated[str, arg(metavar="FILE", help="recording to replay (.mcap)"), Positional]
    json: str = setting("", "file to write the figures to")
    bus: bool = setting(False, "instead: publish the recording onto the bus at its pace")
    only: str = setting("", "with --bus: these topics alone, separated by commas")
    rate: float = setting(1.0, "with --bus: so many times as fast", low=0.01, high=100.0)
    domain: int = setting(-1, "with --bus: ROS domain (-1: that of ROS_DOMAIN_ID, else 0)", low=-1, high=101)


def replay(argv: list[str]) -> int:
    """Run the command; 1 where an output differs or is missing. RecordingError for a file that will not do."""
    from knuckle_ros.recording.recording_file import RecordingFile

    config = parse_arguments(ReplayConfig, argv, "knuckle replay")
    with RecordingFile(Path(config.file)) as recording:
        if config.bus:
            return _publish(recording, config)
        comparisons = _compare(recording)
    _show(comparisons)
    if config.json:
        _figures(["knuckle", "replay", *argv], config, comparisons)
    return 0 if all(comparison.good for comparison in comparisons) else 1


def _compare(recording: RecordingFile) -> list[Comparison]:
    """What can be made again is decided by the outputs that the recording holds."""
    from knuckle_ros.perception_feed import POINTS
    from knuckle_ros.recording.replay_estimator import replay_estimator
    from knuckle_ros.recording.replay_perception import replay_perception

    comparisons = []
    if POINTS in recording.types:
        comparisons.append(replay_perception(recording))
    if any(topic.endswith("/estimate") for topic in recording.types):
        comparisons.append(replay_estimator(recording))
    if not comparisons:
        right = f"a recording with {POINTS} or <stream>/estimate"
        raise RecordingError("no output to make again", where=str(recording.path), right=right)
    return comparisons


def _show(comparisons: list[Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("topic", "identical", "different", "missing", "without inputs", "not recorded", box=None)
    for c in comparisons:
        numbers = (c.identical, c.different, c.missing, c.without_inputs, c.unrecorded)
        table.add_row(c.topic, *(str(n) for n in numbers), style=None if c.good else "red")
    Console().print(table)


def _figures(command: list[str], config: ReplayConfig, comparisons: list[Comparison]) -> None:
    from knuckle.core.figures import Figures

    figures: dict[str, float] = {}
    for comparison in comparisons:
        values = asdict(comparison)
        name = str(values.pop("topic")).replace("/", "_")
        figures |= {f"{name}_{key}": float(value) for key, value in values.items()}
    n = sum(c.identical + c.different + c.missing for c in comparisons)
    Figures(command, asdict(config), 0, n, figures).write(Path(config.json))


def _publish(recording: RecordingFile, config: ReplayConfig) -> int:
    from rclpy.node import Node

    from knuckle_ros.command_bus import joined_bus
    from knuckle_ros.commands.run import ros_domain
    from knuckle_ros.recording.bus_player import BusPlayer

    wanted = [name.strip().lstrip("/") for name in config.only.split(",") if name.strip()]
    recording.require(dict.fromkeys(wanted, ""), what="--only")
    topics = wanted or [topic for topic in recording.types if topic not in NOT_PUBLISHED]
    with joined_bus(ros_domain(config.domain)) as serve:
        node = Node("replay")
        player = BusPlayer(node, recording, topics, config.rate)
        player.start()
        try:
            finished = serve(node, player.done.is_set)
        finally:
            player.close()
            node.destroy_node()
    if player.failure is not None:
        raise player.failure
    print(f"{player.published} messages published{'' if finished else ', then stopped'}", file=sys.stderr)
    return 0
