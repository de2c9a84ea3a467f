"""VQF behind the contract: the package's own bits, a state that restores, a covariance that covers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from vqf import VQF

from knuckle.core.errors import ConfigError, InputError
from knuckle.sensors.estimator import ImuSample
from knuckle.sensors.orientation_error import errors
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator


def samples(recording, with_mag=True):
    for i, stamp in enumerate(recording.stamps_ns.tolist()):
        yield stamp, ImuSample(recording.gyr[i], recording.acc[i], recording.mag[i] if with_mag else None)


def run(estimator, recording, with_mag=True):
    return [estimator.push(stamp, sample) for stamp, sample in samples(recording, with_mag)]


def test_nine_axes_give_the_bits_of_the_package(made):
    estimates = run(VqfEstimator(VqfConfig(rate_hz=made.rate_hz)), made)
    direct = VQF(1.0 / made.rate_hz).updateBatch(made.gyr, made.acc, made.mag)["quat9D"]
    np.testing.assert_array_equal([e.orientation for e in estimates], direct)
    assert [e.stamp_ns for e in estimates] == made.stamps_ns.tolist()


def test_six_axes_give_the_bits_of_the_package_and_an_unknown_heading(made):
    estimates = run(VqfEstimator(VqfConfig(rate_hz=made.rate_hz)), made, with_mag=False)
    direct = VQF(1.0 / made.rate_hz).updateBatch(made.gyr, made.acc)["quat6D"]
    np.testing.assert_array_equal([e.orientation for e in estimates], direct)
    assert np.sqrt(estimates[-1].covariance[2, 2]) == pytest.approx(np.pi / np.sqrt(3))


@pytest.mark.parametrize("at", [0, 1, 5, 700, 1500])
@pytest.mark.parametrize("with_mag", [True, False])
def test_a_restored_state_goes_on_bit_for_bit(made, at, with_mag):
    config = VqfConfig(rate_hz=made.rate_hz)
    first, second = VqfEstimator(config), VqfEstimator(config)
    stream = list(samples(made, with_mag))
    for stamp, sample in stream[:at]:
        first.push(stamp, sample)
    second.restore(first.state())
    assert second.state() == first.state()
    for stamp, sample in stream[at:]:
        a, b = first.push(stamp, sample), second.push(stamp, sample)
        assert a.orientation.tobytes() == b.orientation.tobytes()
        assert a.covariance.tobytes() == b.covariance.tobytes()
    assert second.state() == first.state()


def test_a_state_that_is_not_its_own_is_refused():
    estimator = VqfEstimator()
    good = json.loads(estimator.state())
    before = estimator.state()
    short = {**good, "biasP": good["biasP"][:-1]}
    text = {**good, "delta": "0"}
    more = {**good, "extra": 1.0}
    for wrong in (b"", b"\xff", b"[1]", b"{}", *(json.dumps(w).encode() for w in (short, text, more))):
        with pytest.raises(InputError, match="state of vqf"):
            estimator.restore(wrong)
    assert estimator.state() == before


def test_the_heading_gets_surer_with_a_field_and_less_sure_without():
    rng = np.random.default_rng(0)
    estimator = VqfEstimator(VqfConfig(rate_hz=100.0, floor_heading_deg=0.0))
    still = ImuSample(np.zeros(3), np.array([0.0, 0.0, 9.81]))
    field = np.array([0.0, 20e-6, -40e-6])
    deviations = []
    for i in range(3000):
        sample = ImuSample(0.5 * rng.standard_normal(3), still.acc, field if i < 2000 else None)
        deviations.append(np.sqrt(estimator.push(i * 10_000_000, sample).covariance[2, 2]))
    assert deviations[2999] > deviations[2000] > 0.0


def test_a_setting_out_of_range_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"vqf\.rate_hz"):
        VqfEstimator(VqfConfig(rate_hz=0.0))


@pytest.mark.data
def test_the_covariance_covers_the_error_of_a_published_trial(broad_trial):
    recording = broad_trial("04")
    estimates = run(VqfEstimator(VqfConfig(rate_hz=recording.rate_hz)), recording)
    moving = recording.movement & np.isfinite(recording.truth).all(axis=1)
    e = errors(np.array([x.orientation for x in estimates])[moving], recording.truth[moving])
    sigma = np.sqrt(np.array([x.covariance.diagonal() for x in estimates])[moving])
    assert np.mean(e.heading < 2.0 * sigma[:, 2]) > 0.9
    assert np.mean(e.inclination < 2.0 * np.hypot(sigma[:, 0], sigma[:, 1])) > 0.9
    assert np.mean(e.heading > 0.1 * sigma[:, 2]) > 0.5
