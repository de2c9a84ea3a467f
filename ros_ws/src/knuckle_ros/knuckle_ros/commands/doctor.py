"""`knuckle doctor`: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_options
from knuckle.core.figures import machine, write_text

if TYPE_CHECKING:
    from knuckle_ros.doctor import Finding


@dataclass(frozen=True)
class DoctorConfig:
    """Say what this machine, or with --hand a real hand, can do and what would help the rest.

    Exit code 1 where the demo, or the hand, cannot run.
    """

    domain: int = -1
    """ROS domain that is meant, 0 to 101; -1 for that of ROS_DOMAIN_ID, or 0."""
    page_port: int = 8080
    """Port that the page would have."""
    hand: bool = False
    """Look at a real hand instead: port, servos, temperatures, calibration. Nothing moves."""
    model: str = "dclaw3"
    """Which hand it is."""
    port: str = ""
    """Its port, or virtual; empty for the only one connected."""
    baud: int = 0
    """Baud rate of its servos; 0 for that of the hand."""
    calibration: Path | None = None
    """Its calibration file; the user's own of that model where none is named."""
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
    findings = _hand(config) if config.hand else examine(ros_domain(config.domain), config.page_port)
    table = Table("", "", "found", "what would help", box=None, pad_edge=False)
    for finding in findings:
        level = Text(finding.level, styles[finding.level])
        table.add_row(finding.name, level, Text(finding.found), Text(finding.remedy))
    Console().print(table)
    if config.json is not None:
        content = {"command": ["doctor", *argv], "findings": [asdict(f) for f in findings], "machine": machine()}
        write_text(config.json, json.dumps(content, indent=2) + "\n")
    return 1 if any(finding.level == BROKEN for finding in findings) else 0


def _hand(config: DoctorConfig) -> list[Finding]:
    """What is seen of a hand; InputError where there is no port, or one too many."""
    from knuckle.hardware.calibrate_commands import servo_port
    from knuckle.hardware.dynamixel.hand_doctor import examine_hand
    from knuckle.hardware.spec.hands import hand_spec
    from knuckle_ros.doctor import Finding

    spec = hand_spec(config.model, where="--model")
    with servo_port(config.port, config.model) as port:
        seen = examine_hand(spec, port, baud=config.baud, calibration=config.calibration)
    return [Finding(thing.name, thing.level, thing.found, thing.remedy) for thing in seen]
