"""Motion models against what they claim to be: full Kalman filters, linear maps, the grid they step on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from knuckle.perception.tracking.grid_roll import on_grid, roll
from knuckle.perception.tracking.kalman_motion import ByteTrackKalman, SortKalman
from knuckle.perception.tracking.motion_model import History, no_history
from knuckle.perception.tracking.ridge_fit import fit_ridge, gap_spread
from knuckle.perception.tracking.ridge_motion import RidgeMotion, moved, relative
from knuckle.perception.tracking.simulated_motion import simulated
from knuckle.perception.tracking.track_windows import noisy, stretches

FRAME_S = 0.04


def run(model: Any, boxes: Any, seen: list[bool]) -> tuple[Any, History]:
    """Predictions for each of ``boxes`` (T, 4) after the first, and the history at the end."""
    history = no_history(max(model.rows, 1), FRAME_S, model.state_size).begin(boxes[:1], model.begin(boxes[:1]))
    means = []
    for box, hit in zip(boxes[1:], seen[1:], strict=True):
        mean, _ = model.predict(history, FRAME_S)
        means.append(mean[0])
        row, flags = (box[None] if hit else mean), np.array([hit])
        history = history.push(row, flags, FRAME_S, model.advance(history, FRAME_S, row, flags))
    return np.array(means), history


def full_filter(z: Any, seen: list[bool], f: Any, h: Any, p: Any, q: Any, r: Any) -> tuple[Any, Any]:
    """Predicted measurements of a Kalman filter in matrices; ``q`` and ``r`` are functions of the state."""
    x = np.concatenate([z[0], np.zeros(f.shape[0] - len(z[0]))])
    out = []
    for measured, hit in zip(z[1:], seen[1:], strict=True):
        noise = q(x)
        x, p = f @ x, f @ p @ f.T + noise
        out.append(h @ x)
        if hit:
            s = h @ p @ h.T + r(x)
            gain = p @ h.T @ np.linalg.inv(s)
            x, p = x + gain @ (measured - h @ x), (np.eye(len(x)) - gain @ h) @ p
    return np.array(out), p


def wandering(frames: int = 40) -> tuple[Any, list[bool]]:
    rng = np.random.default_rng(0)
    centre = np.cumsum(rng.normal(2.0, 1.5, (frames, 2)), axis=0) + 300.0
    size = np.array([40.0, 90.0]) * np.exp(np.cumsum(rng.normal(0.0, 0.02, (frames, 2)), axis=0))
    return np.concatenate([centre, size], axis=1), [k % 7 != 6 for k in range(frames)]


def test_sort_s_four_blocks_are_its_seven_by_seven_filter() -> None:
    boxes, seen = wandering()
    z = np.stack([boxes[:, 0], boxes[:, 1], boxes[:, 2] * boxes[:, 3], boxes[:, 2] / boxes[:, 3]], axis=1)
    f = np.eye(7) + np.eye(7, k=4)
    h = np.eye(7)[:4]
    p = np.diag([10.0] * 4 + [1e4] * 3)
    q = np.diag([1.0] * 4 + [0.01, 0.01, 1e-4])
    expected, _ = full_filter(z, seen, f, h, p, lambda x: q, lambda x: np.diag([1.0, 1.0, 10.0, 10.0]))
    means, _ = run(SortKalman(FRAME_S), boxes, seen)
    width, height = np.sqrt(expected[:, 2] * expected[:, 3]), np.sqrt(expected[:, 2] / expected[:, 3])
    assert np.allclose(means, np.stack([expected[:, 0], expected[:, 1], width, height], axis=1), rtol=1e-9)


def test_bytetrack_s_four_blocks_are_its_eight_by_eight_filter() -> None:
    boxes, _ = wandering()
    seen = [True] * len(boxes)
    z = np.stack([boxes[:, 0], boxes[:, 1], boxes[:, 2] / boxes[:, 3], boxes[:, 3]], axis=1)

    def spread(tall: float, share: float, aspect: float) -> list[float]:
        return [(share * tall) ** 2, (share * tall) ** 2, aspect**2, (share * tall) ** 2]

    p = np.diag(spread(z[0, 3], 2 / 20, 1e-2) + spread(z[0, 3], 10 / 160, 1e-5))
    expected, _ = full_filter(
        z,
        seen,
        np.eye(8) + np.eye(8, k=4),
        np.eye(8)[:4],
        p,
        lambda x: np.diag(spread(x[3], 1 / 20, 1e-2) + spread(x[3], 1 / 160, 1e-5)),
        lambda x: np.diag(spread(x[3], 1 / 20, 1e-1)),
    )
    means, _ = run(ByteTrackKalman(FRAME_S), boxes, seen)
    assert np.allclose(means[:, [0, 1, 3]], expected[:, [0, 1, 3]], rtol=1e-9)
    assert np.allclose(means[:, 2], expected[:, 2] * expected[:, 3], rtol=1e-9)


def test_two_frames_at_once_are_two_frames_in_turn_but_for_the_noise_between() -> None:
    boxes, seen = wandering()
    model = SortKalman(FRAME_S)
    _, history = run(model, boxes, seen)
    mean, _ = model.predict(history, 2 * FRAME_S)
    step, _ = model.predict(history, FRAME_S)
    none = np.array([False])
    twice, _ = model.predict(history.push(step, none, FRAME_S, model.advance(history, FRAME_S, step, none)), FRAME_S)
    assert np.allclose(mean, twice, rtol=1e-9)


def windows(count: int = 1500, rows: int = 30) -> Any:
    found = stretches([simulated("players", seed, 250) for seed in range(3)], rows, 2)
    rng = np.random.default_rng(0)
    return found[rng.permutation(len(found))[:count]]


def test_ridge_beats_the_last_box_and_a_straight_way_on_tracks_it_has_not_seen() -> None:
    some = windows()
    ridge = RidgeMotion(FRAME_S, fit_ridge(some[:1000], np.random.default_rng(0)))
    past, truth = noisy(some[1000:, :10, :4], np.random.default_rng(1)), some[1000:, 10, :4]
    n = len(past)
    ahead = ridge.step(past, np.ones((n, 10), dtype=bool), np.full(n, 10), np.zeros((10, 2)))
    errors = [np.abs(guess - truth).mean() for guess in (ahead, past[:, -1], 2 * past[:, -1] - past[:, -2])]
    assert errors[0] < 0.9 * min(errors[1:])


def test_a_ridge_map_is_best_with_the_noise_that_it_was_fitted_for() -> None:
    some = windows()
    exact, noise = fit_ridge(some[:1000], np.random.default_rng(0), noise=0.005), 0.005
    coarse = fit_ridge(some[:1000], np.random.default_rng(0))
    seen, length, still = np.ones((500, 10), dtype=bool), np.full(500, 10), np.zeros((10, 2))
    for own, other in ((exact, coarse), (coarse, exact)):
        past, truth = noisy(some[1000:, :10, :4], np.random.default_rng(1), noise), some[1000:, 10, :4]
        errors = [
            np.abs(RidgeMotion(FRAME_S, one).step(past, seen, length, still) - truth).mean() for one in (own, other)
        ]
        assert errors[0] < 0.95 * errors[1]
        noise = 0.05


def test_a_ridge_map_does_not_depend_on_place_or_scale() -> None:
    some = windows(600)
    ridge = RidgeMotion(FRAME_S, fit_ridge(some, np.random.default_rng(0)))
    boxes, seen, length = some[:50, :10, :4], np.ones((50, 10), dtype=bool), np.full(50, 10)
    moved_and_scaled = 3.0 * boxes + np.array([500.0, -200.0, 0.0, 0.0])
    still = np.zeros((10, 2))
    expected = 3.0 * ridge.step(boxes, seen, length, still) + np.array([500.0, -200.0, 0.0, 0.0])
    assert np.allclose(ridge.step(moved_and_scaled, seen, length, still), expected, rtol=1e-9)


def test_errors_over_gaps_grow_with_the_gap() -> None:
    some = windows(600)
    ridge = RidgeMotion(FRAME_S, fit_ridge(some, np.random.default_rng(0)))
    spread = gap_spread(ridge.step, some, np.random.default_rng(1))
    assert spread.shape == (20, 4) and (spread[15, :2] > 2.0 * spread[0, :2]).all()


def test_relative_and_moved_are_inverse() -> None:
    some = windows(40)[..., :4]
    offset = relative(some[:, 1:2], some[:, 0])[:, 0]
    assert np.allclose(moved(some[:, 0], offset), some[:, 1])


def straight_history(times: Any) -> History:
    """A box that goes right by 100 px a second, seen at ``times``."""
    first = np.array([[100.0 * times[0], 50.0, 40.0, 80.0]])
    history = no_history(12, FRAME_S, 0).begin(first, np.zeros((1, 0)))
    for before, now in pairwise(times):
        box = np.array([[100.0 * now, 50.0, 40.0, 80.0]])
        history = history.push(box, np.array([True]), now - before, np.zeros((1, 0)))
    return history


def test_a_history_at_other_times_is_laid_on_the_grid() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.09, 12))
    boxes, seen, length = on_grid(straight_history(times), FRAME_S, 6)
    assert np.allclose(boxes[0, :, 0], 100.0 * (times[-1] - FRAME_S * np.arange(5, -1, -1)))
    assert seen.all() and length.tolist() == [6]


def test_a_history_that_is_on_the_grid_is_taken_as_it_is() -> None:
    history = straight_history(FRAME_S * np.arange(12))
    boxes, _, _ = on_grid(history, FRAME_S, 6)
    assert boxes.tobytes() == history.boxes[:, -6:].tobytes()


def test_a_young_track_has_as_many_rows_as_time_has_passed() -> None:
    _, _, length = on_grid(straight_history(np.array([0.0, 0.04, 0.08])), FRAME_S, 6)
    assert length.tolist() == [3]
    boxes, _, length = on_grid(straight_history(np.array([0.0])), FRAME_S, 6)
    assert length.tolist() == [1] and (boxes == boxes[:, :1]).all()


def test_rolling_goes_step_by_step_and_between_two_frames_at_last() -> None:
    history = straight_history(FRAME_S * np.arange(12))
    boxes, seen, length = on_grid(history, FRAME_S, 6)

    def step(boxes: Any, seen: Any, length: Any, path: Any) -> Any:
        return 2.0 * boxes[:, -1] - boxes[:, -2]

    for frames in (0.3, 1.0, 2.0, 4.5):
        assert roll(step, boxes, seen, length, frames)[0, 0] == pytest.approx(boxes[0, -1, 0] + 4.0 * frames)
