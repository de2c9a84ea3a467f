"""Judging a controller over many episodes, with doing nothing on the same starts beside it."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.baselines import DoNothing
from knuckle.policy.controllers import make_controller
from knuckle.policy.episode_video import film_episode
from knuckle.policy.reorient_episode import draw_starts, run_episode
from knuckle.policy.reorient_score import EpisodeScore


def evaluate(
    hand: HandSpec, controller: str, *, episodes: int, seed: int, threads: int = 2, video: Path | None = None
) -> tuple[list[EpisodeScore], list[EpisodeScore]]:
    """Scores of ``controller`` and of doing nothing, on the same ``episodes`` starts drawn with ``seed``.

    Each episode has a controller of its own seed, so that any one of them can be played again alone.
    """
    starts = draw_starts(seed, episodes)
    make_controller(controller, hand, threads=threads).close()
    scores, beside = [], []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(controller, total=episodes)
        for k, start in enumerate(starts):
            policy = make_controller(controller, hand, seed=seed + k, threads=threads)
            if k == 0 and video is not None:
                scores.append(film_episode(hand, policy, start, video))
            else:
                scores.append(run_episode(hand, policy, start))
            policy.close()
            beside.append(run_episode(hand, DoNothing(hand), start))
            hits = sum(s.succeeded(0.4) for s in scores)
            progress.update(task, advance=1, description=f"{controller}: {hits} of {k + 1} within 0.4 rad")
    return scores, beside
