"""The palm's IMU: what it measures at rest, its noise, biases and the magnet, and that reads may be cut anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import ConfigError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.imu import ImuNoise, PalmImu

HAND = hand_spec("dclaw3")
CLEAN = ImuNoise(
    gyro_noise=0.0,
    gyro_bias=0.0,
    gyro_walk=0.0,
    accel_noise=0.0,
    accel_bias=0.0,
    mag_noise=0.0,
    mag_bias=0.0,
    disturbance=0.0,
)


def test_without_noise_it_measures_gravity_and_the_earths_field_from_the_palm() -> None:
    imu = PalmImu(HAND, CLEAN)
    samples = imu.read(1_000_000_000)
    assert samples.gyro.shape == samples.accel.shape == samples.mag.shape == (121, 3)
    assert (samples.gyro == 0.0).all()
    np.testing.assert_allclose(rotations.rotate(imu.orientation, samples.accel[0]), [0.0, 0.0, 9.80665], atol=1e-12)
    field = rotations.rotate(imu.orientation, samples.mag[0])
    np.testing.assert_allclose(field, imu.earth_field, atol=1e-18)
    assert field[0] == pytest.approx(0.0, abs=1e-18)
    assert field[1] > 0.0 > field[2]
    # Palm down: the specific force points out of the back of the hand, along -z of the palm.
    assert samples.accel[0, 2] == pytest.approx(-9.80665)


def test_samples_come_at_120_hz_and_only_once() -> None:
    imu = PalmImu(HAND, start_ns=1_000)
    first, again, rest = imu.read(500_000_000), imu.read(500_000_000), imu.read(1_000_001_000)
    assert len(again.stamp_ns) == 0
    assert again.gyro.shape == (0, 3)
    stamps = np.concatenate([first.stamp_ns, rest.stamp_ns])
    assert len(stamps) == 121
    assert stamps[0] == 1_000
    np.testing.assert_allclose(np.diff(stamps), 1e9 / 120, atol=1.0)


def test_a_stream_is_the_same_bits_however_it_is_read() -> None:
    whole = PalmImu(HAND, seed=5).read(3_000_000_000)
    imu = PalmImu(HAND, seed=5)
    parts = [imu.read(t) for t in range(0, 3_000_000_001, 7_000_000)] + [imu.read(3_000_000_000)]
    for field in ("stamp_ns", "gyro", "accel", "mag", "disturbed"):
        assert (np.concatenate([getattr(part, field) for part in parts]) == getattr(whole, field)).all()
    assert (PalmImu(HAND, seed=6).read(10_000_000).gyro != whole.gyro[:2]).all()


def test_noise_and_biases_have_the_sizes_asked_for() -> None:
    noise = ImuNoise(gyro_walk=0.0, disturbance=0.0)
    samples = PalmImu(HAND, noise, seed=1).read(20_000_000_000)
    assert samples.gyro.std(axis=0).mean() == pytest.approx(noise.gyro_noise, rel=0.1)
    assert samples.accel.std(axis=0).mean() == pytest.approx(noise.accel_noise, rel=0.1)
    assert samples.mag.std(axis=0).mean() == pytest.approx(noise.mag_noise, rel=0.1)
    biases = np.array([PalmImu(HAND, noise, seed=s).read(10**9).gyro.mean(axis=0) for s in range(40)])
    assert biases.std() == pytest.approx(noise.gyro_bias, rel=0.3)


def test_the_gyroscope_bias_walks() -> None:
    noise = ImuNoise(gyro_noise=0.0, gyro_bias=0.0, gyro_walk=1e-3)
    ends = [PalmImu(HAND, noise, seed=s).read(4_000_000_000).gyro[-1] for s in range(40)]
    assert np.std(ends) == pytest.approx(1e-3 * 2.0, rel=0.25)


def test_a_magnet_passes_now_and_then_and_is_marked() -> None:
    noise = ImuNoise(mag_noise=0.0, mag_bias=0.0, disturbance_every=5.0)
    imu = PalmImu(HAND, noise, seed=3)
    samples = imu.read(120_000_000_000)
    strength = np.linalg.norm(rotations.rotate(imu.orientation, samples.mag) - imu.earth_field, axis=1)
    assert strength.max() == pytest.approx(noise.disturbance, rel=0.01)
    assert (samples.disturbed == (strength > 0.05 * noise.field)).all()
    assert 0.05 < samples.disturbed.mean() < 0.6


def test_a_noise_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"imu\.dip"):
        PalmImu(HAND, ImuNoise(dip=3.0))
