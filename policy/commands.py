"""Commands of the policy room: ``knuckle eval reorient``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError


@dataclass(frozen=True)
class EvalReorient:
    """Judge a controller of in-hand reorientation by the protocol; doing nothing is judged beside it."""

    controller: str = setting("mpc", "the controller", choices=("mpc", "nothing", "random"))
    world: str = setting("table", "where the object is turned", choices=("table",))
    hand: str = setting("dclaw3", "the hand")
    episodes: int = setting(20, "number of episodes", low=1, high=100_000)
    seed: int = setting(1, "seed of placements and goals", low=0, high=2**31 - 1)
    threads: int = setting(2, "planner threads", low=1, high=64)
    json: str = setting("", "file to write the figures to")
    video: str = setting("", "file to write an MP4 of the first episode to")


def eval_reorient(argv: list[str]) -> int:
    """Run ``knuckle eval reorient``. Raises InputError for a name, number or folder that cannot be used."""
    config = parse_arguments(EvalReorient, argv, "knuckle eval reorient")
    from knuckle.core.figures import Figures, require_writable
    from knuckle.hardware.spec.hands import hand_spec
    from knuckle.policy.evaluation import evaluate
    from knuckle.policy.evaluation_report import print_report
    from knuckle.policy.reorient_score import figures_of

    for flag, name, what in (("--json", config.json, "the figures"), ("--video", config.video, "the video")):
        if name and not Path(name).parent.is_dir():
            raise InputError(f"no folder {Path(name).parent}", where=flag, right="a file in a folder that exists")
        if name:
            require_writable(Path(name), what=what)
    hand = hand_spec(config.hand, where="--hand")
    scores, beside = evaluate(
        hand,
        config.controller,
        episodes=config.episodes,
        seed=config.seed,
        threads=config.threads,
        video=Path(config.video) if config.video else None,
    )
    figures, intervals = figures_of(scores)
    nothing, _ = figures_of(beside)
    for name in ("success_0p1", "success_0p2", "success_0p4", "success_0p8", "drop_rate"):
        figures[f"nothing_{name}"] = nothing[name]
    print_report(config.controller, scores, beside)
    if config.json:
        command = ["knuckle", "eval", "reorient", *argv]
        Figures(command, asdict(config), config.seed, len(scores), figures, intervals).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0
