"""The zone round the hand: its shape, the probability of being in it, and what is and is not a threat."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import ConfigError
from knuckle.motion.forecaster import Forecaster
from knuckle.motion.track_memory import TrackMemory
from knuckle.perception.zone import Entry, Zone, ZoneConfig

RATE_HZ = 12.0
REACH_M = 0.04


def watch(zone: Zone, path: np.ndarray, seed: int = 0, noise_m: float = 0.004) -> list[Entry | None]:
    """What the zone says of a thing that is seen, with noise, at each place of ``path`` (n, 3)."""
    rng = np.random.default_rng(seed)
    memory, forecaster, said = TrackMemory(), Forecaster(), []
    for k, place in enumerate(path):
        seen = place[None] + rng.normal(0.0, noise_m, (1, 3))
        past = memory.push(round(k * 1e9 / RATE_HZ), [1], seen, np.array([True]))
        assert past is not None
        f = forecaster.forecast(past.history, past.dt_s)
        parts = f.times_s, f.probability[0], f.mean[0], f.covariance[0]
        said.append(zone.entry(1, "ball", seen[0], *parts, REACH_M))
    return said


@pytest.mark.parametrize("shape", ["ball", "box"])
@pytest.mark.parametrize("speed", [0.1, 0.35, 0.8])
def test_what_comes_is_told_before_it_is_in_the_zone(shape: str, speed: float) -> None:
    zone = Zone(np.zeros(3), ZoneConfig(shape=shape))
    edge = 0.25 + REACH_M
    for seed in range(3):
        ways = np.arange(0.6, edge - 0.1, -speed / RATE_HZ)
        said = watch(zone, np.stack([ways, 0 * ways, 0 * ways], axis=1), seed)
        first = next(k for k, entry in enumerate(said) if entry is not None)
        warning_s = (ways[first] - edge) / speed
        assert warning_s > 0.15
        assert said[-1] is not None
        assert said[-1].after_s == 0.0
        assert "is in the zone" in str(said[-1])


@pytest.mark.parametrize("seed", range(5))
def test_what_stands_still_recedes_or_passes_by_is_no_threat(seed: int) -> None:
    zone, edge, n = Zone(np.zeros(3)), 0.25 + REACH_M, 24
    still = np.tile([edge + 0.06, 0.0, 0.0], (n, 1))
    receding = np.stack([edge + 0.02 + np.arange(n) * 0.3 / RATE_HZ, np.zeros(n), np.zeros(n)], axis=1)
    passing = np.stack([np.full(n, edge + 0.12), -0.4 + np.arange(n) * 0.4 / RATE_HZ, np.zeros(n)], axis=1)
    for path in (still, passing):
        assert watch(zone, path, seed) == [None] * n
    # Of what was seen once or twice nobody knows yet where it goes.
    assert watch(zone, receding, seed)[2:] == [None] * (n - 2)


@given(
    radius=st.floats(0.05, 0.5),
    offset=st.floats(0.0, 1.0),
    sigma=st.floats(0.01, 0.3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_the_probability_is_that_of_sampling(radius: float, offset: float, sigma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    zone = Zone(np.zeros(3), ZoneConfig(radius=radius))
    A = rng.normal(size=(3, 3)) * sigma
    covariance, way = A @ A.T, rng.normal(size=3)
    mean = way / np.linalg.norm(way) * offset
    drawn = rng.multivariate_normal(mean, covariance, size=20_000)
    sampled = (np.linalg.norm(drawn, axis=1) <= radius + REACH_M).mean()
    assert float(zone.probability(mean, covariance, REACH_M)) == pytest.approx(sampled, abs=0.035)


def test_a_slab_s_probability_is_that_of_the_normal_distribution() -> None:
    zone = Zone(np.zeros(3), ZoneConfig(shape="box", half_x=0.1, half_y=5.0, half_z=5.0))
    for x in (0.0, 0.1, 0.15, 0.3):
        want = 0.5 * (math.erf((0.1 - x) / (0.08 * 2**0.5)) - math.erf((-0.1 - x) / (0.08 * 2**0.5)))
        got = zone.probability(np.array([x, 0.0, 0.0]), np.diag([0.08**2, 0.01, 0.01]), 0.0)
        assert float(got) == pytest.approx(want, abs=0.01)


def test_it_is_certain_of_what_is_certain_and_the_same_to_the_bit() -> None:
    zone = Zone(np.array([0.0, 0.0, 0.1]))
    means = np.array([[0.0, 0.0, 0.1], [0.0, 0.0, 0.34], [0.0, 0.0, 0.36], [3.0, 0.0, 0.1]])
    flat = np.zeros((4, 3, 3))
    assert zone.probability(means, flat, 0.0).tolist() == [1.0, 1.0, 0.0, 0.0]
    spread = np.tile(0.01 * np.eye(3), (4, 1, 1))
    assert np.array_equal(zone.probability(means, spread, 0.05), zone.probability(means, spread, 0.05))


def test_what_enters_later_than_the_set_time_is_no_threat_yet() -> None:
    times, weight = np.arange(0.1, 2.05, 0.1), np.ones(1)
    mean = np.stack([1.0 - 0.6 * times, 0 * times, 0 * times], axis=1)[None]
    covariance = np.tile(1e-6 * np.eye(3), (1, len(times), 1, 1))
    now = np.array([1.0, 0.0, 0.0])
    for within, told in ((1.0, False), (1.15, False), (1.3, True)):
        entry = Zone(np.zeros(3), ZoneConfig(within_s=within)).entry(
            4, "cup", now, times, weight, mean, covariance, 0.0
        )
        assert (entry is not None) == told
    assert entry is not None
    assert entry.after_s == pytest.approx(1.3)
    assert str(entry) == "cup 4 will be in the zone in 1.3 s (probability 1.00)"
    assert entry.nearest_m == pytest.approx(0.75)


def test_settings_out_of_range_are_refused() -> None:
    for config in (ZoneConfig(radius=0.0), ZoneConfig(probability=0.0), ZoneConfig(shape="egg")):
        with pytest.raises(ConfigError):
            Zone(np.zeros(3), config)
