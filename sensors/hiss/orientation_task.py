"""Correcting VQF: what the filter and its hard-iron rival make of an IMU in, the filter's error of heading out.

Only the heading is corrected: a magnetometer says nothing of the inclination, which so stays VQF's to the bit. Inputs
are in the frame of VQF's own estimate, so that nothing depends on where the sensor points:

field_e, n, u          the field as read, turned by VQF's orientation: (0, n, -d) where nothing disturbs
clean_e, n, u          the same less the hard iron that the rival believes
turn_e, n, u           the angular rate
rival                  the heading of the hard-iron rival less VQF's
slow_rival             the same with a magnetometer of 15 s in place of VQF's 9 s
pull                   how fast VQF's magnetometer turns its heading against the gyroscope's
disturbed              whether VQF takes the field for disturbed
iron                   how much hard iron the rival believes

The target is the turn about the vertical that brings VQF's estimate to the optical truth (BROAD, CC BY 4.0). The
estimate lies among three headings: VQF's own, which is 0, and the `CANDIDATES`. A slow magnetometer averages over
the field of more places and is the better one on undisturbed trials, as long as the gyroscope's bias is known; a fast
one where the sensor rests or a magnet goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vqf import VQF

from knuckle.core import rotations
from knuckle.core.cards import Entry
from knuckle.core.errors import InputError, RecordingError
from knuckle.sensors import broad
from knuckle.sensors.hard_iron import HardIron, HardIronConfig
from knuckle.sensors.hiss.box_mean import box_mean, periods
from knuckle.sensors.hiss.magnet_variants import varied
from knuckle.sensors.hiss.splits import MAGNETS, broad_group
from knuckle.sensors.hiss.trial import Channels, Trial
from knuckle.sensors.hiss.unit_check import require_si
from knuckle.sensors.matlab5 import read_arrays
from knuckle.sensors.recording import ImuRecording

Array = NDArray[np.float64]
RATE_HZ = 50.0
_UT = 1e6
SLOW_S = 15.0
"""VQF's time constant of the magnetometer in the slow filter."""
CANDIDATES = ("rival", "slow_rival")
PRIOR = (-4.0, -2.0, 3.0)
"""Logs of the weights that training begins from: by far the slow one, best on the trials looked at."""
FLOOR_RAD = 0.01
"""An error that no longer matters, beside which a trial's is weighed."""


def channels() -> Channels:
    """Inputs and target of the task."""
    names = [
        (f"{kind}_{axis}", unit)
        for kind, unit in (("field", "uT"), ("clean", "uT"), ("turn", "rad/s"))
        for axis in "enu"
    ]
    names += [
        *((name, "rad") for name in CANDIDATES),
        ("pull", "rad of heading a second"),
        ("disturbed", "share"),
        ("iron", "uT of hard iron"),
    ]
    target = Entry("heading_correction", (), "rad about the vertical")
    return Channels(tuple(Entry(name, (), unit) for name, unit in names), (target,), RATE_HZ)


@dataclass(frozen=True)
class Filtered:
    """What the filters made of a recording of N samples: orientations (N, 4) of VQF, of its hard-iron rival and of
    that one made slow, and the model's inputs before they are averaged, (N, 14)."""

    vqf: Array
    rival: Array
    slow_rival: Array
    rows: Array


def filtered(recording: ImuRecording) -> Filtered:
    """All filters over a recording; RecordingError where it has no magnetometer."""
    if recording.mag is None:
        raise RecordingError("no magnetic field", where=recording.name, right="a recording of nine axes")
    dt, mag = 1.0 / recording.rate_hz, recording.mag
    plain = VQF(dt).updateBatch(recording.gyr, recording.acc, mag)
    bias = _hard_iron(recording, mag, plain["quat6D"])
    clean = np.ascontiguousarray(mag - bias)
    q = np.asarray(plain["quat9D"])
    rival = _heading_of(VQF(dt), recording, clean)
    slow_rival = _heading_of(VQF(dt, tauMag=SLOW_S), recording, clean)
    pull = np.diff(np.unwrap(plain["delta"]), prepend=plain["delta"][:1]) / dt
    rows = np.concatenate(
        [
            rotations.rotate(q, mag) * _UT,
            rotations.rotate(q, clean) * _UT,
            rotations.rotate(q, recording.gyr),
            np.stack(
                [
                    heading_between(q, rival),
                    heading_between(q, slow_rival),
                    pull,
                    np.asarray(plain["magDistDetected"], dtype=np.float64),
                    np.linalg.norm(bias, axis=1) * _UT,
                ],
                axis=1,
            ),
        ],
        axis=1,
    )
    return Filtered(q, rival, slow_rival, rows)


def _heading_of(vqf: VQF, recording: ImuRecording, mag: Array) -> Array:
    return np.asarray(vqf.updateBatch(recording.gyr, recording.acc, np.ascontiguousarray(mag))["quat9D"])


def heading_between(a: Array, b: Array) -> Array:
    """The turn about the vertical in (-pi, pi] that brings the heading of ``a`` (..., 4) to that of ``b``."""
    w, _, _, z = np.moveaxis(rotations.multiply(b, rotations.conjugate(a)), -1, 0)
    angle = 2.0 * np.arctan2(z, w)
    return np.asarray(angle - 2.0 * np.pi * np.round(angle / (2.0 * np.pi)))


def load_trials(folder: Path, variants: int = 0, seed: int = 0) -> list[Trial]:
    """Trials of BROAD in ``folder``, each with ``variants`` whose magnetic surroundings and gyroscope are others.

    InputError where there is none.
    """
    paths = sorted(Path(folder).glob("*.mat"))
    if not paths:
        raise InputError("no trials of BROAD (*.mat) in it", where=str(folder), right="the folder of a set's trials")
    trials = []
    for path in paths:
        recording = broad.load(path)
        require_si(recording)
        group = MAGNETS.get(path.stem.partition("_")[0], broad_group(path.stem))
        trials.append(trial_of(recording, path.stem, group))
        if variants:
            position = np.asarray(read_arrays(path, frozenset({"opt_pos"}))["opt_pos"], dtype=np.float64)
            for k in range(variants):
                rng = np.random.default_rng([seed, len(trials), k])
                trials.append(trial_of(varied(recording, position, rng), f"{path.stem}~{k + 1}", group))
    return trials


def trial_of(recording: ImuRecording, name: str, group: str) -> Trial:
    """A recording with optical truth as a trial; its errors weigh as parts of VQF's own mean square on it."""
    if recording.truth is None:
        raise RecordingError("no optical truth", where=recording.name, right="a BROAD trial")
    made = filtered(recording)
    ends = periods(recording.stamps_ns, RATE_HZ)
    latest = np.searchsorted(recording.stamps_ns, ends + 1, side="right") - 1
    targets = heading_between(made.vqf[latest], recording.truth[latest])[:, None]
    moved = np.ones(len(ends), dtype=np.bool_) if recording.movement is None else recording.movement[latest]
    scored = np.asarray(moved & np.isfinite(targets[:, 0]))
    weight = 1.0 / (np.nanmean(np.square(targets[scored])) + FLOOR_RAD**2) if scored.any() else 1.0
    return Trial(name, group, box_mean(recording.stamps_ns, made.rows, RATE_HZ), targets, scored, float(weight))


def _hard_iron(recording: ImuRecording, mag: Array, level: Array) -> Array:
    """What the rival takes off each reading, (N, 3) T: as `HardIronVqfEstimator` does it sample by sample."""
    config = HardIronConfig()
    iron, every = HardIron(config), max(1, round(config.period_s * recording.rate_hz))
    bias = np.zeros_like(mag)
    for i in range(every - 1, len(mag), every):
        iron.observe(level[i], mag[i], float(np.linalg.norm(recording.gyr[i])))
        bias[i + 1 : i + 1 + every] = iron.bias
    return bias
