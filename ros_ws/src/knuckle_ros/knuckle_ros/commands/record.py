"""`knuckle record`: join the running graph and write what is on its bus to an MCAP file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import RunError

if TYPE_CHECKING:
    from knuckle_ros.recorder_node import RecorderNode


@dataclass(frozen=True)
class RecordConfig:
    """Record every topic of the running graph to an MCAP file that Foxglove, rosbags and `knuckle replay` read."""

    out: str = setting("", "file to write (empty: knuckle-DATE-TIME.mcap)")
    seconds: float = setting(0.0, "stop after so long (0: at Ctrl-C)", low=0.0, high=1e6, unit="s")
    max_mb: float = setting(1000.0, "stop when the file is so large", low=1.0, high=1e6, unit="MB")
    domain: int = setting(-1, "ROS domain (-1: that of ROS_DOMAIN_ID, else 0)", low=-1, high=101)
    recover: str = setting("", "instead: make a recording that was cut short (FILE.mcap.part) whole")


def record(argv: list[str]) -> int:
    """Run the command; InputError where the file is there already, RunError for a full disk or a silent bus."""
    config = parse_arguments(RecordConfig, argv, "knuckle record")
    if config.recover:
        return _recover(config.recover)
    from knuckle_ros import recorder_node
    from knuckle_ros.command_bus import joined_bus
    from knuckle_ros.commands.run import ros_domain

    with joined_bus(ros_domain(config.domain)) as serve:
        settings = recorder_node.Config(out=config.out, seconds=config.seconds, max_mb=config.max_mb)
        recorder = recorder_node.build("recorder", settings)
        try:
            print(f"recording to {recorder.path}; Ctrl-C ends it", file=sys.stderr, flush=True)
            serve(recorder.node, lambda: bool(recorder.stopped))
            recorder.stop("stopped")
        finally:
            recorder.close()
        return _report(recorder)


def _report(recorder: RecorderNode) -> int:
    """What was recorded, as a table; RunError where the disk refused or nothing came."""
    from rich.console import Console
    from rich.table import Table

    from knuckle_ros.recording.partial_file import partial_path

    total = recorder.counts.total()
    if total:
        table = Table("topic", "messages", box=None)
        for topic, count in sorted(recorder.counts.items()):
            table.add_row(topic, str(count))
        Console(stderr=True).print(table)
    if recorder.failure is not None:
        kept = f"{total - recorder.lost} messages are kept, {recorder.lost} were lost"
        part = partial_path(recorder.path)
        right = (
            f"free space, then `knuckle record --recover {part}`" if part.exists() else "free space, or another disk"
        )
        raise RunError(f"{recorder.stopped}; {kept}", where=str(recorder.path), right=right)
    if not total:
        raise RunError("nothing was recorded: no message came", where="knuckle record", right="a graph on this domain")
    size = recorder.bytes_written / 1e6
    print(f"{recorder.path}: {total} messages, {size:.1f} MB ({recorder.stopped})", file=sys.stderr)
    return 0


def _recover(name: str) -> int:
    from knuckle_ros.recording.recover import recover

    target, count = recover(Path(name))
    print(f"{target}: {count} messages", file=sys.stderr)
    return 0
