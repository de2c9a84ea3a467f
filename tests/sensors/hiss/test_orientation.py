"""Correcting VQF: the inclination stays VQF's, and a stream gives what offline gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.sensors.estimator import ImuSample
from knuckle.sensors.hiss.finish import leave_model
from knuckle.sensors.hiss.magnet_variants import varied
from knuckle.sensors.hiss.model_files import load_model
from knuckle.sensors.hiss.orientation_eval import METHODS, OrientationScore, corrections, figures_of, turned
from knuckle.sensors.hiss.orientation_stream import CorrectedVqf
from knuckle.sensors.hiss.orientation_task import channels, filtered, heading_between, trial_of
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.streaming import open_stream
from knuckle.sensors.hiss.tasks import open_task
from knuckle.sensors.hiss.train_config import Training
from knuckle.sensors.hiss.trainer import Trainer
from knuckle.sensors.orientation_error import OrientationRmse, rmse
from knuckle.sensors.recording import ImuRecording
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator

from .conftest import QUIET, made_training

RATE_HZ = 1e9 / 3_500_000


def turning(seconds: float = 12.0, iron_t: float = 0.0) -> ImuRecording:
    """A sensor that turns about all axes, with iron that turns along."""
    n, rng = int(seconds * RATE_HZ), np.random.default_rng(0)
    t = np.arange(n) / RATE_HZ
    rate = np.stack([1.5 * np.sin(2.0 * t), 1.2 * np.sin(1.3 * t + 0.4), 1.0 * np.cos(0.9 * t)], axis=1)
    steps = rotations.exp(rate / RATE_HZ)
    truth = np.empty((n, 4))
    truth[0] = rotations.IDENTITY
    for i in range(1, n):
        truth[i] = rotations.multiply(truth[i - 1], steps[i])
    back = rotations.conjugate(truth)
    return ImuRecording(
        name="made",
        rate_hz=RATE_HZ,
        stamps_ns=np.rint(np.arange(n) * 3_500_000).astype(np.int64),
        gyr=rate + 0.002 * rng.standard_normal((n, 3)),
        acc=rotations.rotate(back, [0.0, 0.0, 9.81]) + 0.02 * rng.standard_normal((n, 3)),
        mag=rotations.rotate(back, [0.0, 20e-6, -40e-6]) + np.array([iron_t, 0.0, 0.0]),
        truth=truth,
        movement=np.ones(n, dtype=np.bool_),
    )


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained for a few updates on a sensor with iron, so that it corrects something."""
    trial = trial_of(turning(24.0, iron_t=2e-5), "iron", "iron")
    task, small = open_task("orientation", {"variants": "0"}), made_training("hiss:gru/lstm", rate="0.01")
    training = Training(dict(task.facts), small.model, small.sizes, task.features, small.learn, 0)
    parts = Parts((trial,), (trial,), ())
    trainer = Trainer(training, task.channels, parts, candidates=task.candidates, prior=task.prior)
    while not trainer.over:
        trainer.update()
    folder = tmp_path_factory.mktemp("orientation")
    leave_model(trainer, RunFolder(folder), task, parts, QUIET)
    return folder / MODEL


@pytest.mark.parametrize("iron_t", [0.0, 2e-5])
def test_the_stream_corrects_as_the_recording_is_corrected_and_leaves_the_inclination(
    model_folder: Path, iron_t: float
) -> None:
    recording = turning(iron_t=iron_t)
    made = filtered(recording)
    heading = corrections(load_model(model_folder), recording, made.rows)
    stream, plain = CorrectedVqf(open_stream(model_folder), RATE_HZ), VqfEstimator(VqfConfig(rate_hz=RATE_HZ))
    assert recording.mag is not None
    found, base = [], []
    for k, stamp in enumerate(recording.stamps_ns.tolist()):
        sample = ImuSample(recording.gyr[k], recording.acc[k], recording.mag[k])
        found.append(stream.push(stamp, sample).orientation)
        base.append(plain.push(stamp, sample).orientation)
    # A chunk is over for the stream when the first sample after it comes: at most a sample later than offline.
    wanted = turned(made.vqf, heading)
    late = turned(made.vqf, np.concatenate([heading[:1], heading[:-1]]))
    apart = np.minimum(rotations.angle_between(found, wanted), rotations.angle_between(found, late))
    assert apart.max() < 1e-5
    errors = [rmse(np.array(q), recording.truth, recording.movement).inclination_deg for q in (found, base)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-9)


def test_a_corrected_stream_goes_on_from_its_state_bit_for_bit(model_folder: Path) -> None:
    recording = turning(3.0)
    assert recording.mag is not None
    samples = [ImuSample(*row) for row in zip(recording.gyr, recording.acc, recording.mag, strict=True)]
    first, second = (CorrectedVqf(open_stream(model_folder), RATE_HZ) for _ in range(2))
    stamps = recording.stamps_ns.tolist()
    for k in range(400):
        first.push(stamps[k], samples[k])
    second.restore(first.state())
    for k in range(400, 800):
        a, b = first.push(stamps[k], samples[k]), second.push(stamps[k], samples[k])
        np.testing.assert_array_equal(a.orientation, b.orientation)


@given(st.floats(-3.1, 3.1), st.floats(-np.pi, np.pi))
def test_the_heading_between_two_orientations_turns_one_to_the_other(angle: float, start: float) -> None:
    a = rotations.exp(np.array([0.3, -0.2, start]))
    b = turned(a[None], np.array([angle]))[0]
    assert float(heading_between(a, b)) == pytest.approx(angle, abs=1e-9)


def test_the_target_is_what_is_left_of_the_heading_error() -> None:
    recording = turning(iron_t=2e-5)
    made = filtered(recording)
    assert recording.truth is not None
    exact = turned(made.vqf, heading_between(made.vqf, recording.truth))
    before, after = (rmse(q, recording.truth, recording.movement) for q in (made.vqf, exact))
    assert before.heading_deg > 1.0 and after.heading_deg < 1e-6
    assert after.inclination_deg == pytest.approx(before.inclination_deg, rel=1e-9)


def test_variants_differ_in_magnetic_field_and_bias_alone() -> None:
    recording = turning(2.0)
    position = np.cumsum(np.full((len(recording), 3), 1e-4), axis=0)
    seen = [varied(recording, position, np.random.default_rng(k)) for k in range(12)]
    assert recording.mag is not None
    for variant in seen:
        np.testing.assert_array_equal(variant.acc, recording.acc)
        assert np.ptp(variant.gyr - recording.gyr, axis=0).max() < 1e-12
        assert variant.mag is not None and np.isfinite(variant.mag).all()
        assert not np.array_equal(variant.mag, recording.mag)
    changes = [np.abs(v.mag - recording.mag).max() for v in seen if v.mag is not None]
    assert max(changes) > 1e-5


def test_ratios_are_geometric_means_over_trials_and_the_worst_inclination() -> None:
    def one(name: str, model: float, vqf: float, incl: float) -> OrientationScore:
        def errors(total: float, inclination: float) -> OrientationRmse:
            return OrientationRmse(total, total, inclination, 10)

        return OrientationScore(
            name,
            "undisturbed" not in name,
            {m: errors(2.0, 1.0) for m in METHODS} | {"model": errors(model, incl), "vqf": errors(vqf, 1.0)},
        )

    found = figures_of(
        [one("28_disturbed", 1.0, 4.0, 1.0), one("29_disturbed", 2.0, 2.0, 1.2), one("01_undisturbed", 1, 1, 0.9)]
    )
    assert found["rmse_total_ratio_to_vqf_disturbed"] == pytest.approx(0.5)
    assert found["rmse_total_ratio_to_vqf_undisturbed"] == pytest.approx(1.0)
    assert found["rmse_total_ratio_to_hard_iron_disturbed"] == pytest.approx(np.sqrt(0.5))
    assert found["rmse_inclination_ratio_to_vqf_worst"] == pytest.approx(1.2)


def test_the_channels_are_what_the_filters_give() -> None:
    assert filtered(turning(1.0)).rows.shape[1] == len(channels().inputs)
