"""The detector of the evaluations: as the recipe says, and the same bits for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.perception.tracking.detection_recipe import bursts, detect, digest
from knuckle.perception.tracking.sequence import make_sequence
from knuckle.perception.tracking.simulated_motion import KINDS, simulated
from tests.perception.tracking.films import straight


def test_detections_are_the_same_bits_for_a_seed_and_others_for_another() -> None:
    film = straight(tracks=4, frames=60)
    assert digest(detect(film, 3).frames) == digest(detect(film, 3).frames)
    assert digest(detect(film, 3).frames) != digest(detect(film, 4).frames)
    # The hash itself, so that a change of the recipe, or of how numpy draws, does not pass unseen.
    assert digest(detect(film, 3).frames)[:16] == "dc38b63884074671"


def test_noise_misses_and_false_boxes_are_as_many_as_the_recipe_says() -> None:
    film = straight(tracks=5, frames=4000, speed=0.05)
    made = detect(film, 0)
    missed, near = bursts(film, np.random.default_rng(0))
    # Bursts of 5, 10 and 20 starting with 0.5%: about 5.7% of rows, as some overlap.
    assert missed.mean() == pytest.approx(0.057, abs=0.012)
    assert 1.0 - made.kept.mean() == pytest.approx(1.0 - 0.9 * (1.0 - 0.057), abs=0.015)
    count = sum(len(seen.scores) for seen in made.frames)
    assert count - made.kept.sum() == pytest.approx(0.5 * film.frames, rel=0.1)
    assert not (missed & near).any() and near.any()


def test_scores_are_lower_near_a_burst_and_boxes_stray_by_a_twentieth_of_their_size() -> None:
    film = straight(tracks=1, frames=6000, speed=0.01)
    made = detect(film, 1)
    boxes, scores = [], []
    for k, seen in enumerate(made.frames):
        if made.kept[k]:
            near = np.argmin(np.abs(seen.boxes - film.boxes[k]).sum(axis=1))
            boxes.append(seen.boxes[near] - film.boxes[k])
            scores.append(seen.scores[near])
    spread = np.std(boxes, axis=0) / [40.0, 90.0, 40.0, 90.0]
    assert np.allclose(spread, 0.05, rtol=0.08)
    # A mixture of N(0.75, 0.15) and, near bursts, N(0.45, 0.15), cut to 0..1.
    assert 0.66 < np.mean(scores) < 0.75 and max(scores) <= 1.0


def test_a_film_without_boxes_has_no_detections() -> None:
    film = straight(tracks=1, frames=5)
    rows = (film.frame[:0], film.track[:0], film.boxes[:0], film.label[:0])
    none = make_sequence("none", 25.0, (640, 480), 5, *rows)
    made = detect(none, 0)
    assert sum(len(seen.scores) for seen in made.frames) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_films_repeat_by_seed_and_hold_motion_that_turns_and_stops(kind: str) -> None:
    film = simulated(kind, 5, 120)
    assert film.digest() == simulated(kind, 5, 120).digest()
    assert film.digest() != simulated(kind, 6, 120).digest()
    assert (film.boxes[:, 2:] > 0.0).all() and film.frame.max() < 120
    turns = 0.0
    for track in np.unique(film.track):
        rows = film.track == track
        way = np.diff(film.boxes[rows][::10, :2], axis=0)
        if len(way) > 2:
            turns = max(turns, float(np.abs(np.diff(way, axis=0)).max()))
    assert turns > 2.0
