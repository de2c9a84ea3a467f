"""A run of cloning in its folder: learn from the episodes, ask the planner where the learner got to, learn again.

run.json                     the settings
episodes-01/                 what round 1 of asking again collected, as `knuckle collect` keeps it
network-00.safetensors       what was learned of the episodes, -01 after round 1 of asking again, with its figures
policy/                      the last of these to be deployed: card.json, policy.onnx

Whatever is there already is not done again, so the same command goes on after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.cloning.chunk_fit import fit_chunks
from knuckle.policy.cloning.chunk_rows import chunk_rows
from knuckle.policy.cloning.clone_config import Cloning
from knuckle.policy.cloning.fit import Fitted, fit
from knuckle.policy.cloning.network_file import read_network, write_network
from knuckle.policy.cloning.rows import rows_of
from knuckle.policy.cloning.takeover import TakeoverTask
from knuckle.policy.collect.collect_command import play_missing
from knuckle.policy.collect.collection import Collection, open_collection
from knuckle.policy.collect.recorder import Episode
from knuckle.policy.learned.chunk_graph import ChunkActor
from knuckle.policy.learned.export import export_chunks, export_policy
from knuckle.policy.reorient_task import ReorientTask

if TYPE_CHECKING:
    from rich.console import Console

ASKED = "episodes-{:02d}"
"""The folder of what a round of asking again collected."""
ASK_SEED = 40_000
"""Added to the run's with each round's number: its starts are none of those that are judged on."""


class CloneRun:
    """Cloning ``cloning`` in ``path``. InputError where its episodes are not there or of another hand."""

    def __init__(self, cloning: Cloning, path: Path, console: Console) -> None:
        self.cloning, self.path, self.console = cloning, path, console
        self.hand = hand_spec(cloning.hand)
        self.policy = path / "policy"
        self.given: list[Episode] = []
        for name in cloning.sources:
            source = open_collection(Path(name))
            if (hand := source.settings.get("hand", cloning.hand)) != cloning.hand:
                raise InputError(f"episodes of {hand}", where=name, right=f"episodes of {cloning.hand}")
            self.given += source.usable(console)

    def asks(self, k: int) -> bool:
        """Whether the planner is yet to be asked in round ``k``."""
        return k > 0 and bool(self._collection(k).missing(self.cloning.dagger.episodes))

    def ask(self, k: int, *, jobs: int, minutes: float) -> None:
        """Play what is missing of the starts of round ``k``, begun within ``minutes`` (0: no bound)."""
        dagger = self.cloning.dagger
        task = ReorientTask(
            dagger.expert,
            hand=self.cloning.hand,
            objects=dagger.objects,
            rung=self.cloning.rungs[0],
            seed=self._seed(k),
        )
        play = TakeoverTask(task, str(self.path / f"policy-{k - 1:02d}"), self.cloning.rungs).record
        play_missing(
            self._collection(k),
            play,
            dagger.episodes,
            jobs=jobs,
            minutes=minutes,
            console=self.console,
            name=f"round {k}, the planner after the learner",
        )

    def learn(self, k: int) -> dict[str, float]:
        """Learn of all that is there in round ``k``, and export what was learned; its figures."""
        path = self.path / f"network-{k:02d}.safetensors"
        if not path.is_file():
            self._learn(k, path)
        fitted, figures = read_network(path, self.hand)
        self._export(k, fitted, figures)
        return figures

    def episodes(self, k: int) -> list[Episode]:
        """All that round ``k`` learns from."""
        asked = [self._collection(j).usable(self.console) for j in range(1, k + 1)]
        return [*self.given, *(episode for part in asked for episode in part)]

    def _collection(self, k: int) -> Collection:
        settings = {"controller": "takeover", "hand": self.cloning.hand, "rung": self.cloning.dagger.rungs}
        return Collection(self.path / ASKED.format(k), settings | {"seed": self._seed(k)})

    def _seed(self, k: int) -> int:
        return self.cloning.seed + ASK_SEED + k

    def _learn(self, k: int, path: Path) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        used, episodes = time.process_time(), self.episodes(k)
        chunk = self.cloning.chunk
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(f"round {k}", total=chunk.updates if chunk.length else self.cloning.fit.epochs)

            def seen(done: int, loss: float) -> None:
                progress.update(bar, completed=done, description=f"round {k}: loss {loss:.3f}")

            fitted, told = self._fitted(k, episodes, seen)
        asked = [e.facts["learner_succeeded"] for e in episodes if "learner_succeeded" in e.facts]
        figures = {
            "round": float(k),
            "episodes": float(len(episodes)),
            **told,
            "collect_cpu_s": sum(float(episode.facts["cpu_s"]) for episode in episodes),
            "fit_cpu_s": time.process_time() - used,
            "learner_succeeded": float(np.mean(asked)) if asked else float("nan"),
        }
        write_network(path, fitted, figures)

    def _fitted(
        self, k: int, episodes: list[Episode], seen: Callable[[int, float], None]
    ) -> tuple[Fitted | ChunkActor, dict[str, float]]:
        """What is learned of ``episodes`` in round ``k``, chunks or actions, and how well."""
        cloning, seed = self.cloning, self.cloning.seed + k
        if (chunk := cloning.chunk).length:
            chunks = chunk_rows(episodes, self.hand, cloning.rows, length=chunk.length, smooth_steps=chunk.smooth_steps)
            actor, error = fit_chunks(chunks, self.hand, chunk, seed=seed, seen=seen)
            return actor, {"rows": float(len(chunks)), "held_back_error": error, "held_back_spread": 1.0}
        rows = rows_of(episodes, self.hand, cloning.rows, np.random.default_rng([cloning.seed, k]))
        fitted = fit(rows, self.hand, cloning.fit, seed=seed, seen=seen)
        told = {"held_back_error": fitted.error, "held_back_spread": fitted.spread}
        return fitted, {"rows": float(len(rows))} | told

    def _export(self, k: int, fitted: Fitted | ChunkActor, figures: dict[str, float]) -> None:
        """Write the policy, and the round's own, which the planner is to take over from."""
        observed = np.concatenate([episode.observations for episode in self.given[:8]]).astype(np.float64)
        facts = self.cloning.facts() | {
            "method": "cloning of the planner" + (f", {k} rounds of asking again" if k else ""),
            "figures": {name: value for name, value in figures.items() if np.isfinite(value)},
            "versions": {name: version(name) for name in ("knuckle", "mujoco", "torch")},
        }
        objects = sorted({str(episode.facts["object"]) for episode in self.given})
        given: dict[str, Any] = {
            "name": "cloned",
            "observed": observed,
            "data": f"{int(figures['rows'])} steps of the planner, on {', '.join(objects)}",
            "done": self.cloning.done,
            "seed": self.cloning.seed,
        }
        for folder in (self.path / f"policy-{k:02d}", self.policy):
            if isinstance(fitted, ChunkActor):
                chunk = self.cloning.chunk
                given |= {"executed": chunk.executed, "judged": chunk.judged, "foreseen": chunk.foreseen}
                export_chunks(folder, self.hand, fitted, training=facts, **given)
                continue
            spread = {"log_std": float(np.log(max(fitted.std, 1e-3)))}
            export_policy(folder, self.hand, fitted.actor(), training=facts | spread, **given)
