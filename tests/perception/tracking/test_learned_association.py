"""Association that is learned from boxes: it sees no place or scale, knows the right pairs, and repeats itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.perception.tracking.candidates import Candidates
from knuckle.perception.tracking.detection_recipe import detect
from knuckle.perception.tracking.detections import Detections
from knuckle.perception.tracking.follow import follow
from knuckle.perception.tracking.learned_association import LearnedAssociation
from knuckle.perception.tracking.motion_model import diagonal, no_history
from knuckle.perception.tracking.pair_features import FEATURES, pair_features
from knuckle.perception.tracking.ready import ready_tracker
from knuckle.perception.tracking.rivals import rival, weights_of
from knuckle.perception.tracking.simple_motion import ConstantVelocity
from knuckle.perception.tracking.simulated_motion import simulated
from knuckle.perception.tracking.taught_association import NOBODY, TaughtAssociation
from knuckle.perception.tracking.tracker_config import TrackerConfig
from tests.perception.tracking.films import RATE_HZ, exact, straight, without

FRAME_S = 1.0 / RATE_HZ


def some(scale: float = 1.0, shift: float = 0.0, seed: int = 0, n: int = 5, m: int = 7) -> Candidates:
    """Tracks with a past of four rows and detections, some near them, ``scale`` times as large and ``shift`` px off."""
    rng = np.random.default_rng(seed)
    first = np.concatenate([rng.uniform(0, 300, (n, 2)), rng.uniform(30, 60, (n, 2))], axis=1)
    boxes = np.concatenate([rng.uniform(0, 300, (m, 2)), rng.uniform(30, 60, (m, 2))], axis=1)
    near = min(n, m, 3)
    boxes[:near] = first[:near] + rng.normal(0.0, 4.0, (near, 4))

    def put(values: np.ndarray) -> np.ndarray:
        return scale * values + np.array([shift, shift, 0.0, 0.0])

    history = no_history(4, FRAME_S, 0).begin(put(first), np.zeros((n, 0)))
    for k in range(1, 4):
        now, hit = put(first + np.array([2.0 * k, 0, 0, 0])), np.arange(n) != k
        history = history.push(now, hit, FRAME_S, np.zeros((n, 0)))
    mean = put(first + np.array([8.0, 0, 0, 0]))
    covariance = diagonal((0.1 * np.tile(mean[:, 2:], 2)) ** 2)
    labels, hits = np.ones(n, dtype=np.int64), np.arange(n)
    seen = Detections(put(boxes), rng.uniform(0.2, 0.9, m), np.ones(m, dtype=np.int64))
    return Candidates(history, mean, covariance, labels, hits, hits > 1, seen, FRAME_S)


def test_features_do_not_depend_on_place_or_scale() -> None:
    features, possible = pair_features(some())
    others, also = pair_features(some(3.0, 900.0))
    assert features.shape == (possible.sum(), FEATURES) and (possible == also).all()
    assert np.allclose(features, others, atol=1e-4) and np.isfinite(features).all()


def test_pairs_of_other_classes_and_far_ones_are_none() -> None:
    given = some()
    given.seen.labels[2] = 9
    given.seen.boxes[4, 0] = 1e5
    _, possible = pair_features(given)
    assert not possible[:, 2].any() and not possible[:, 4].any() and possible.any()


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (4, 1), (2, 2)])
def test_features_are_finite_with_one_track_or_one_detection(n: int, m: int) -> None:
    features, possible = pair_features(some(n=n, m=m))
    assert np.isfinite(features).all() and possible.shape == (n, m)


def test_an_association_takes_no_detection_twice_and_none_below_low() -> None:
    weights = weights_of("bytetrack-link", ready_folder())
    own = {key.removeprefix("link/"): value for key, value in weights.items()}
    for seed in range(20):
        given = some(seed=seed, n=8, m=9)
        found = LearnedAssociation(TrackerConfig(low=0.5, link=-20.0), own).match(given)
        taken = found[found >= 0]
        assert len(np.unique(taken)) == len(taken) and (given.seen.scores[taken] >= 0.5).all()
        assert (LearnedAssociation(TrackerConfig(link=20.0), own).match(given) == -1).all()


@pytest.mark.parametrize("name", ["cv-link", "sort-link", "bytetrack-link", "ridge-link", "mtp-link"])
def test_an_identity_is_kept_over_ten_frames_unseen(name: str) -> None:
    film = straight(frames=40, speed=6.0)
    frames = exact(film)
    frames[20:30] = [without(seen, 1) for seen in frames[20:30]]
    tracker = ready_tracker(name, FRAME_S)
    told = [tracker.push(film.stamp_ns(k), seen) for k, seen in enumerate(frames)]
    assert told[19] is not None and told[32] is not None
    assert told[19].ids.tolist() == told[32].ids.tolist() == [1, 2, 3]


def test_the_same_detections_give_the_same_tracks() -> None:
    film = simulated("players", 8, 40)
    made = detect(film, 1)
    first, second = (ready_tracker("ridge-link", FRAME_S) for _ in range(2))
    for k, seen in enumerate(made.frames):
        a, b = first.push(film.stamp_ns(k), seen), second.push(film.stamp_ns(k), seen)
        assert a is not None and b is not None
        assert a.ids.tobytes() == b.ids.tobytes() and a.boxes.tobytes() == b.boxes.tobytes()


def test_one_who_is_taught_the_truth_never_changes_an_identity_and_notes_who_was_right() -> None:
    film = simulated("players", 9, 60)
    made = detect(film, 2)
    truth = [np.where(rows >= 0, film.track[np.maximum(rows, 0)], NOBODY) for rows in made.rows]
    taught = TaughtAssociation(truth, [seen.boxes for seen in made.frames])
    config = TrackerConfig(start=0.0, low=0.0, confirm=1, memory_s=60.0)
    told = follow(film, made.frames, ConstantVelocity(FRAME_S), config, taught)
    owner: dict[int, int] = {}
    for tracks, seen, who in zip(told, made.frames, truth, strict=True):
        for track, box in zip(tracks.ids[tracks.seen], tracks.boxes[tracks.seen], strict=True):
            mine = who[np.abs(seen.boxes - box).sum(axis=1).argmin()]
            if mine != NOBODY:
                assert owner.setdefault(int(track), int(mine)) == mine
    right, asked = np.concatenate(taught.right), sum(len(one) for one in taught.features)
    assert len(right) == asked and 0.05 < right.mean() < 0.6


def test_training_tells_right_pairs_from_wrong_ones_on_films_it_has_not_seen() -> None:
    pytest.importorskip("torch")
    from knuckle.perception.tracking.link_net import learn_link, taught_on
    from knuckle.perception.tracking.net_settings import LinkConfig

    films = [simulated("players", seed, 30) for seed in (20, 21, 22)]
    seen = [detect(film, 0) for film in films]

    def make(frame_s: float) -> ConstantVelocity:
        return ConstantVelocity(frame_s, span=3)

    config = LinkConfig(updates=100, batch=256, width=16)
    weights, facts = learn_link(films[:2], seen[:2], [make], config, 0)
    again, _ = learn_link(films[:2], seen[:2], [make], config, 0)
    assert all((weights[name] == again[name]).all() for name in weights) and facts["pairs"] > 500
    taught = taught_on(films[2], seen[2], make, TrackerConfig(), None)
    logits = LearnedAssociation(TrackerConfig(), weights).logits(np.concatenate(taught.features))
    right = np.concatenate(taught.right)
    assert ((logits > 0.0) == right).mean() > 0.95 and (logits[right] > 0.0).mean() > 0.85


def test_weights_of_the_association_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable weights of 'link'"):
        weights_of("sort-link", tmp_path)
    with pytest.raises(InputError, match="unknown model 'srot'"):
        rival("srot-link")


def ready_folder() -> Path:
    """Where the weights that come along are."""
    from knuckle.perception.tracking.weights_folder import SHIPPED

    return SHIPPED
