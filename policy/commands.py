"""Commands of the policy room: ``knuckle eval reorient``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from knuckle.policy.reorient_score import EpisodeScore
    from knuckle.policy.reorient_task import ReorientTask

COMPARED = ("success_0p1", "success_0p2", "success_0p4", "success_0p8", "drop_rate")
"""Figures that are written of what is played beside the controller too."""


@dataclass(frozen=True)
class EvalReorient:
    """Judge a controller of in-hand reorientation by the protocol; doing nothing and random actions beside it."""

    controller: str = setting("mpc", "mpc, nothing, random, a trained policy or the folder of one")
    world: str = setting("table", "where the object is turned; in the air the table goes", choices=("table", "air"))
    hand: str = setting("dclaw3", "the hand: dclaw3 or dclaw4")
    objects: str = setting("train", "train, novel, all, a family or an object")
    rung: str = setting("so3", "how far goals are: yaw60, 30, 60, 90 or so3")
    state: str = setting("privileged", "what the controller sees", choices=("privileged", "perceived"))
    episodes: int = setting(20, "number of episodes", low=1, high=100_000)
    goals: int = setting(1, "goals of an episode, each given where the one before it ended", low=1, high=1000)
    seed: int = setting(1, "seed of placements and goals", low=0, high=2**31 - 1)
    threads: int = setting(1, "planner threads of one episode", low=1, high=64)
    jobs: int = setting(2, "episodes played at once, each in a process of its own", low=1, high=64)
    planner: str = setting("", "settings of the planner: samples=64,horizon=16")
    json: str = setting("", "file to write the figures to")
    page: str = setting("", "file to write the report to, with videos: one HTML page")
    video: str = setting("", "file to write an MP4 of the first episode to")


def eval_reorient(argv: list[str]) -> int:
    """Run ``knuckle eval reorient``. Raises InputError for a name, number or folder that cannot be used."""
    config = parse_arguments(EvalReorient, argv, "knuckle eval reorient")
    from knuckle.policy.evaluation import evaluate
    from knuckle.policy.evaluation_report import print_report
    from knuckle.policy.reorient_score import figures_of

    _require_places(config)
    task = _task(config)
    results = evaluate(task, config.episodes, jobs=config.jobs)
    scores = results[config.controller]
    figures, intervals = figures_of(scores)
    for name, beside in results.items():
        if name != config.controller:
            others, _ = figures_of(beside)
            figures |= {f"{name}_{key}": others[key] for key in COMPARED}
    print_report(task, results)
    if config.json:
        from knuckle.core.figures import Figures

        command = ["knuckle", "eval", "reorient", *argv]
        Figures(command, asdict(config), config.seed, len(scores), figures, intervals).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    _show(config, task, results)
    return 0


def _task(config: EvalReorient) -> ReorientTask:
    from knuckle.policy.reorient_task import ReorientTask

    return ReorientTask(
        controller=config.controller,
        world=config.world,
        hand=config.hand,
        objects=config.objects,
        rung=config.rung,
        state=config.state,
        seed=config.seed,
        threads=config.threads,
        goals=config.goals,
        planner=parse_pairs(config.planner, where="--planner"),
    )


def _require_places(config: EvalReorient) -> None:
    """InputError where what the run is to leave could not be written: found out before it, not after."""
    from knuckle.core.figures import require_writable

    wanted = (
        ("--json", config.json, "the figures"),
        ("--page", config.page, "the report"),
        ("--video", config.video, "the video"),
    )
    for flag, name, what in wanted:
        if name and not Path(name).parent.is_dir():
            raise InputError(f"no folder {Path(name).parent}", where=flag, right="a file in a folder that exists")
        if name:
            require_writable(Path(name), what=what)


def _show(config: EvalReorient, task: ReorientTask, results: dict[str, list[EpisodeScore]]) -> None:
    """The film of the first episode and the page, where they are asked for; films are of first goals."""
    starts, task = task.starts(config.episodes), replace(task, goals=1)
    if config.video:
        from knuckle.policy.episode_video import film_episode

        film_episode(task, starts[0], task.policy(0), Path(config.video))
        sys.stdout.write(f"video written to {config.video}\n")
    if config.page:
        from knuckle.hardware.spec.hands import hand_spec
        from knuckle.policy.evaluation_page import write_page
        from knuckle.policy.reorient_episode import Watcher
        from knuckle.policy.reorient_score import figures_of
        from knuckle.policy.video_sheet import film_sheet

        def again(k: int, watch: Watcher) -> EpisodeScore:
            return task.play(starts[k], task.policy(k), watch)

        film = film_sheet(results[config.controller], again, rate_hz=hand_spec(config.hand).control_rate_hz)
        figures = {name: figures_of(scores)[0] for name, scores in results.items()}
        intervals = {name: figures_of(scores)[1] for name, scores in results.items()}
        shown = ("controller", "world", "hand", "objects", "rung", "state", "episodes", "goals", "seed", "planner")
        protocol = {name: str(getattr(config, name)) for name in shown if getattr(config, name) != ""}
        title = f"Reorientation by {config.controller}"
        write_page(Path(config.page), title, protocol, results, figures, intervals, film)
        sys.stdout.write(f"report written to {config.page}\n")
