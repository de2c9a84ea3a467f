"""A run of learning what chunks do, in its folder: label, learn, label where what was learned leads, learn again.

run.json                     the settings
labels-00/                   what round 0 labelled, one file an episode, as `knuckle collect` keeps its own
foresight-00.safetensors     what was learned of all labels up to round 0, with its figures
policy-00/, policy/          the policy that chooses by it, of round 0 and of the last round

Whatever is there already is not done again, so the same command goes on after a kill.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.collect.collect_command import play_missing
from knuckle.policy.collect.collection import Collection
from knuckle.policy.foresight.foresight_config import ForesightConfig
from knuckle.policy.foresight.foresight_fit import explained, fit_foresight, told_apart
from knuckle.policy.foresight.labelling import Labelled, LabelTask, labelled
from knuckle.policy.foresight.told import Told, told
from knuckle.policy.learned.chunk_file import require_divisor
from knuckle.policy.learned.chunk_player import chunk_facts
from knuckle.policy.learned.contact_features import FingerFrames
from knuckle.policy.learned.foresight_export import Use, export_foresight, require_chunks
from knuckle.policy.learned.foresight_graph import ForesightWeights, array_names
from knuckle.policy.learned.mirrored import Mirror
from knuckle.policy.learned.policy_folder import policy_folder

if TYPE_CHECKING:
    from rich.console import Console

LABEL_SEED = 50_000
"""Added to the run's with each round's number: its starts are none of those that are judged on."""
PARITY_ROWS = 64
AGAIN = "delete it: it is then made again"


class ForesightRun:
    """Learning by ``config`` in ``path``. InputError where its policy cannot be used."""

    def __init__(self, config: ForesightConfig, path: Path, console: Console) -> None:
        self.config, self.path, self.console = config, path, console
        self.hand = hand_spec(config.hand, where="--hand")
        source = policy_folder(config.policy)
        if source is None:
            raise InputError(
                f"no policy '{config.policy}'", where="--policy", right="a policy of chunks, or its folder"
            )
        self.source, self.policy = source, path / "policy"
        self.looked_at = config.net.steps_looked_at(where="--set net.looked_at")
        facts = chunk_facts(require_chunks(source, self.hand).config["chunk"], str(source))
        steps = facts.foreseen or facts.length
        if max(self.looked_at) >= steps:
            what = f"step {max(self.looked_at)} of chunks of which {steps} are foreseen is looked at"
            raise InputError(what, where="--set net.looked_at", right=f"{steps - 1} at most")
        if config.use.euler:
            require_divisor(config.use.euler, facts.euler, where="--set use.euler")

    def wanted(self, k: int) -> int:
        """How many episodes round ``k`` labels."""
        return self.config.label.again if k else self.config.label.episodes

    def unlabelled(self, k: int) -> bool:
        """Whether episodes of round ``k`` are yet to be played."""
        return bool(self._collection(k).missing(self.wanted(k)))

    def label(self, k: int, *, jobs: int, minutes: float) -> None:
        """Play and label what is missing of round ``k``, begun within ``minutes`` (0: no bound)."""
        label = self.config.label
        folder = self.path / f"policy-{k - 1:02d}" if k else self.source
        task = LabelTask(
            str(folder), self.hand.name, label.objects, self.config.rungs, label.chunks, self._collection_seed(k)
        )
        name = f"round {k}, simulation chooses" if k == 0 else f"round {k}, what was learned chooses"
        play_missing(
            self._collection(k),
            task.label,
            self.wanted(k),
            jobs=jobs,
            minutes=minutes,
            console=self.console,
            name=name,
        )

    def learn(self, k: int) -> dict[str, float]:
        """Learn of all labels up to round ``k``, and export the policy that chooses by it; its figures."""
        path = self.path / f"foresight-{k:02d}.safetensors"
        if not path.is_file():
            self._learn(k, path)
        weights, figures, observed = _read(path, self.hand)
        facts = self.config.facts() | {"figures": figures}
        facts["versions"] = {name: version(name) for name in ("knuckle", "mujoco", "torch")}
        for folder in (self.path / f"policy-{k:02d}", self.policy):
            export_foresight(
                folder,
                self.hand,
                self.source,
                weights,
                use=Use(**asdict(self.config.use)),
                observed=observed,
                training=facts,
                data=f"what chunks do at {figures['decisions']:.0f} decisions, by simulation",
            )
        return figures

    def episodes(self, k: int) -> list[Labelled]:
        """All labelled episodes up to round ``k``; what cannot be read is left out, and said."""
        found = []
        for j in range(k + 1):
            collection = self._collection(j)
            for number in (n for n in collection.kept() if n < self.wanted(j)):
                try:
                    found.append(_labelled(collection.file(number)))
                except InputError as error:
                    self.console.print(f"left out: {error}", soft_wrap=True, markup=False)
        return found

    def _collection(self, k: int) -> Collection:
        label = self.config.label
        settings = {"controller": "labels", "hand": self.hand.name, "rung": label.rungs, "objects": label.objects}
        settings |= {"chunks": str(label.chunks), "seed": str(self._collection_seed(k))}
        return Collection(self.path / f"labels-{k:02d}", settings)

    def _collection_seed(self, k: int) -> int:
        return self.config.seed + LABEL_SEED + k

    def _learn(self, k: int, path: Path) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        used, episodes = time.process_time(), self.episodes(k)
        learned, held = _split(episodes, self.config.net.held_back, np.random.default_rng([self.config.seed, k]))
        data, last = told(learned, self.hand, self.looked_at), k == self.config.label.rounds
        net = self.config.net if last else replace(self.config.net, updates=self.config.net.updates_before)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(f"round {k}", total=net.updates)

            def seen(done: int, loss: float) -> None:
                progress.update(bar, completed=done, description=f"round {k}: loss {loss:.4f}")

            weights = fit_foresight(data, self.hand, net, self.looked_at, seed=self.config.seed + k, seen=seen)
        judged = told(held, self.hand, self.looked_at) if any(len(e.goal) for e in held) else data
        own = [e for e in episodes if e.facts["erring"] == 0.0]
        figures = {
            "round": float(k),
            "episodes": float(len(episodes)),
            "decisions": float(sum(len(e.goal) for e in episodes)),
            "explained": explained(weights, judged),
            "told_apart": told_apart(weights, judged),
            "label_cpu_s": sum(float(e.facts["cpu_s"]) for e in episodes),
            "fit_cpu_s": time.process_time() - used,
            "succeeded": float(np.mean([e.facts["succeeded"] for e in own])) if own else float("nan"),
        }
        _write(path, weights, figures, judged)


def _split(episodes: list[Labelled], share: float, rng: np.random.Generator) -> tuple[list[Labelled], list[Labelled]]:
    # At least one where any are to be, so that what is said of them is never of what was learned from.
    n = max(round(share * len(episodes)), 1) if share > 0.0 and len(episodes) > 1 else 0
    held = set(rng.permutation(len(episodes))[:n].tolist())
    return [e for k, e in enumerate(episodes) if k not in held], [episodes[k] for k in sorted(held)]


def _labelled(path: Path) -> Labelled:
    arrays, facts = read_arrays(path, what="the episode", right="delete it: it is then played again")
    try:
        return labelled(arrays, facts)
    except KeyError as error:
        raise InputError(f"the episode lacks {error}", where=str(path), right=AGAIN) from error


def _write(path: Path, weights: ForesightWeights, figures: dict[str, float], judged: Told) -> None:
    """Keep what was learned with its figures, and some rows to check an export by."""
    rows = {f"row_{name}": getattr(judged, name)[:PARITY_ROWS].astype(np.float32) for name in ("fingers", "chunks")}
    facts: dict[str, Any] = {"looked_at": list(weights.looked_at), "steps": weights.steps}
    facts["mirrored"] = weights.mirror is not None
    facts["figures"] = {name: value if np.isfinite(value) else None for name, value in figures.items()}
    write_arrays(path, dict(weights.arrays) | rows, facts, what="the foresight")


def _read(path: Path, hand: HandSpec) -> tuple[ForesightWeights, dict[str, float], Any]:
    arrays, facts = read_arrays(path, what="the foresight", right=AGAIN)
    try:
        held = {name: np.asarray(arrays[name], dtype=np.float64) for name in array_names()}
        looked_at, steps = tuple(facts["looked_at"]), int(facts["steps"])
        mirror = Mirror(hand, len(looked_at), steps) if facts["mirrored"] else None
        weights = ForesightWeights(held, looked_at, steps, FingerFrames(hand), mirror)
        rows = tuple(arrays[f"row_{name}"] for name in ("fingers", "chunks"))
        figures = {name: float(value) for name, value in facts["figures"].items() if value is not None}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the foresight is not whole ({error})", where=str(path), right=AGAIN) from error
    return weights, figures, rows
