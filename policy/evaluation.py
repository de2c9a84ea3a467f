"""Judging a controller over many episodes, with doing nothing and random actions on the same starts beside it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from knuckle.policy.reorient_score import EpisodeScore
from knuckle.policy.reorient_task import ReorientTask

BESIDE = ("nothing", "random")
"""What is played beside any controller."""


def evaluate(task: ReorientTask, episodes: int, *, jobs: int = 1) -> dict[str, list[EpisodeScore]]:
    """Scores by name: the task's controller first, then `BESIDE`, on the same ``episodes`` starts.

    ``jobs`` processes play at once; how many changes no figure but times. InputError for a name that is not known.
    """
    task.starts(1)
    task.policy(0).close()
    names = list(dict.fromkeys([task.controller, *BESIDE]))
    scores: dict[str, dict[int, EpisodeScore]] = {name: {} for name in names}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        bar = progress.add_task(task.controller, total=episodes)
        for k, played in _played(task, names, episodes, jobs):
            for name in names:
                scores[name][k] = played[name]
            own = scores[task.controller].values()
            hits = sum(s.succeeded(0.4) for s in own)
            progress.update(bar, advance=1, description=f"{task.controller}: {hits} of {len(own)} within 0.4 rad")
    return {name: [scores[name][k] for k in range(episodes)] for name in names}


def play_all(task: ReorientTask, names: list[str], episodes: int, k: int) -> dict[str, EpisodeScore]:
    """Episode ``k`` of ``episodes``, played by each of ``names``."""
    start = task.start(k)
    policies = {name: task.policy(k) if name == task.controller else task.beside(name, k) for name in names}
    return {name: task.play(start, policy) for name, policy in policies.items()}


def _played(
    task: ReorientTask, names: list[str], episodes: int, jobs: int
) -> Iterator[tuple[int, dict[str, EpisodeScore]]]:
    """Each episode's number and scores, as they are done."""
    if jobs == 1:
        yield from ((k, play_all(task, names, episodes, k)) for k in range(episodes))
        return
    # Spawned: a forked copy of a process with rollout threads may hang.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(play_all, task, names, episodes, k): k for k in range(episodes)}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)
