"""Commands of the policy room: ``knuckle eval reorient``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class EvalReorient:
    """Judge a controller of in-hand reorientation by the protocol; doing nothing is judged beside it."""

    controller: str = "mpc"
    """mpc, nothing or random"""
    world: str = "table"
    """table"""
    hand: str = "dclaw3"
    """the hand"""
    episodes: int = 20
    """number of episodes"""
    seed: int = 1
    """seed of placements and goals"""
    threads: int = 2
    """planner threads"""
    json: Path | None = None
    """write the figures to this file"""
    video: Path | None = None
    """write an MP4 of the first episode to this file"""


def eval_reorient(argv: list[str]) -> int:
    """Run ``knuckle eval reorient``. Raises InputError for a name or number that cannot be used."""
    config = tyro.cli(EvalReorient, args=argv, prog="knuckle eval reorient")
    from knuckle.core.errors import InputError, unknown_name
    from knuckle.core.figures import Figures
    from knuckle.hardware.spec.hands import hand_spec
    from knuckle.policy.evaluation import evaluate
    from knuckle.policy.evaluation_report import print_report
    from knuckle.policy.reorient_score import figures_of

    hand = hand_spec(config.hand, where="--hand")
    if config.world != "table":
        raise unknown_name("world", config.world, ["table"], where="--world")
    if not 1 <= config.episodes <= 100_000:
        raise InputError(f"{config.episodes} episodes", where="--episodes", right="1 to 100000")
    scores, beside = evaluate(
        hand,
        config.controller,
        episodes=config.episodes,
        seed=config.seed,
        threads=config.threads,
        video=config.video,
    )
    figures, intervals = figures_of(scores)
    nothing, _ = figures_of(beside)
    for name in ("success_0p1", "success_0p2", "success_0p4", "success_0p8", "drop_rate"):
        figures[f"nothing_{name}"] = nothing[name]
    print_report(config.controller, scores, beside)
    if config.json is not None:
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
        command = ["knuckle", "eval", "reorient", *argv]
        Figures(command, plain, config.seed, len(scores), figures, intervals).write(config.json)
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0
