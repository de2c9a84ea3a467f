"""What training is shown beside BROAD's own motions: still motions, in which velocity is the sum of acceleration."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from knuckle.sensors.hiss import velocity_variation
from knuckle.sensors.hiss.trial import CHUNK, Trial
from knuckle.sensors.leaky_velocity import leaky_velocity

RATE_HZ = 50.0


def motion(seed: int, n: int = 400) -> Trial:
    """A trial that begins and ends at rest, whose velocity is the integral of its acceleration."""
    rng = np.random.default_rng(seed)
    acc = np.zeros((n, 3))
    acc[n // 4 : n // 2] = rng.standard_normal((n // 2 - n // 4, 3))
    acc[n // 2] = -acc.sum(axis=0)
    gyr = rng.standard_normal((n, 3))
    return Trial("m", "g", np.concatenate([acc, gyr], axis=1), np.cumsum(acc, axis=0) / RATE_HZ, np.ones(n, np.bool_))


def integral(trial: Trial) -> np.ndarray:
    return np.cumsum(trial.inputs[:, :3], axis=0) / RATE_HZ


@given(seed=st.integers(0, 1000))
def test_velocity_is_the_integral_of_acceleration_in_every_varied_motion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trials = [motion(k, 300 + 50 * k) for k in range(4)]
    shown = velocity_variation.varied(trials, rng)
    assert [t.inputs.shape for t in shown] == [t.inputs.shape for t in trials]
    for trial in shown:
        # A sum may begin in the middle of the other motion, with a velocity that no integral knows.
        error = (trial.targets - integral(trial))[trial.known]
        assert len(error) >= len(trial) - 2 * CHUNK
        assert np.ptp(error, axis=0).max() < 1e-9


def test_a_mirror_seen_twice_shows_the_motion_and_turns_the_axial_rate_the_other_way() -> None:
    trial = motion(3)
    once = velocity_variation.mirrored(trial)
    np.testing.assert_array_equal(velocity_variation.mirrored(once).inputs, trial.inputs)
    np.testing.assert_array_equal(once.targets[:, 1], -trial.targets[:, 1])
    # omega x v is a polar vector: its mirror image is that of the mirrored omega and v.
    polar = np.cross(trial.inputs[:, 3:], trial.targets)
    np.testing.assert_allclose(np.cross(once.inputs[:, 3:], once.targets), polar * [1.0, -1.0, 1.0], atol=1e-12)


def test_a_sum_is_not_scored_where_either_motion_is_unknown_or_the_other_begins_anew() -> None:
    first, other = motion(1), motion(2, 100)
    first.targets[40:50] = np.nan
    total = velocity_variation.added(first, other, 30)
    again = (np.arange(400) + 30) % 100 < CHUNK
    unknown = again | ((np.arange(400) >= 40) & (np.arange(400) < 50))
    np.testing.assert_array_equal(~total.known, unknown)
    assert not total.scored[unknown].any() and total.scored[~unknown].all()
    np.testing.assert_array_equal(total.inputs[:, 3:], first.inputs[:, 3:])


@given(seed=st.integers(0, 1000))
def test_integrals_beside_the_acceleration_stay_its_integrals(seed: int) -> None:
    plain = motion(seed)
    integral = leaky_velocity(plain.inputs[:, :3], RATE_HZ)
    trial = Trial("m", "g", np.concatenate([plain.inputs, integral], axis=1), plain.targets, plain.scored)
    shown = velocity_variation.scaled(velocity_variation.mirrored(trial), 1.7)
    rows = velocity_variation.turned(shown.inputs, 0.4)
    np.testing.assert_allclose(rows[:, 6:], leaky_velocity(rows[:, :3], RATE_HZ), atol=1e-9)
