"""``knuckle data show``, ``record`` and ``merge``: recorded experience, looked at, made and put together."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from knuckle.core.arguments import parse_arguments, parse_options
from knuckle.core.config import setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from knuckle.policy.offline_data.dataset import Dataset
    from knuckle.policy.offline_data.environments import OfflineTask

SHOW, RECORD, MERGE = "knuckle data show", "knuckle data record", "knuckle data merge"
LEARNED = ("ppo", "sac")


@dataclass(frozen=True)
class DataShow:
    """Say what a data set holds: episodes, returns, ends, ranges; every number in it is checked."""

    data: Annotated[str, arg(metavar="DATA", help="a folder, a file, or a name in runs/offline"), Positional] = ""
    time_limit: int = 0
    """steps after which episodes of a D4RL file without timeouts are cut"""
    json: str = ""
    """file to write the figures to"""
    plot: str = ""
    """file to write an SVG of the returns to"""


def show(argv: list[str]) -> int:
    """Run ``knuckle data show``; InputError in one line for data that cannot be used."""
    config = parse_options(DataShow, argv, SHOW)
    if not config.data:
        raise InputError("nothing to show", where=SHOW, right="a folder or file of recorded data")
    from rich.console import Console

    from knuckle.core.figures import Figures, require_writable
    from knuckle.policy.offline_data.describe_data import describe_data, print_description, returns_plot
    from knuckle.policy.offline_data.open_data import open_data

    for path in (config.json, config.plot):
        if path:
            require_writable(Path(path))
    data = open_data(config.data, time_limit=config.time_limit)
    told = describe_data(data)
    print_description(data, told, Console())
    if config.json:
        count = len(data.episodes)
        command = ["knuckle", "data", "show", *argv]
        Figures(command, asdict(config), 0, count, told.figures, told.intervals).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    if config.plot:
        _write(Path(config.plot), returns_plot(data, told) + "\n")
        sys.stdout.write(f"plot written to {config.plot}\n")
    return 0


@dataclass(frozen=True)
class DataRecord:
    """Record an agent in a task, or what a learner sees on its way, as a Minari data set."""

    task: str = setting("hopper", "hopper, walker2d, door, door-300 or pointmaze")
    agent: str = setting("", "a Stable-Baselines3 zip, random, walks (pointmaze), or ppo or sac to learn online")
    out: str = setting("", "folder to write; nothing may be there yet")
    steps: int = setting(200_000, "steps in all", low=1, high=100_000_000)
    seed: int = setting(1, "seed of the environment and of the agent's draws", low=0, high=2**31 - 1)
    noise: float = setting(0.0, "deviation added to actions, of half their range", low=0.0, high=10.0)
    deterministic: bool = setting(False, "the agent's likeliest actions instead of its own draws")
    worlds: int = setting(8, "environments side by side", low=1, high=1024)


def record_data(argv: list[str]) -> int:
    """Run ``knuckle data record``; InputError for a task, agent or folder that cannot be used."""
    config = parse_arguments(DataRecord, argv, RECORD)
    if not config.out or not config.agent:
        right = "--agent FILE.zip --out runs/offline/NAME-v0"
        raise InputError("no agent or no place to write", where=RECORD, right=right)
    from knuckle.core.figures import require_writable
    from knuckle.policy.offline_data.environments import offline_task
    from knuckle.policy.offline_data.minari_folder import require_new, write_minari

    out, task = Path(config.out), offline_task(config.task, where="--task")
    require_new(out)
    require_writable(out, what="the data set")
    data, algorithm = _recorded(config, task, out)
    data.require_shapes(task.observations, task.actions, task=task.name)
    settings = {name: value for name, value in asdict(config).items() if name != "out"}
    settings["agent"] = Path(config.agent).name
    write_minari(out, data, algorithm=algorithm, description=settings | {"gymnasium": _versions()})
    return _told(data, out)


def _recorded(config: DataRecord, task: OfflineTask, out: Path) -> tuple[Dataset, str]:
    """The data and what acted in them."""
    if config.agent == "walks":
        if task.name != "pointmaze":
            raise InputError("walks are recorded in a maze", where="--agent", right="--task pointmaze")
        from knuckle.policy.offline_data.point_maze import record_walks

        return record_walks(steps=config.steps, seed=config.seed, name=out.name), "waypoints"
    if config.agent in LEARNED:
        return _learned(config, task, out), config.agent.upper()
    from rich.progress import Progress

    from knuckle.policy.offline_data.recording import record

    agent, algorithm = _agent(config, task)
    with Progress(disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(out.name, total=config.steps)
        data = record(
            agent,
            lambda: task.make(_data_folder() if task.demonstrations else None),
            name=out.name,
            steps=config.steps,
            seed=config.seed,
            noise=config.noise,
            deterministic=config.deterministic,
            worlds=config.worlds,
            progress=lambda done: progress.update(bar, completed=done),
        )
    return data, algorithm


def _agent(config: DataRecord, task: OfflineTask) -> tuple[Any, str]:
    if config.agent == "random":
        from knuckle.policy.offline_data.recording import RandomAgent

        env = task.make()
        return RandomAgent(env.action_space.low, env.action_space.high, config.seed), "random"
    import torch

    from knuckle.policy.offline_data.sb3_actor import actor_weights
    from knuckle.policy.offline_data.torch_actor import TorchActor
    from knuckle.policy.sb3_zip import read_zip

    torch.set_num_threads(1)
    zipped = read_zip(Path(config.agent))
    actor = TorchActor(actor_weights(zipped))
    if (actor.weights.observations, actor.weights.actions) != (task.observations, task.actions):
        what = f"the agent has {actor.weights.observations} observations and {actor.weights.actions} actions"
        right = f"the {task.observations} and {task.actions} of {task.name}"
        raise InputError(what, where=config.agent, right=right)
    return actor, zipped.class_name("policy_class").removesuffix(".policies").rpartition(".")[2].upper()


def _learned(config: DataRecord, task: OfflineTask, out: Path) -> Dataset:
    import torch

    from knuckle.policy.offline_data.training_record import record_training

    torch.set_num_threads(1)

    def said(done: int, mean: float) -> None:
        sys.stdout.write(f"{done} steps, the last episodes return {mean:.0f}\n")
        sys.stdout.flush()

    run = out.with_name(f"{out.name}-run")
    make = lambda: task.make(_data_folder() if task.demonstrations else None)  # noqa: E731
    return record_training(
        run, make, name=out.name, algorithm=config.agent, steps=config.steps, seed=config.seed, told=said
    )


@dataclass(frozen=True)
class DataMerge:
    """Put data sets of one task together, or keep the beginning of one."""

    data: Annotated[
        tuple[str, ...], arg(metavar="DATA...", help="folders, files or names in runs/offline"), Positional
    ] = ()
    out: str = ""
    """folder to write; nothing may be there yet"""
    steps: int = 0
    """episodes from the first on until so many steps are kept of each; 0: all"""


def merge(argv: list[str]) -> int:
    """Run ``knuckle data merge``; InputError for data of different tasks, or a folder that cannot be used."""
    config = parse_options(DataMerge, argv, MERGE)
    if not config.data or not config.out or config.steps < 0:
        raise InputError("nothing to merge, or no place", where=MERGE, right="DATA... --out FOLDER, --steps 0 or more")
    from dataclasses import replace

    from knuckle.policy.offline_data.dataset import merged
    from knuckle.policy.offline_data.minari_folder import require_new, write_minari
    from knuckle.policy.offline_data.open_data import open_data

    out = Path(config.out)
    require_new(out)
    parts = [open_data(source) for source in config.data]
    whole = merged([part.first_steps(config.steps) if config.steps else part for part in parts])
    whole = replace(whole, name=out.name)
    told = {"merged": [part.name for part in parts], "steps_of_each": config.steps}
    write_minari(out, whole, algorithm="merged", description=told)
    return _told(whole, out)


def _told(data: Dataset, out: Path) -> int:
    from rich.console import Console

    from knuckle.policy.offline_data.describe_data import describe_data, print_description

    print_description(data, describe_data(data), Console())
    sys.stdout.write(f"data set in {out}\n")
    return 0


def _write(path: Path, text: str) -> None:
    from knuckle.core.errors import RunError
    from knuckle.core.figures import write_text

    try:
        write_text(path, text)
    except OSError as error:
        right = "a file in a folder of yours"
        raise RunError(f"it cannot be written ({error.strerror})", where=str(path), right=right) from error


def _data_folder() -> Path | None:
    named = os.environ.get("KNUCKLE_DATA")
    return Path(named) if named else None


def _versions() -> dict[str, str]:
    import gymnasium
    import mujoco

    from knuckle.policy.offline_data.environments import robotics_version

    return {"gymnasium": gymnasium.__version__, "mujoco": mujoco.__version__, "gymnasium_robotics": robotics_version()}
