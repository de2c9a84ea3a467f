"""``knuckle collect``: plays a controller by the protocol's starts and keeps every step, to learn from."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import parse_pairs, setting
from knuckle.core.errors import RunError
from knuckle.core.orphan import end_with_parent

if TYPE_CHECKING:
    from rich.console import Console

    from knuckle.policy.collect.collection import Collection
    from knuckle.policy.collect.recorder import Recorded


@dataclass(frozen=True)
class Collect:
    """Collect episodes of a controller into a Minari data set. The same command goes on where it was ended."""

    out: str = setting("runs/episodes", "folder of the collection")
    controller: str = setting("mpc", "mpc, nothing, random, a trained policy or the folder of one")
    world: str = setting("table", "where the object is turned; in the air the table goes", choices=("table", "air"))
    hand: str = setting("dclaw3", "the hand: dclaw3 or dclaw4")
    objects: str = setting("train", "train, novel, all, a family or an object")
    rung: str = setting("so3", "how far goals are: yaw60, 30, 60, 90 or so3")
    episodes: int = setting(100, "episodes in all", low=1, high=1_000_000)
    minutes: float = setting(0.0, "minutes after which no further episode is begun, 0: no bound", low=0.0, high=1e5)
    seed: int = setting(1, "seed of placements and goals", low=0, high=2**31 - 1)
    jobs: int = setting(2, "episodes played at once, each in a process of its own", low=1, high=64)
    planner: str = setting("", "settings of the planner: samples=64,horizon=16")
    describe: str = setting("", "folder of a collection: say what is in it, and end")


def collect(argv: list[str]) -> int:
    """Run ``knuckle collect``. Raises InputError for a name, number or folder that cannot be used."""
    config = parse_arguments(Collect, argv, "knuckle collect")
    from rich.console import Console

    from knuckle.policy.collect.collection import DATASET, Collection, open_collection
    from knuckle.policy.collect.describe import print_description, write_description
    from knuckle.policy.collect.minari_dataset import write_dataset
    from knuckle.policy.collect.recorder import record
    from knuckle.policy.reorient_task import ReorientTask

    console = Console()
    if config.describe:
        print_description(open_collection(Path(config.describe)).described(console), console)
        return 0
    planner = parse_pairs(config.planner, where="--planner")
    named = ("controller", "world", "hand", "objects", "rung", "seed")
    settings = {name: getattr(config, name) for name in named}
    task = ReorientTask(**settings, planner=planner)
    task.starts(1)
    task.policy(0).close()
    collection = Collection(Path(config.out), settings | {"planner": planner})
    begun = len(collection.kept())
    if begun:
        console.print(f"goes on after {begun} episodes")
    play_missing(
        collection,
        partial(record, task),
        config.episodes,
        jobs=config.jobs,
        minutes=config.minutes,
        console=console,
        name=config.controller,
    )
    told, episodes = collection.described(console), collection.usable(console)
    budget = {"episodes_wanted": config.episodes, "minutes_wanted": config.minutes}
    told = write_description(collection.path, told | budget)
    name = f"knuckle/{Path(config.out).name}-v0"
    write_dataset(collection.path / DATASET, episodes, name=name, controller=config.controller, description=told)
    print_description(told, console)
    console.print(f"data set in {collection.path / DATASET}", soft_wrap=True)
    return 0


def play_missing(
    collection: Collection,
    play: Callable[[int], Recorded],
    episodes: int,
    *,
    jobs: int,
    minutes: float,
    console: Console,
    name: str,
) -> None:
    """Play what is missing of ``episodes`` in ``jobs`` processes, ``name`` says of what; each is kept as it ends.

    An episode in which the simulation breaks down is noted and not played again; RunError where that are too many.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    missing, begun = collection.missing(episodes), time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Spawned: a forked copy of a process with rollout threads may hang.
    context = multiprocessing.get_context("spawn")
    pool_of_workers = ProcessPoolExecutor(jobs, mp_context=context, initializer=end_with_parent)
    with pool_of_workers as pool, Progress(*columns, console=console) as progress:
        bar = progress.add_task(name, total=episodes, completed=episodes - len(missing))
        running: dict[Future[Recorded], int] = {}
        waiting, won, done = iter(missing), 0, 0
        while True:
            late = minutes > 0.0 and time.perf_counter() - begun > 60.0 * minutes
            while not late and len(running) < jobs and (k := next(waiting, None)) is not None:
                running[pool.submit(play, k)] = k
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                k = running.pop(future)
                try:
                    episode = future.result()
                except RunError as error:
                    collection.note_broken(k, error)
                    continue
                collection.add(k, episode)
                done, won = done + 1, won + int(episode.facts["succeeded"])
                progress.update(bar, advance=1, description=f"{name}: {won} of {done} succeeded")
