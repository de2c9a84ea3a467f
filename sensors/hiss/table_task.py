"""A task of the user's own: columns of CSV or MCAP files in, other columns out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.cards import Entry
from knuckle.core.errors import InputError, RecordingError
from knuckle.sensors.hiss.box_mean import SLACK_NS, box_mean, periods
from knuckle.sensors.hiss.table_file import read_columns, stamps_of
from knuckle.sensors.hiss.trial import CHUNK, Channels, Trial

Array = NDArray[np.float64]
GAP_S = 0.5
"""A longer gap ends a trial: the model's state would not survive it in a stream either."""
FILES = (".csv", ".mcap")


@dataclass(frozen=True)
class Columns:
    """Names of the ``inputs``, the ``targets`` and the ``time``, and the rate that the model is to run at."""

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    time: str
    rate_hz: float

    def channels(self) -> Channels:
        """The same as a card names it; units are those of the recording."""
        return Channels(
            tuple(Entry(name, (), "as recorded") for name in self.inputs),
            tuple(Entry(name, (), "as recorded") for name in self.targets),
            self.rate_hz,
        )


def load_trials(source: Path, columns: Columns) -> list[Trial]:
    """Trials of a file, or of all CSV and MCAP files of a folder; each one's group is the part that it is for.

    Of five trials in a row the fourth is for validation, the fifth for the test; fewer than five are cut in time
    instead, 70% to learn from, then 15% and 15%.
    """
    paths = [source] if source.is_file() else sorted(p for p in source.glob("*") if p.suffix in FILES)
    if not paths:
        raise InputError("no CSV or MCAP files in it", where=str(source), right="a file, or a folder of recordings")
    pieces = [piece for path in paths for piece in _pieces(path, columns)]
    if len(pieces) >= 5:
        parts = ("train", "train", "train", "validation", "test")
        return [_named(piece, piece.name, parts[k % 5]) for k, piece in enumerate(pieces)]
    return [part for piece in pieces for part in _in_time(piece)]


def _pieces(path: Path, columns: Columns) -> list[Trial]:
    """The file's stretches without gaps, at the model's rate."""
    where = str(path)
    table = read_columns(path, (columns.time, *columns.inputs, *columns.targets))
    stamps = stamps_of(table[:, 0], columns.time, where=where)
    _require_rate(stamps, columns.rate_hz, where)
    values, d = table[:, 1:], len(columns.inputs)
    edges = np.flatnonzero(np.diff(stamps) > GAP_S * 1e9) + 1
    bounds = list(zip([0, *edges.tolist()], [*edges.tolist(), len(stamps)], strict=True))
    long_enough = CHUNK / columns.rate_hz * 1e9
    kept = [(a, b) for a, b in bounds if stamps[b - 1] - stamps[a] >= long_enough] or bounds[:1]
    return [
        _piece(f"{path.name}+{stamps[a] / 1e9:g}s", stamps[a:b], values[a:b, :d], values[a:b, d:], columns.rate_hz)
        for a, b in kept
    ]


def _piece(name: str, stamps: NDArray[np.int64], inputs: Array, targets: Array, rate_hz: float) -> Trial:
    good = np.isfinite(inputs).all(axis=1)
    if not good.all():
        what = f"an input is empty or not finite in row {int(np.argmin(good))} of the stretch"
        raise RecordingError(what, where=name, right="numbers in every row")
    ends = periods(stamps, rate_hz)
    latest = np.searchsorted(stamps, ends + SLACK_NS, side="right") - 1
    own = np.concatenate([[True], np.diff(latest) > 0])  # a period without rows has no target of its own
    rows = np.where(own[:, None], targets[latest], np.nan)
    return Trial(name, "", box_mean(stamps, inputs, rate_hz), rows, np.asarray(np.isfinite(rows).all(axis=1)))


def _require_rate(stamps: NDArray[np.int64], rate_hz: float, where: str) -> None:
    if len(stamps) < 2:
        raise RecordingError("the recording has one row", where=where, right=f"at least {CHUNK}")
    recorded = 1e9 / float(np.median(np.diff(stamps)))
    if recorded < 0.99 * rate_hz:
        what = f"recorded at {recorded:.4g} Hz, the model is to run at {rate_hz:g} Hz"
        raise RecordingError(what, where=where, right=f"--rate {recorded:.3g} or lower")


def _named(trial: Trial, name: str, group: str) -> Trial:
    return Trial(name, group, trial.inputs, trial.targets, trial.scored)


def _in_time(trial: Trial) -> list[Trial]:
    """The trial cut into its parts, at whole chunks."""
    chunks = len(trial) // CHUNK
    if chunks < 7:
        what = f"{len(trial)} samples at the model's rate cannot be divided"
        raise RecordingError(what, where=trial.name, right=f"at least {7 * CHUNK}, or five recordings")
    first, second = (round(share * chunks) * CHUNK for share in (0.7, 0.85))
    cuts = {"train": slice(0, first), "validation": slice(first, second), "test": slice(second, len(trial))}
    return [
        Trial(f"{trial.name} {part}", part, trial.inputs[at], trial.targets[at], trial.scored[at])
        for part, at in cuts.items()
    ]
