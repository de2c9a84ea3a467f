"""`knuckle doctor`: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_options
from knuckle.core.figures import machine, write_text


@dataclass(frozen=True)
class DoctorConfig:
    """Say what this machine can do and what to install for the rest; exit code 1 where the demo cannot run."""

    domain: int = -1
    """ROS domain that is meant, 0 to 101; -1 for that of ROS_DOMAIN_ID, or 0."""
    page_port: int = 8080
    """Port that the page would have."""
    json: Path | None = None
    """Write the findings to this file as well."""


def doctor(argv: list[str]) -> int:
    """Run the command."""
    config = parse_options(DoctorConfig, argv, "knuckle doctor")
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from knuckle_ros.commands.run import ros_domain
    from knuckle_ros.doctor import BROKEN, LACKING, OK, examine

    styles = {OK: "green", LACKING: "yellow", BROKEN: "red"}
    findings = examine(ros_domain(config.domain), config.page_port)
    table = Table("", "", "found", "what would help", box=None, pad_edge=False)
    for finding in findings:
        level = Text(finding.level, styles[finding.level])
        table.add_row(finding.name, level, Text(finding.found), Text(finding.remedy))
    Console().print(table)
    if config.json is not None:
        content = {"command": ["doctor", *argv], "findings": [asdict(f) for f in findings], "machine": machine()}
        write_text(config.json, json.dumps(content, indent=2) + "\n")
    return 1 if any(finding.level == BROKEN for finding in findings) else 0
