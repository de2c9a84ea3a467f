"""A stream gives what the same model gives offline, goes on from a saved state, and refuses what looks ahead."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from knuckle.core.errors import InputError
from knuckle.sensors.estimator import ImuSample
from knuckle.sensors.hiss import velocity_task
from knuckle.sensors.hiss.box_mean import BoxMean, box_mean, periods
from knuckle.sensors.hiss.features import FeatureConfig, FeatureStream, features
from knuckle.sensors.hiss.finish import leave_model
from knuckle.sensors.hiss.gaussian_factors import factors
from knuckle.sensors.hiss.model_card import CARD
from knuckle.sensors.hiss.model_files import SensorModel, load_model
from knuckle.sensors.hiss.normaliser import Normaliser
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.staggered import staggered
from knuckle.sensors.hiss.streaming import open_stream
from knuckle.sensors.hiss.tasks import open_task
from knuckle.sensors.hiss.train_config import Training
from knuckle.sensors.hiss.trial import CHUNK

from .conftest import QUIET, made_parts, made_trainer, made_training, made_trial

TABLE = {"inputs": "a,b", "targets": "x,y"}


def trained(path: Path, training: Training) -> Path:
    """The folder of a model after two updates."""
    parts = made_parts(3)
    trainer = made_trainer(training, parts)
    for _ in range(2):
        trainer.update()
    trainer.best = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    leave_model(trainer, RunFolder(path), open_task("table", TABLE), parts, QUIET)
    return path / MODEL


def offline(model: SensorModel, inputs: np.ndarray) -> np.ndarray:
    card = model.card
    read = features(inputs, card.training.features, card.channels.rate_hz, card.inputs)
    read = read[: len(read) // CHUNK * CHUNK]
    with torch.no_grad():
        return model.network(torch.from_numpy(read)[None])[0].numpy().astype(np.float64)


@pytest.mark.parametrize("model", ["hiss:lstm/gru", "hiss:mamba/mamba", "flat:transformer"])
def test_streamed_estimates_are_those_of_the_whole_sequence(tmp_path: Path, model: str) -> None:
    folder = trained(tmp_path, made_training(model, low_pass="causal", corner_hz="5", rest="5", rate="0.02"))
    facts = json.loads((folder / CARD).read_text())
    facts["config"]["growth"] = 0.7  # so that the covariance follows the mean
    (folder / CARD).write_text(json.dumps(facts))
    whole, stream, inputs = load_model(folder), open_stream(folder), made_trial(9, 173).inputs
    found = [stream.push(20_000_000 * k, x) for k, x in enumerate(inputs)]
    assert [k for k, estimate in enumerate(found) if estimate] == list(range(9, 173, 10))
    estimates = [estimate for estimate in found if estimate]
    z, lower = factors(offline(whole, inputs))
    scale = whole.card.targets.scale
    for k, estimate in enumerate(estimates):
        assert estimate.stamp_ns == 20_000_000 * (10 * k + 9)
        np.testing.assert_allclose(estimate.mean, whole.card.targets.back(z[k]), atol=1e-5)
        factor = whole.card.spread.factor(z[k]) * scale[:, None] * lower[k]
        np.testing.assert_allclose(estimate.covariance, factor @ factor.T, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", ["hiss:gru/lstm", "flat:gru"])
def test_a_staggered_stream_answers_every_sample_with_what_offline_gives(tmp_path: Path, model: str) -> None:
    folder = trained(tmp_path, made_training(model))
    whole, stream, inputs = load_model(folder), open_stream(folder, staggered=True), made_trial(9, 57).inputs
    found = [stream.push(k, x) for k, x in enumerate(inputs)]
    assert found[:9] == [None] * 9 and all(found[9:])
    card = whole.card
    raw = staggered(whole.network, features(inputs, card.training.features, 50.0, card.inputs))
    wanted = card.targets.back(factors(raw.astype(np.float64))[0])
    np.testing.assert_allclose([estimate.mean for estimate in found[9:] if estimate], wanted, atol=1e-5)


def test_estimates_of_a_model_that_looks_ahead_are_stamped_with_the_time_they_are_for(tmp_path: Path) -> None:
    stream = open_stream(trained(tmp_path, made_training(indexing="released")))
    found = [stream.push(20_000_000 * k, np.array([0.1 * k, 1.0])) for k in range(20)]
    assert [e.stamp_ns for e in found if e] == [0, 200_000_000]


def test_a_stream_goes_on_from_its_state_bit_for_bit(tmp_path: Path) -> None:
    folder, inputs = trained(tmp_path, made_training(rest="5", low_pass="causal")), made_trial(9, 90).inputs
    for begin in (0, 3, 10, 47):
        first, second = open_stream(folder), open_stream(folder)
        for k in range(begin):
            first.push(k, inputs[k])
        second.restore(first.state())
        for k in range(begin, 90):
            a, b = first.push(k, inputs[k]), second.push(k, inputs[k])
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                np.testing.assert_array_equal(a.mean, b.mean)


@pytest.mark.parametrize("model", ["hiss:lstm/lstm", "flat:mamba"])
def test_a_state_of_another_model_is_refused(tmp_path: Path, model: str) -> None:
    first = open_stream(trained(tmp_path / "a", made_training(seed=1)))
    other = open_stream(trained(tmp_path / "b", made_training(model, seed=2)))
    with pytest.raises(InputError, match=f"the state is of another model; one of table {model}"):
        other.restore(first.state())
    broken = json.loads(first.state())
    broken["network"][0] = None
    with pytest.raises(InputError, match="not of the form expected"):
        first.restore(json.dumps(broken).encode())


def test_a_filter_that_looks_ahead_is_for_recordings_only(tmp_path: Path) -> None:
    folder = trained(tmp_path, made_training(low_pass="zero_phase"))
    assert offline(load_model(folder), made_trial(9).inputs).shape[0] == 40
    with pytest.raises(InputError, match="a zero-phase filter looks ahead and cannot be streamed"):
        open_stream(folder)


@pytest.mark.parametrize("config", [FeatureConfig(), FeatureConfig(rest=5, clip=0.7, low_pass="causal", corner_hz=3.0)])
def test_features_look_at_nothing_later_and_stream_to_the_same_bits(config: FeatureConfig) -> None:
    inputs = made_trial(5, 60).inputs
    normaliser = Normaliser(np.linspace(-1.0, 1.0, 4), np.linspace(0.5, 2.0, 4))
    whole = features(inputs, config, 50.0, normaliser)
    stream = FeatureStream(config, 50.0, normaliser, 2)
    np.testing.assert_array_equal([stream.push(x) for x in inputs], whole)
    np.testing.assert_array_equal(features(inputs[:31], config, 50.0, normaliser), whole[:31])


def test_means_of_periods_are_causal_and_the_same_in_a_stream() -> None:
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.integers(1_000_000, 9_000_000, 300)).astype(np.int64)
    stamps[200:] += 100_000_000  # a gap of five periods
    values = rng.standard_normal((300, 3))
    rows, ends = box_mean(stamps, values, 50.0), periods(stamps, 50.0)
    assert len(rows) == len(ends)
    stream = BoxMean(50.0, 3)
    found = [row for stamp, value in zip(stamps.tolist(), values, strict=True) for row in stream.push(stamp, value)]
    np.testing.assert_array_equal([end for end, _ in found][: len(ends)], ends)
    np.testing.assert_allclose([row for _, row in found][: len(ends)], rows, atol=1e-12)
    np.testing.assert_array_equal(rows[0], values[0])
    inside = (stamps > ends[6]) & (stamps <= ends[7])
    np.testing.assert_allclose(rows[7], values[inside].mean(axis=0))


@pytest.mark.data
@pytest.mark.parametrize("frame", ["level", "body"])
def test_velocity_streams_from_an_imu_as_it_is_computed_offline(tmp_path: Path, broad_file, frame: str) -> None:
    from knuckle.core import rotations
    from knuckle.sensors import broad
    from knuckle.sensors.hiss.splits import Parts
    from knuckle.sensors.hiss.tasks import open_task
    from knuckle.sensors.hiss.trainer import Trainer
    from knuckle.sensors.hiss.velocity_stream import VelocityStream

    path = broad_file("32")
    recording = broad.load(path).part(0.0, 20.0)
    trial = velocity_task.load_trial(path, frame)
    task = open_task("velocity", {"frame": frame})
    parts = Parts((trial,), (trial,), ())
    sizes = made_training("hiss:gru/gru")
    trainer = Trainer(
        Training(dict(task.facts), sizes.model, sizes.sizes, task.features, task.learn, 0), task.channels, parts
    )
    trainer.update()
    trainer.best = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    leave_model(trainer, RunFolder(tmp_path), task, parts, QUIET)
    model, stream = load_model(tmp_path / MODEL), VelocityStream(open_stream(tmp_path / MODEL), recording.rate_hz)
    found = []
    for k, stamp in enumerate(recording.stamps_ns.tolist()):
        estimate = stream.push(stamp, ImuSample(recording.gyr[k], recording.acc[k]))
        found += [estimate] if estimate else []
    mean = model.card.targets.back(factors(offline(model, trial.inputs[:1000]))[0])
    if frame == "level":
        quat = velocity_task.level_frame(recording)
        at = [int(np.searchsorted(recording.stamps_ns, e.stamp_ns + 1000, side="right")) - 1 for e in found]
        later = [
            min(k + (recording.stamps_ns[k] < e.stamp_ns - 1000), len(recording) - 1)
            for k, e in zip(at, found, strict=True)
        ]
        mean = rotations.rotate(rotations.conjugate(quat[later]), mean[: len(found)])
    assert len(found) >= 99
    # VQF itself gives accelerations that differ by 2.4e-5 m/s^2 here, run over a batch and sample by sample.
    np.testing.assert_allclose([e.mean for e in found], mean[: len(found)], atol=2e-5)
