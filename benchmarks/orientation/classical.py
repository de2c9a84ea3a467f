"""The classical estimators of orientation on BROAD, sample by sample: RMSE of each trial and their means.

python benchmarks/orientation/classical.py FOLDER [--estimators vqf,madgwick] [--trials 01,06] [--set beta=0.1]

FOLDER holds trials of BROAD (.mat). Scored on movement samples with a truth, degrees; a mean is over trials, a ratio
the geometric mean over trials of RMSE by that of VQF. Settings are those of one estimator, so name one with --set.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from knuckle.core.config import describe, from_mapping, parse_pairs, parse_text
from knuckle.sensors import broad
from knuckle.sensors.complementary import ComplementaryConfig, ComplementaryEstimator
from knuckle.sensors.estimator import Estimator, ImuSample
from knuckle.sensors.hard_iron_vqf import HardIronVqfConfig, HardIronVqfEstimator
from knuckle.sensors.madgwick import MadgwickConfig, MadgwickEstimator
from knuckle.sensors.orientation_error import OrientationRmse, rmse
from knuckle.sensors.recording import ImuRecording
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator

KINDS = {
    "vqf": (VqfConfig, VqfEstimator),
    "madgwick": (MadgwickConfig, MadgwickEstimator),
    "complementary": (ComplementaryConfig, ComplementaryEstimator),
    "vqf-hard-iron": (HardIronVqfConfig, HardIronVqfEstimator),
}
PARTS = ("total_deg", "heading_deg", "inclination_deg")


def made(name: str, pairs: dict[str, str], rate_hz: float) -> Estimator:
    """The estimator ``name`` with settings."""
    config, estimator = KINDS[name]
    specs = {spec.name: spec for spec in describe(config)}
    values = {key: parse_text(specs[key], text, where=f"--set {key}") for key, text in pairs.items()}
    built: Estimator = estimator(from_mapping(config, {"rate_hz": rate_hz} | values, where=name))
    return built


def run(estimator: Estimator, recording: ImuRecording) -> OrientationRmse:
    """Push every sample, and score."""
    assert recording.mag is not None
    assert recording.truth is not None
    orientations = np.empty((len(recording), 4))
    for i, stamp in enumerate(recording.stamps_ns.tolist()):
        estimate = estimator.push(stamp, ImuSample(recording.gyr[i], recording.acc[i], recording.mag[i]))
        assert estimate is not None
        orientations[i] = estimate.orientation
    return rmse(orientations, recording.truth, recording.movement)


def table(scores: dict[str, dict[str, OrientationRmse]], disturbed: dict[str, bool]) -> None:
    """Print the means over the groups, and ratios to VQF where it was run."""
    for group, wanted in (("undisturbed", False), ("disturbed", True)):
        trials = [trial for trial, value in disturbed.items() if value is wanted]
        if not trials:
            continue
        for name, by_trial in scores.items():
            means = [np.mean([getattr(by_trial[t], part) for t in trials]) for part in PARTS]
            line = f"{group:12s} {name:14s}" + "".join(f"{mean:8.3f}" for mean in means)
            if "vqf" in scores:
                logs = [[np.log(getattr(by_trial[t], p) / getattr(scores["vqf"][t], p)) for t in trials] for p in PARTS]
                line += "  ratio to vqf" + "".join(f"{np.exp(np.mean(log)):8.3f}" for log in logs)
            print(f"{line}  n={len(trials)}")


def main() -> int:
    """Print a line a trial, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--estimators", default=",".join(KINDS))
    parser.add_argument("--trials", default="", help="beginnings of file names, separated by commas; all without")
    parser.add_argument("--set", default="", help="settings of the estimator: beta=0.1,zeta=0.01")
    options = parser.parse_args()
    names, pairs = options.estimators.split(","), parse_pairs(options.set, where="--set")
    files = sorted(options.folder.glob("*.mat"))
    if options.trials:
        files = [file for file in files if file.name.startswith(tuple(options.trials.split(",")))]
    scores: dict[str, dict[str, OrientationRmse]] = {name: {} for name in names}
    disturbed, spent, samples = {}, dict.fromkeys(names, 0.0), 0
    for file in files:
        recording, trial = broad.load(file), file.stem
        disturbed[trial] = "undisturbed" not in trial
        samples += len(recording)
        for name in names:
            before = time.process_time()
            scores[name][trial] = run(made(name, pairs, recording.rate_hz), recording)
            spent[name] += time.process_time() - before
        cells = (f"{name} " + "/".join(f"{getattr(scores[name][trial], part):.2f}" for part in PARTS) for name in names)
        print(f"{trial[:42]:42s} " + "  ".join(cells), flush=True)
    table(scores, disturbed)
    print("  ".join(f"{name} {1e6 * spent[name] / samples:.1f} us a sample of the processor" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
