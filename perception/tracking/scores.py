"""All scores of a tracker over films: sums for each film, which are added, and intervals by drawing films again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from knuckle.perception.tracking.boxes import Array, Flags
from knuckle.perception.tracking.clear_identity import IdentityTally, identity, who_is_who
from knuckle.perception.tracking.gap_identity import GapTally, gaps
from knuckle.perception.tracking.hota import HotaTally, hota
from knuckle.perception.tracking.matches import compare
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.tracker import Tracks

DRAWS = 500


@dataclass(frozen=True)
class FilmScore:
    """The sums of one film, or of several."""

    hota: HotaTally
    identity: IdentityTally
    gaps: GapTally

    def __add__(self, other: FilmScore) -> FilmScore:
        return FilmScore(self.hota + other.hota, self.identity + other.identity, self.gaps + other.gaps)

    def scores(self) -> dict[str, float]:
        """hota, deta, assa, mota, idf1, idsw, kept_5, kept_10, kept_20."""
        return self.hota.scores() | self.identity.scores() | self.gaps.scores()


def score(truth: Sequence, tracks: list[Tracks], kept: Flags, label: int | None = None) -> FilmScore:
    """The sums of one film; ``kept`` says which rows of the truth were detected, ``label`` picks one class."""
    film = compare(truth, tracks, label)
    pairs = who_is_who(film)
    if label is not None:
        truth, kept = truth.of_label(label), kept[truth.label == label]
    return FilmScore(hota(film), identity(film, pairs), gaps(truth, kept, pairs))


def together(films: list[FilmScore]) -> FilmScore:
    """The sums of all."""
    return reduce(lambda a, b: a + b, films)


def drawn_again(table: list[list[FilmScore]], rng: np.random.Generator, draws: int = DRAWS) -> dict[str, Array]:
    """Scores of ``draws`` samples of ``table[film][seed]``: films drawn with replacement, and seeds within each.

    The same generator state draws the same films for another model, so differences are paired.
    """
    films, seeds = len(table), len(table[0])
    chosen = rng.integers(0, films, (draws, films)), rng.integers(0, seeds, (draws, films, seeds))
    rows = []
    for k in range(draws):
        sample = [table[film][seed] for film, some in zip(chosen[0][k], chosen[1][k], strict=True) for seed in some]
        rows.append(together(sample).scores())
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def interval(values: Array) -> tuple[float, float]:
    """The middle 95% of ``values``; NaN where there is none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(low), float(high)
