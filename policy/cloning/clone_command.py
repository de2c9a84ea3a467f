"""``knuckle train clone``: a policy from a planner's episodes; goes on with a run that is there, leaves a policy."""

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

    from knuckle.hardware.spec.hand_spec import HandSpec
    from knuckle.policy.cloning.clone_config import Cloning
    from knuckle.policy.cloning.clone_run import CloneRun

CONFIG = "run.json"


@dataclass(frozen=True)
class TrainClone:
    """Learn to turn objects from a planner's episodes. The same command goes on with a run that ended early."""

    episodes: str = setting("runs/episodes", "collections of knuckle collect, with + between")
    run: str = setting("runs/reorient-clone", "folder of the run")
    hand: str = setting("dclaw3", "the hand: dclaw3 or dclaw4")
    set: str = setting("", "settings that differ: fit.width=128,rows.hindsight=0,dagger.rounds=0")
    minutes: float = setting(0.0, "minutes after which the planner is asked no more, 0: no bound", low=0.0, high=1e5)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    jobs: int = setting(2, "episodes played at once, each in a process of its own", low=1, high=64)
    judged: int = setting(50, "episodes of the protocol on each rung at the end", low=0, high=100_000)
    rungs: str = setting("yaw60+60+90+so3", "rungs that are judged, with + between")
    json: str = setting("", "file to write the figures to")
    settings: bool = setting(False, "list what --set can change, and end")


def train_clone(argv: list[str]) -> int:
    """Run ``knuckle train clone``. Raises InputError for a setting or a folder that cannot be used."""
    config = parse_arguments(TrainClone, argv, "knuckle train clone")
    from rich.console import Console

    from knuckle.policy.cloning.clone_config import make_cloning
    from knuckle.policy.cloning.clone_run import CloneRun
    from knuckle.policy.learned.run_folder import RunFolder
    from knuckle.sim.reorient.rungs import find_rung

    console = Console()
    rungs = [find_rung(rung, where="--rungs").name for rung in config.rungs.split("+")]
    changes = parse_pairs(config.set, where="--set")
    cloning = make_cloning(config.hand, config.episodes, changes, seed=config.seed)
    if config.settings:
        print_settings(cloning, ("rows", "fit", "chunk", "dagger", "done"), console)
        return 0
    if config.json:
        from knuckle.core.figures import require_writable

        require_writable(Path(config.json))
    folder = RunFolder(Path(config.run))
    run = CloneRun(cloning, folder.path, console)
    _begin(folder.path / CONFIG, cloning)
    folder.lock()
    figures = learn(run, console, jobs=config.jobs, minutes=config.minutes)
    protocol = (run.policy, run.hand, run.cloning.dagger.objects)
    scores, intervals = judge(*protocol, rungs, config.judged, config.jobs, console)
    if config.json:
        from knuckle.core.figures import Figures

        command = ["knuckle", "train", "clone", *argv]
        known = Figures(command, asdict(config), config.seed, config.judged, figures | scores, intervals)
        known.write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


def learn(run: CloneRun, console: Console, *, jobs: int, minutes: float) -> dict[str, float]:
    """All rounds that are not done yet, or as many as begin within ``minutes``; the figures of the last one."""
    begun = time.perf_counter()
    figures: dict[str, float] = {}
    for k in range(run.cloning.dagger.rounds + 1):
        if run.asks(k):
            left = minutes - (time.perf_counter() - begun) / 60.0
            if minutes == 0.0 or left > 0.0:
                run.ask(k, jobs=jobs, minutes=left if minutes > 0.0 else 0.0)
            if run.asks(k):
                console.print(f"round {k} is not complete: the same command goes on with it", soft_wrap=True)
                break
        figures = run.learn(k)
        hours = (figures["collect_cpu_s"] + figures["fit_cpu_s"]) / 3600
        alone = figures["learner_succeeded"]
        asked = f", learner alone {alone:.0%} while asked" if alone == alone else ""
        console.print(
            f"round {k}: {figures['episodes']:.0f} episodes, {figures['rows']:.0f} rows, error "
            f"{figures['held_back_error']:.3f} of {figures['held_back_spread']:.3f} on episodes held back{asked}, "
            f"{hours:.2f} CPU-hours with collection; policy in {run.policy}",
            soft_wrap=True,
            highlight=False,
        )
    return figures


def judge(
    policy: Path, hand: HandSpec, objects: str, rungs: list[str], episodes: int, jobs: int, console: Console
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Play ``episodes`` of the protocol on each of ``rungs`` with the policy in the folder ``policy``, note them in its
    card; figures and intervals by rung."""
    from knuckle.policy.evaluation import evaluate
    from knuckle.policy.learned.export import write_scores
    from knuckle.policy.reorient_score import figures_of
    from knuckle.policy.reorient_task import ReorientTask

    told: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for rung in rungs if episodes else []:
        task = ReorientTask(str(policy), hand=hand.name, rung=rung, objects=objects)
        figures, intervals = figures_of(evaluate(task, episodes, jobs=jobs)[task.controller])
        protocol = f"{rung}, {task.objects}, table, privileged, {episodes} episodes, seed {task.seed}"
        write_scores(policy, hand, protocol, figures)
        told |= {f"{rung}_{name}": value for name, value in figures.items()}
        bounds |= {f"{rung}_{name}": value for name, value in intervals.items()}
        low, high = intervals["success_0p4"]
        console.print(
            f"{rung}: {figures['success_0p4']:.0%} [{low:.0%}, {high:.0%}] within 0.4 rad by all five conditions, "
            f"{figures['drop_rate']:.0%} dropped",
            soft_wrap=True,
            highlight=False,
        )
    return told, bounds


def _begin(path: Path, cloning: Cloning) -> None:
    """Note the settings of a new run; InputError where those of another run are here."""
    from knuckle.core.figures import write_text
    from knuckle.policy.cloning.clone_run import ASKED

    wanted = json.loads(json.dumps(cloning.facts()))
    if not path.is_file():
        write_text(path, json.dumps(wanted, indent=2) + "\n")
        return
    try:
        here: Any = json.loads(path.read_text(encoding="utf-8"))
        differ = [name for name in wanted if here.get(name) != wanted[name]]
    except (OSError, ValueError, RecursionError, AttributeError) as error:
        raise InputError(f"the settings cannot be read ({error})", where=str(path), right="another --run") from error
    # More rounds or starts only go on where fewer ended; before anything was asked, how it is asked is open.
    counted, unasked = ("rounds", "episodes"), not (path.parent / ASKED.format(1)).is_dir()
    same = unasked or _without(here["dagger"], counted) == _without(wanted["dagger"], counted)
    if differ == ["dagger"] and same:
        write_text(path, json.dumps(wanted, indent=2) + "\n")
        return
    if differ:
        name = differ[0]
        what = f"the run here has {name} {here.get(name)}, not {wanted[name]}"
        raise InputError(what, where=str(path.parent), right="the same settings, or another --run")


def _without(settings: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in dict(settings).items() if name not in names}


def print_settings(held: Any, parts: tuple[str, ...], console: Console) -> None:
    """Name, value, range and meaning of each setting in ``parts`` of ``held``."""
    from rich.table import Table

    from knuckle.core.config import describe

    table = Table("setting", "value", "range", "", box=None, pad_edge=False)
    for part in parts:
        config = getattr(held, part)
        for spec in describe(type(config)):
            limits = "" if spec.low is None or spec.high is None else f"{spec.low:g} to {spec.high:g}"
            table.add_row(f"{part}.{spec.name}", str(getattr(config, spec.name)), limits, spec.help)
    console.print(table)
