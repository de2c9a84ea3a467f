"""``knuckle train foresight``: what chunks do, labelled by simulation and learned, so that none is needed to choose."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from knuckle.policy.foresight.foresight_config import ForesightConfig
    from knuckle.policy.foresight.foresight_run import ForesightRun

CONFIG = "run.json"


@dataclass(frozen=True)
class TrainForesight:
    """Learn what chunks of postures do to objects. The same command goes on with a run that ended early."""

    policy: str = setting("reorient-chunks", "the policy that draws the chunks: one of ours or its folder")
    run: str = setting("runs/reorient-foresight", "folder of the run")
    hand: str = setting("dclaw3", "the hand: dclaw3 or dclaw4")
    set: str = setting("", "settings that differ: label.episodes=500,net.updates=4000,use.drawn=32")
    minutes: float = setting(0.0, "minutes after which no further episode is labelled, 0: no bound", low=0.0, high=1e5)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    jobs: int = setting(2, "episodes played at once, each in a process of its own", low=1, high=64)
    judged: int = setting(50, "episodes of the protocol on each rung at the end", low=0, high=100_000)
    rungs: str = setting("yaw60+60+90+so3", "rungs that are judged, with + between")
    json: str = setting("", "file to write the figures to")
    settings: bool = setting(False, "list what --set can change, and end")


def train_foresight(argv: list[str]) -> int:
    """Run ``knuckle train foresight``. Raises InputError for a setting or a folder that cannot be used."""
    config = parse_arguments(TrainForesight, argv, "knuckle train foresight")
    from rich.console import Console

    from knuckle.policy.cloning.clone_command import judge, print_settings
    from knuckle.policy.foresight.foresight_config import make_foresight
    from knuckle.policy.foresight.foresight_run import ForesightRun
    from knuckle.policy.learned.run_folder import RunFolder
    from knuckle.sim.reorient.rungs import find_rung

    console = Console()
    rungs = [find_rung(rung, where="--rungs").name for rung in config.rungs.split("+")]
    changes = parse_pairs(config.set, where="--set")
    wanted = make_foresight(config.policy, config.hand, changes, seed=config.seed)
    if config.settings:
        print_settings(wanted, ("label", "net", "use"), console)
        return 0
    if config.json:
        from knuckle.core.figures import require_writable

        require_writable(Path(config.json))
    folder = RunFolder(Path(config.run))
    run = ForesightRun(wanted, folder.path, console)
    _begin(folder.path / CONFIG, wanted)
    folder.lock()
    figures = learn(run, console, jobs=config.jobs, minutes=config.minutes)
    scores: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    if figures:
        scores, intervals = judge(
            run.policy, run.hand, wanted.label.objects, rungs, config.judged, config.jobs, console
        )
    if config.json:
        from knuckle.core.figures import Figures

        command = ["knuckle", "train", "foresight", *argv]
        known = Figures(command, asdict(config), config.seed, config.judged, figures | scores, intervals)
        known.write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


def learn(run: ForesightRun, console: Console, *, jobs: int, minutes: float) -> dict[str, float]:
    """All rounds that are not done yet, or as many as are labelled within ``minutes``; the figures of the last one."""
    begun = time.perf_counter()
    figures: dict[str, float] = {}
    for k in range(run.config.label.rounds + 1):
        left = minutes - (time.perf_counter() - begun) / 60.0
        if run.unlabelled(k) and (minutes == 0.0 or left > 0.0):
            run.label(k, jobs=jobs, minutes=left if minutes > 0.0 else 0.0)
        if run.unlabelled(k):
            console.print(f"round {k} is not complete: the same command goes on with it", soft_wrap=True)
            break
        figures = run.learn(k)
        hours = (figures["label_cpu_s"] + figures["fit_cpu_s"]) / 3600
        console.print(
            f"round {k}: {figures['episodes']:.0f} episodes, {figures['decisions']:.0f} decisions, "
            f"{figures['explained']:.0%} of the turns and {figures['told_apart']:.0%} of how they differ within a "
            f"decision foretold on episodes held back, {hours:.2f} CPU-hours with labelling; policy in {run.policy}",
            soft_wrap=True,
            highlight=False,
        )
    return figures


def _begin(path: Path, config: ForesightConfig) -> None:
    """Note the settings of a new run; InputError where those of another run are here.

    Only how what is learned is used may be another: the policy is written anew each time.
    """
    from knuckle.core.figures import write_text

    wanted = json.loads(json.dumps(config.facts()))
    if path.is_file():
        try:
            here: Any = json.loads(path.read_text(encoding="utf-8"))
            known = _flat(here)
        except (OSError, ValueError, RecursionError, AttributeError) as error:
            raise InputError(
                f"the settings cannot be read ({error})", where=str(path), right="another --run"
            ) from error
        for name, value in _flat(wanted).items():
            if known.get(name) != value and not name.startswith("use."):
                what = f"the run here has {name} {known.get(name)}, not {value}"
                raise InputError(what, where=str(path.parent), right="the same settings, or another --run")
    write_text(path, json.dumps(wanted, indent=2) + "\n")


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    """Settings by part and name."""
    flat = {name: value for name, value in facts.items() if not isinstance(value, dict)}
    parts = ((part, value) for part, value in facts.items() if isinstance(value, dict))
    return flat | {f"{part}.{name}": value for part, values in parts for name, value in values.items()}
