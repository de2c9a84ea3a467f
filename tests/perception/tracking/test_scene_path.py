"""How the scene moved is read off the tracks together."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.perception.tracking.scene_path import scene_path
from knuckle.perception.tracking.simulated_motion import simulated
from knuckle.perception.tracking.track_windows import film_path, jerk, stretches

ROWS = 8


def panned(tracks: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, L, 4) that stand still in a scene that moves as returned (L, 2)."""
    rng = np.random.default_rng(3)
    path = np.cumsum(rng.normal(0.0, 9.0, (ROWS, 2)), axis=0)
    boxes = np.concatenate([rng.uniform(0, 700, (tracks, 1, 2)) + path, np.full((tracks, ROWS, 2), 60.0)], axis=2)
    boxes[..., :2] += noise * rng.standard_normal((tracks, ROWS, 2))
    return boxes, path - path[-1]


@pytest.mark.parametrize("tracks", [3, 4, 11])
def test_the_path_is_that_of_the_camera_though_one_track_runs_and_one_is_hidden(tracks: int) -> None:
    boxes, path = panned(tracks + 2)
    boxes[0, :, 0] += 30.0 * np.arange(ROWS)
    seen = np.ones((tracks + 2, ROWS), dtype=bool)
    seen[1, 3] = False
    assert np.allclose(scene_path(boxes, seen, np.full(tracks + 2, ROWS)), path)


def test_rows_before_a_track_began_say_nothing() -> None:
    boxes, path = panned(6)
    length = np.array([ROWS, ROWS, ROWS, 2, 2, 2])
    boxes[3:, : ROWS - 2] = boxes[3:, ROWS - 2 : ROWS - 1]
    assert np.allclose(scene_path(boxes, np.ones((6, ROWS), dtype=bool), length), path)


def test_where_few_are_seen_the_scene_goes_on_as_it_went() -> None:
    boxes, path = panned(5)
    seen = np.ones((5, ROWS), dtype=bool)
    seen[1:, -1] = False
    steps = np.diff(scene_path(boxes, seen, np.full(5, ROWS)), axis=0)
    assert np.allclose(steps[:-1], np.diff(path, axis=0)[:-1]) and np.allclose(steps[-1], steps[-2])
    assert not scene_path(boxes[:2], seen[:2], np.full(2, ROWS)).any()


def test_what_networks_learn_from_has_the_path_that_a_tracker_would_see() -> None:
    film = simulated("players", 4, 60)
    windows = stretches([film], 20, 5)
    path = film_path(film)
    assert windows.shape[1:] == (20, 6) and np.isfinite(windows).all()
    own = {tuple(np.round(step, 9)) for step in np.diff(path, axis=0)}
    assert all(tuple(np.round(step, 9)) in own for step in np.diff(windows[0, :, 4:], axis=0))
    assert np.abs(np.diff(path, axis=0)).max() > 1.0


def test_a_steady_camera_surprises_nobody_and_a_jerk_does_by_its_size() -> None:
    path = np.outer(np.arange(9.0), [3.0, -1.0])[None]
    assert np.allclose(jerk(path), 0.0)
    path[0, -1] += [7.0, 2.0]
    assert np.allclose(jerk(path), [[7.0, 2.0]])
