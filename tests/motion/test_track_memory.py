"""The past of tracks, frame by frame: what a forecaster is given of it."""

from __future__ import annotations

import numpy as np

from knuckle.motion.forecaster import Forecaster
from knuckle.motion.track_memory import TrackMemory

SEEN = np.array([True])


def test_the_past_of_each_track_is_in_order_with_gaps_where_it_was_not_seen() -> None:
    memory = TrackMemory(rows=4)
    memory.push(0, [7], np.array([[1.0, 2.0]]), SEEN)
    memory.push(100_000_000, [7, 9], np.array([[1.5, 2.0], [5.0, 5.0]]), np.array([False, True]))
    past = memory.push(300_000_000, [9, 7], np.array([[6.0, 5.0], [2.0, 2.0]]), np.array([True, True]))
    assert past is not None
    assert past.ids == (9, 7)
    assert past.dt_s.tolist() == [0.1, 0.2]
    assert np.array_equal(past.history[1], [[1.0, 2.0], [np.nan, np.nan], [2.0, 2.0]], equal_nan=True)
    assert np.array_equal(past.history[0], [[np.nan, np.nan], [5.0, 5.0], [6.0, 5.0]], equal_nan=True)
    assert len(Forecaster().forecast(past.history, past.dt_s)) == 2


def test_only_the_newest_rows_are_kept_and_a_track_that_left_them_is_not_told() -> None:
    memory = TrackMemory(rows=3)
    for k in range(5):
        past = memory.push(k * 10**8, [1, 2], np.zeros((2, 3)), np.array([True, k == 0]))
    assert past is not None
    assert past.ids == (1,)
    assert past.history.shape == (1, 3, 3)


def test_old_frames_change_nothing_and_a_long_gap_or_a_clock_set_back_begins_anew() -> None:
    memory, point = TrackMemory(gap_s=1.0), np.zeros((1, 3))
    memory.push(10**10, [1], point, SEEN)
    assert memory.push(10**10, [1], point, SEEN) is None
    assert memory.push(10**10 - 10**8, [1], point, SEEN) is None
    for stamp in (10**10 + 2 * 10**9, 10**9):
        past = memory.push(stamp, [1], point, SEEN)
        assert past is not None
        assert past.history.shape == (1, 1, 3)


def test_nothing_in_sight_is_no_track() -> None:
    past = TrackMemory().push(0, [], np.zeros((0, 3)), np.zeros(0, dtype=bool))
    assert past is not None
    assert past.ids == ()
    assert past.history.shape == (0, 1, 3)
