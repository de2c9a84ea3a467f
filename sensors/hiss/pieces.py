"""Trials as batches: pieces to train on, drawn anew each epoch, and whole trials to be judged on.

Output k of a piece that begins at sample s is for the target of sample s + 10 k + 9, and has seen the input up to
that sample, or ``look_ahead`` samples more. All that is drawn follows from the generator that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.sensors.hiss.trial import CHUNK, Trial

Array = NDArray[np.float64]
Reader = Callable[[Trial], NDArray[np.float32]]
"""Inputs of a trial to features (L, F)."""
Augment = Callable[[Sequence[Trial], np.random.Generator], Sequence[Trial]]
"""Trials as they might have been as well, by what is drawn; as many as there are."""


@dataclass(frozen=True)
class Batch:
    """``features`` (B, L, F), ``targets`` (B, K, T) in the task's units, ``known`` and ``scored`` (B, K); L = 10 K.

    ``weights`` (B,) float32 are those of the trials.
    """

    features: NDArray[np.float32]
    targets: Array
    known: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """One row of a batch before it is padded: features (10 K, F), targets (K, T), known and scored (K,)."""

    features: NDArray[np.float32]
    targets: Array
    known: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    weight: float = 1.0


def target_grid(trial: Trial) -> tuple[int, int]:
    """Where a piece may begin so that its outputs meet targets: the first sample, and every how many."""
    known = np.flatnonzero(trial.known)
    if len(known) < 2:
        return 0, CHUNK
    every = int(np.diff(known).min())
    return (int(known[0]) - (CHUNK - 1)) % every, every


def cut(trial: Trial, features: NDArray[np.float32], start: int, chunks: int, look_ahead: int) -> Piece:
    """At most ``chunks`` chunks of ``trial`` from sample ``start`` on, whose features are ``features`` (L, F)."""
    n = min(chunks, (len(trial) - start - look_ahead) // CHUNK)
    rows = slice(start + CHUNK - 1, start + n * CHUNK, CHUNK)
    inputs = features[start + look_ahead : start + look_ahead + n * CHUNK]
    return Piece(inputs, trial.targets[rows], trial.known[rows], trial.scored[rows], trial.weight)


def whole(trial: Trial, features: NDArray[np.float32], look_ahead: int) -> Piece:
    """All of a trial, from the first sample on whose outputs meet targets."""
    return cut(trial, features, target_grid(trial)[0], len(trial), look_ahead)


def padded(pieces: Sequence[Piece]) -> Batch:
    """Pieces as one batch, the shorter ones filled up with zeros behind, which no causal model looks at."""
    k = max(len(p.known) for p in pieces)

    def fill(rows: list[NDArray[np.generic]], length: int) -> NDArray[np.generic]:
        out = np.zeros((len(rows), length, *rows[0].shape[1:]), dtype=rows[0].dtype)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return out

    return Batch(
        features=fill([p.features for p in pieces], k * CHUNK).astype(np.float32, copy=False),
        targets=fill([p.targets for p in pieces], k).astype(np.float64, copy=False),
        known=fill([p.known for p in pieces], k).astype(np.bool_, copy=False),
        scored=fill([p.scored for p in pieces], k).astype(np.bool_, copy=False),
        weights=np.array([p.weight for p in pieces], dtype=np.float32),
    )


class Epoch:
    """The batches of one epoch, in order; ``rng`` decides augmentation, cuts and order when it is made."""

    def __init__(
        self,
        trials: Sequence[Trial],
        read: Reader,
        *,
        chunks: int,
        batch: int,
        look_ahead: int,
        rng: np.random.Generator,
        augment: Augment | None,
    ) -> None:
        self._look_ahead, self._chunks = look_ahead, chunks
        self._trials = trials if augment is None else augment(trials, rng)
        self._features = [read(trial) for trial in self._trials]
        cuts: list[tuple[int, int]] = []
        for k, trial in enumerate(self._trials):
            first, every = target_grid(trial)
            last = len(trial) - chunks * CHUNK - look_ahead - first
            for _ in range(max(1, round(len(trial) / (chunks * CHUNK)))):
                steps = int(rng.integers(0, max(last, 0) // every + 1))
                cuts.append((k, first + steps * every))
        order = rng.permutation(len(cuts))
        self._batches = [[cuts[i] for i in order[at : at + batch]] for at in range(0, len(order), batch)]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, at: int) -> Batch:
        chosen = self._batches[at]
        return padded([cut(self._trials[k], self._features[k], s, self._chunks, self._look_ahead) for k, s in chosen])


def in_batches(pieces: Sequence[Piece], batch: int) -> Iterator[tuple[list[int], Batch]]:
    """Pieces in batches of similar length, and which ones they are."""
    order = sorted(range(len(pieces)), key=lambda i: len(pieces[i].known))
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        yield chosen, padded([pieces[i] for i in chosen])
