"""The closed-form forecaster: what it forecasts, in which frames and shapes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import InputError
from knuckle.motion.forecaster import MODES, Forecaster
from knuckle.motion.forecaster_config import TRAFFIC, ForecasterConfig

RNG = np.random.default_rng(0)


def straight(velocity: list[float], rows: int = 15, dt: float = 0.05) -> np.ndarray:
    return np.array(velocity) * dt * np.arange(1 - rows, 1)[:, None]


def circling(rate: float, rows: int = 30, dt: float = 0.05, radius: float = 0.2) -> np.ndarray:
    angle = rate * dt * np.arange(1 - rows, 1)
    return radius * np.stack([np.sin(angle), -np.cos(angle)], -1) * np.sign(rate)


def test_straight_motion_is_forecast_straight_on_with_growing_spread() -> None:
    f = Forecaster().forecast(straight([0.3, -0.1])[None], 0.05)
    best = int(f.probability[0].argmax())
    assert MODES[best] == "straight"
    assert np.abs(f.mean[0, best] - f.times_s[:, None] * [0.3, -0.1]).max() < 0.005
    deviation = np.sqrt(f.covariance[0, best, :, 0, 0])
    assert (np.diff(deviation) > 0).all()
    assert f.mean.shape == (1, 4, 10, 2) and f.times_s[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(("rate", "mode"), [(1.0, "left"), (-1.0, "right")])
def test_a_turn_is_told_from_a_straight_line(rate: float, mode: str) -> None:
    f = Forecaster(ForecasterConfig(noise_m=0.001, wander_mps=0.05)).forecast(circling(rate)[None], 0.05)
    best = int(f.probability[0].argmax())
    assert MODES[best] == mode
    ahead = circling(rate, rows=1)[0] - circling(rate, rows=1)[0]
    angle = rate * f.times_s
    truth = 0.2 * np.sign(rate) * np.stack([np.sin(angle), -np.cos(angle)], -1)
    assert np.abs(f.mean[0, best] - truth - ahead).max() < 0.02


def test_what_slows_down_is_expected_to_stop() -> None:
    t = 0.05 * np.arange(-15, 1)
    path = np.stack([0.4 * (1 - np.exp(-(t + 0.75) / 0.4)), np.zeros_like(t)], -1)
    f = Forecaster(ForecasterConfig(noise_m=0.001, wander_mps=0.1)).forecast(path[None], 0.05)
    assert MODES[int(f.probability[0].argmax())] == "stop"


@settings(deadline=None, max_examples=25)
@given(
    angle=st.floats(-3.1, 3.1),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    rows=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_another_frame_of_the_plane_gives_the_same_forecast_in_that_frame(
    angle: float, shift: tuple[float, float], rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.normal(0, 0.02, (2, rows, 2)), axis=1)
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    here = Forecaster().forecast(path, 0.1)
    there = Forecaster().forecast(path @ R.T + shift, 0.1)
    assert np.allclose(there.mean, here.mean @ R.T + shift, atol=1e-9)
    assert np.allclose(there.covariance, R @ here.covariance @ R.T, atol=1e-12)
    assert np.allclose(there.probability, here.probability, atol=1e-6)
    assert np.allclose(here.probability.sum(1), 1.0)


def test_space_has_the_plane_in_it_and_boxes_are_their_centres() -> None:
    path = straight([0.2, 0.1, -0.3])[None]
    extent = np.full((1, 15, 3), 0.04)
    space, boxes = Forecaster().forecast(path, 0.05), Forecaster().forecast(np.concatenate([path, extent], -1), 0.05)
    assert np.allclose(space.mean[0, 0, -1], [0.2, 0.1, -0.3], atol=0.01)
    assert np.array_equal(space.mean, boxes.mean) and space.covariance.shape[-2:] == (3, 3)


def test_the_rate_of_the_camera_hardly_matters() -> None:
    slow = Forecaster().forecast(straight([0.3, 0.0], rows=11, dt=0.1)[None], 0.1)
    fast = Forecaster().forecast(straight([0.3, 0.0], rows=31, dt=1 / 30)[None], 1 / 30)
    assert np.abs(slow.mean - fast.mean).max() < 0.01
    ratio = np.sqrt(slow.covariance[0, 0, -1, 0, 0] / fast.covariance[0, 0, -1, 0, 0])
    assert 0.9 < ratio < 1.2


def test_rows_not_seen_are_as_if_left_out_and_uneven_times_are_read() -> None:
    path = straight([0.3, 0.1], rows=9, dt=0.1)
    gaps = path.copy()
    gaps[[2, 5]] = np.nan
    keep = [0, 1, 3, 4, 6, 7, 8]
    with_nan = Forecaster().forecast(gaps[None], 0.1)
    uneven = Forecaster().forecast(path[keep][None], np.diff(0.1 * np.array(keep)))
    assert np.abs(with_nan.mean[:, 0] - uneven.mean[:, 0]).max() < 1e-9
    assert with_nan.covariance[0, 0, -1, 0, 0] == pytest.approx(uneven.covariance[0, 0, -1, 0, 0], rel=1e-6)


def test_a_track_of_one_point_stays_in_its_mean_and_is_the_less_certain() -> None:
    one = Forecaster().forecast(np.array([[[0.1, 0.2]]]), 0.1)
    many = Forecaster().forecast(np.full((1, 12, 2), [0.1, 0.2]), 0.1)
    assert np.allclose(one.mean, [0.1, 0.2])
    assert one.covariance[0, 0, -1, 0, 0] > 2 * many.covariance[0, 0, -1, 0, 0]


def test_tracks_do_not_touch_each_other() -> None:
    paths = np.cumsum(RNG.normal(0, 0.02, (3, 10, 2)), axis=1)
    paths[1, :4] = np.nan
    together = Forecaster().forecast(paths, 0.1)
    for k in range(3):
        alone = Forecaster().forecast(paths[k : k + 1], 0.1)
        assert np.allclose(together.mean[k], alone.mean[0]) and np.allclose(
            together.probability[k], alone.probability[0]
        )
    assert len(Forecaster().forecast(np.zeros((0, 5, 2)), 0.1)) == 0


def test_ninety_percent_lie_in_the_ninety_percent_ellipse_of_its_own_motion() -> None:
    config = ForecasterConfig(straight_share=0.97, stop_share=0.01)
    rng, dt, n = np.random.default_rng(3), 0.1, 1500
    velocity = rng.normal(0, config.speed_mps, (n, 1, 2)) + np.cumsum(
        rng.normal(0, config.wander_mps * np.sqrt(dt / 10), (n, 200, 2)), axis=1
    )
    path = np.cumsum(velocity, axis=1) * dt / 10
    seen = path[:, 9:100:10] + rng.normal(0, config.noise_m, (n, 10, 2))
    f = Forecaster(config).forecast(seen, dt)
    mean, covariance = f.mean[:, 0, 9], f.covariance[:, 0, 9]
    d = path[:, 199] - mean
    squared = (d * np.linalg.solve(covariance, d[..., None])[..., 0]).sum(-1)
    assert 0.87 < (squared < 4.605).mean() < 0.93


def test_the_whole_mixture_has_the_moments_of_its_samples() -> None:
    f = Forecaster().forecast(circling(0.8)[None], 0.05)
    mean, covariance = f.moments()
    rng = np.random.default_rng(1)
    k = rng.choice(4, 200_000, p=f.probability[0])
    root = np.linalg.cholesky(f.covariance[0, :, -1])
    drawn = f.mean[0, k, -1] + (root[k] @ rng.normal(size=(len(k), 2, 1)))[..., 0]
    assert np.allclose(drawn.mean(0), mean[0, -1], atol=2e-3)
    assert np.allclose(np.cov(drawn.T), covariance[0, -1], rtol=0.03, atol=2e-4)
    ordered = f.by_probability()
    assert (np.diff(ordered.probability[0]) <= 0).all()
    assert np.allclose(ordered.moments()[0], mean)


@pytest.mark.parametrize(
    ("history", "dt", "line"),
    [
        (np.zeros((2, 3)), 0.1, "shape"),
        (np.zeros((2, 3, 5)), 0.1, "shape"),
        (np.zeros((1, 0, 2)), 0.1, "shape"),
        ([[[0.0, np.nan]]], 0.1, "track 0 is known in part"),
        ([[[0.0, np.inf]]], 0.1, "track 0"),
        ([[[0.0, 4e6]]], 0.1, "frame's origin"),
        ([[[0.0, 0.0, -1.0, 2.0]]], 0.1, "extent below 0"),
        (np.full((1, 4, 2), np.nan), 0.1, "track 0 was never seen"),
        (np.zeros((1, 3, 2)), 0.0, "above 0 s"),
        (np.zeros((1, 3, 2)), np.nan, "above 0 s"),
        (np.zeros((1, 3, 2)), [0.1, -0.1], "above 0 s"),
        (np.zeros((1, 3, 2)), [0.1], "2 between 3 rows"),
    ],
)
def test_bad_input_is_named_in_one_line(history: np.ndarray, dt: float, line: str) -> None:
    with pytest.raises(InputError, match=line) as caught:
        Forecaster(TRAFFIC).forecast(history, dt)
    assert "\n" not in str(caught.value)


def test_shares_that_leave_nothing_for_turning_are_refused() -> None:
    with pytest.raises(InputError, match="turning"):
        Forecaster(ForecasterConfig(straight_share=0.9, stop_share=0.1))


def test_it_runs_without_torch() -> None:
    code = (
        "import sys, numpy as np; sys.modules['torch'] = None; from knuckle.motion.forecaster import Forecaster; "
        "print(Forecaster().forecast(np.zeros((1, 3, 2)), 0.1).mean.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.strip() == "(1, 4, 10, 2)", done.stderr
