"""Madgwick, the complementary filter and VQF with a hard-iron correction, behind the same contract."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.cli import main
from knuckle.core import rotations
from knuckle.core.errors import ConfigError, InputError
from knuckle.sensors.complementary import ComplementaryConfig, ComplementaryEstimator
from knuckle.sensors.estimator import ImuSample
from knuckle.sensors.first_orientation import first_orientation
from knuckle.sensors.hard_iron import HardIron, HardIronConfig
from knuckle.sensors.hard_iron_vqf import HardIronVqfConfig, HardIronVqfEstimator
from knuckle.sensors.imu_stream import ImuStream
from knuckle.sensors.madgwick import MadgwickConfig, MadgwickEstimator, _gradient
from knuckle.sensors.orientation_error import rmse
from knuckle.sensors.orientation_estimators import ESTIMATORS, orientation_estimator
from knuckle.sensors.replay_stream import replay, stream_config
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator

NAMES = tuple(ESTIMATORS)
NEW = ("madgwick", "complementary", "vqf-hard-iron")
seeds = st.integers(0, 2**32 - 1)


def run(estimator, recording, with_mag=True, extra=None, part=slice(None)):
    """The orientations (n, 4) of ``recording``; ``extra`` (n, 3) T is added to the field."""
    out = []
    for i in range(len(recording))[part]:
        mag = recording.mag[i] if extra is None else recording.mag[i] + extra[i]
        sample = ImuSample(recording.gyr[i], recording.acc[i], mag if with_mag else None)
        out.append(estimator.push(int(recording.stamps_ns[i]), sample).orientation)
    return np.array(out)


@settings(max_examples=30)
@given(seed=seeds)
def test_one_sample_at_rest_gives_the_orientation_it_was_taken_at(seed):
    q = rotations.random(np.random.default_rng(seed), 1)[0]
    acc, mag = rotations.rotate(rotations.conjugate(q), np.array([[0.0, 0.0, 9.81], [0.0, 20e-6, -40e-6]]))
    assert rotations.angle_between(first_orientation(acc.tolist(), mag.tolist()), q) < 1e-6
    level = rotations.rotate(first_orientation(acc.tolist(), None), acc)
    np.testing.assert_allclose(level, [0.0, 0.0, 9.81], atol=1e-9)
    along = rotations.rotate(first_orientation(acc.tolist(), (2.0 * acc).tolist()), acc)
    np.testing.assert_allclose(along, [0.0, 0.0, 9.81], atol=1e-9)


@settings(max_examples=30)
@given(seed=seeds)
def test_the_gradient_is_that_of_what_it_descends(seed):
    rng = np.random.default_rng(seed)
    q = rotations.random(rng, 1)[0]
    acc, mag = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    x, y, bz = rotations.rotate(q, mag)
    by = np.hypot(x, y)

    def cost(p):
        w, i, j, k = p
        up = np.array([2 * (i * k - w * j), 2 * (j * k + w * i), 1 - 2 * (i * i + j * j)])
        north = np.array([2 * (i * j + w * k), 1 - 2 * (i * i + k * k), 2 * (j * k - w * i)])
        return 0.5 * np.sum((up - acc) ** 2) + 0.5 * np.sum((by * north + bz * up - mag) ** 2)

    numeric = [(cost(q + 1e-6 * e) - cost(q - 1e-6 * e)) / 2e-6 for e in np.eye(4)]
    np.testing.assert_allclose(_gradient(q.tolist(), acc.tolist(), mag.tolist()), numeric, atol=1e-8)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("with_mag", [True, False])
def test_they_follow_a_sensor_that_turns(made, name, with_mag):
    estimates = run(orientation_estimator(name, made.rate_hz), made, with_mag)
    late = made.stamps_ns > 2e9
    error = rmse(estimates, made.truth, late)
    assert error.inclination_deg < 2.0
    if with_mag:
        assert error.heading_deg < 3.0


@pytest.mark.parametrize("name", ["madgwick", "complementary"])
def test_a_wrong_start_is_pulled_to_what_gravity_and_field_say(name):
    rng = np.random.default_rng(3)
    q = rotations.random(rng, 1)[0]
    acc, mag = rotations.rotate(rotations.conjugate(q), np.array([[0.0, 0.0, 9.81], [0.0, 20e-6, -40e-6]]))
    estimator = orientation_estimator(name, 100.0)
    estimator.push(0, ImuSample(np.zeros(3), acc, mag))
    values = json.loads(estimator.state())
    values["q"] = rotations.multiply(rotations.exp([0.5, -0.6, 0.7]), values["q"]).tolist()
    estimator.restore(json.dumps(values).encode())
    for i in range(1, 8000):
        estimate = estimator.push(i * 10_000_000, ImuSample(np.zeros(3), acc, mag))
    assert rotations.angle_between(estimate.orientation, q) < np.radians(0.2)


def test_madgwick_takes_a_constant_bias_off_the_gyroscope():
    config = MadgwickConfig(rate_hz=100.0, beta=0.2, zeta=0.05)
    estimator, bias = MadgwickEstimator(config), np.array([0.02, -0.03, 0.04])
    sample = ImuSample(bias, np.array([0.0, 0.0, 9.81]), np.array([0.0, 20e-6, -40e-6]))
    for i in range(6000):
        estimator.push(i * 10_000_000, sample)
    np.testing.assert_allclose(json.loads(estimator.state())["bias"], bias, atol=6e-3)


@pytest.mark.parametrize("name", NEW)
def test_readings_without_length_do_no_harm(name):
    estimator = orientation_estimator(name, 100.0)
    nothing, up, north = np.zeros(3), np.array([0.0, 0.0, 9.81]), np.array([0.0, 20e-6, -40e-6])
    for i, (acc, mag) in enumerate([(nothing, nothing), (up, nothing), (nothing, north), (up, north)] * 50):
        estimate = estimator.push(i * 10_000_000, ImuSample(nothing, acc, mag))
        assert np.linalg.norm(estimate.orientation) == pytest.approx(1.0)
    # Madgwick tilts while it turns to north: 6 degrees are let pass, an estimate thrown over is not.
    np.testing.assert_allclose(rotations.rotate(estimate.orientation, up), up, atol=1.0)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("with_mag", [True, False])
@pytest.mark.parametrize("at", [0, 1, 19, 1500])
def test_a_restored_state_goes_on_bit_for_bit(made, name, with_mag, at):
    first, second = (orientation_estimator(name, made.rate_hz) for _ in range(2))
    extra = np.where(np.arange(len(made))[:, None] > 800, [2e-5, -1e-5, 3e-5], 0.0)
    run(first, made, with_mag, extra, slice(0, at))
    second.restore(first.state())
    assert second.state() == first.state()
    rest = [run(estimator, made, with_mag, extra, slice(at, at + 400)) for estimator in (first, second)]
    assert rest[0].tobytes() == rest[1].tobytes()
    assert second.state() == first.state()


@pytest.mark.parametrize("name", NEW)
def test_a_state_that_is_not_its_own_is_refused(name):
    estimator = orientation_estimator(name, 100.0)
    before = estimator.state()
    good = json.loads(before)
    for wrong in (b"", b"[1]", json.dumps({**good, "extra": 1}).encode(), VqfEstimator().state()):
        with pytest.raises(InputError, match=f"state of {name}"):
            estimator.restore(wrong)
    assert estimator.state() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_gives_the_bits_of_the_bare_estimator(made, name):
    streamed = [e.orientation for e in replay(made.part(0.0, 3.0), ImuStream(stream_config(made, name)))]
    bare = run(orientation_estimator(name, made.rate_hz), made, part=slice(0, len(streamed)))
    assert np.array(streamed).tobytes() == bare.tobytes()


def test_an_unknown_estimator_or_a_setting_out_of_range_is_refused_by_name(made):
    with pytest.raises(InputError, match=r"unknown estimator 'madgwik'; did you mean 'madgwick'"):
        orientation_estimator("madgwik", 100.0)
    with pytest.raises(ConfigError, match=r"stream\.estimator"):
        ImuStream(stream_config(made, "kalman"))
    for build, where in (
        (lambda: MadgwickEstimator(MadgwickConfig(beta=-1.0)), "madgwick.beta"),
        (lambda: ComplementaryEstimator(ComplementaryConfig(tau_acc_s=0.0)), "complementary.tau_acc_s"),
        (lambda: HardIronVqfEstimator(HardIronVqfConfig(noise=float("nan"))), "vqf-hard-iron.noise"),
    ):
        with pytest.raises(ConfigError, match=where):
            build()


def readings(n, rng, bias, field, turning=True):
    """Orientations (n, 4), readings (n, 3) T and rates of a sensor that turns at 1.5 rad/s or rests, 14 a second."""
    axis = rotations.random(rng, 1)[0, 1:]
    q, out = rotations.random(rng, 1)[0], []
    for i in range(n):
        if turning:
            axis = axis + 0.2 * rng.standard_normal(3)
            axis /= np.linalg.norm(axis)
            q = rotations.multiply(q, rotations.exp(1.5 * 0.07 * axis))
        mag = rotations.rotate(rotations.conjugate(q), field(i)) + bias + 3e-7 * rng.standard_normal(3)
        out.append((q, mag, 1.5 if turning else 0.0))
    return out


def test_what_turns_along_is_found_while_the_sensor_turns_and_kept_while_it_rests():
    rng = np.random.default_rng(0)
    bias, earth = np.array([2e-5, -3e-5, 1e-5]), np.array([0.0, 20e-6, -40e-6])
    iron = HardIron()
    for reading in readings(600, rng, bias, lambda i: earth):
        iron.observe(*reading)
    np.testing.assert_allclose(iron.bias, bias, atol=1.5e-6)
    kept = iron.bias
    for reading in readings(600, rng, bias, lambda i: earth, turning=False):
        iron.observe(*reading)
    np.testing.assert_allclose(iron.bias, kept, atol=3e-6)
    for reading in readings(600, rng, np.zeros(3), lambda i: earth):  # taken off again
        iron.observe(*reading)
    assert np.linalg.norm(iron.bias) < 1.5e-6


@pytest.mark.parametrize("turning", [True, False])
def test_nothing_is_corrected_in_a_clean_field_or_at_rest(turning):
    rng = np.random.default_rng(1)
    iron = HardIron()
    for reading in readings(600, rng, np.zeros(3), lambda i: np.array([0.0, 20e-6, -40e-6]), turning):
        iron.observe(*reading)
        assert not iron.bias.any()


def test_a_field_of_the_room_that_changes_from_place_to_place_is_not_taken_for_the_sensors():
    rng = np.random.default_rng(2)
    changes = np.cumsum(3e-6 * rng.standard_normal((600, 3)), axis=0)
    changes = 1e-5 * np.sin(changes / 5e-6)
    iron, corrected = HardIron(), []
    for reading in readings(600, rng, np.zeros(3), lambda i: np.array([0.0, 20e-6, -40e-6]) + changes[i]):
        iron.observe(*reading)
        corrected.append(np.linalg.norm(iron.bias))
    assert np.mean(corrected) < 0.25 * np.mean(np.linalg.norm(changes, axis=1))


def test_plain_vqf_to_the_bit_where_nothing_is_believed(made):
    config = HardIronVqfConfig(rate_hz=made.rate_hz, believed=0.0)
    plain = run(VqfEstimator(VqfConfig(rate_hz=made.rate_hz)), made)
    assert run(HardIronVqfEstimator(config), made).tobytes() == plain.tobytes()


def test_an_attached_magnet_misleads_vqf_and_not_the_corrected_one(make_recording):
    made = make_recording(40.0)
    extra = np.where(made.stamps_ns[:, None] > 5e9, [2e-5, -1e-5, 2e-5], 0.0)
    late = made.stamps_ns > 20e9
    plain = rmse(run(VqfEstimator(VqfConfig(rate_hz=made.rate_hz)), made, extra=extra), made.truth, late)
    better = rmse(
        run(HardIronVqfEstimator(HardIronVqfConfig(rate_hz=made.rate_hz)), made, extra=extra), made.truth, late
    )
    assert better.heading_deg < 0.5 * plain.heading_deg
    assert better.inclination_deg == pytest.approx(plain.inclination_deg, abs=1e-9)


def test_the_costs_of_a_reading_do_not_grow():
    iron = HardIron(HardIronConfig())
    sizes = set()
    for reading in readings(50, np.random.default_rng(0), np.zeros(3), lambda i: np.array([0.0, 2e-5, -4e-5])):
        iron.observe(*reading)
        sizes.add(sum(np.size(v) for v in iron.values().values()))
    assert len(sizes) == 1


def test_the_command_takes_an_estimator_by_its_name(write_broad, make_recording, tmp_path, capsys):
    file, digests = write_broad(make_recording(1.0)), set()
    for name in NAMES:
        figures = tmp_path / f"{name}.json"
        assert main(["stream", str(file), "--fast", "--estimator", name, "--json", str(figures)]) == 0
        digests.add(json.loads(figures.read_text())["figures"]["estimates_digest"])
    assert len(digests) >= 3  # nothing is believed within a second: the corrected VQF is the plain one
    capsys.readouterr()
    assert main(["stream", str(file), "--fast", "--estimator", "kalman"]) == 2
    assert "vqf-hard-iron" in capsys.readouterr().err


@pytest.mark.data
def test_a_published_trial_with_a_magnet_attached_is_estimated_better_than_by_plain_vqf(broad_trial):
    recording = broad_trial("34")
    plain = run(VqfEstimator(VqfConfig(rate_hz=recording.rate_hz)), recording)
    corrected = run(HardIronVqfEstimator(HardIronVqfConfig(rate_hz=recording.rate_hz)), recording)
    before, after = (rmse(estimates, recording.truth, recording.movement) for estimates in (plain, corrected))
    assert after.heading_deg < 0.6 * before.heading_deg
    assert after.inclination_deg == pytest.approx(before.inclination_deg, abs=1e-9)
