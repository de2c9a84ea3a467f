"""The tracker keeps identities, whatever the rate, order and quality of what it is given, and repeats itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from knuckle.core.errors import ConfigError, InputError
from knuckle.perception.tracking.detection_recipe import detect
from knuckle.perception.tracking.detections import NOTHING, Detections
from knuckle.perception.tracking.follow import follow
from knuckle.perception.tracking.kalman_motion import ByteTrackKalman, ObservationCentred, SortKalman
from knuckle.perception.tracking.motion_model import MotionModel
from knuckle.perception.tracking.ridge_motion import RidgeMap, RidgeMotion
from knuckle.perception.tracking.simple_motion import ConstantVelocity, LastBox
from knuckle.perception.tracking.tracker import Tracker
from knuckle.perception.tracking.tracker_config import TrackerConfig
from tests.perception.tracking.films import RATE_HZ, exact, straight, without

FRAME_S = 1.0 / RATE_HZ


def keeps_velocity() -> RidgeMap:
    """A map that goes on by the last step: what ridge AR would find for straight ways."""
    weights = np.zeros((10, 41, 4))
    weights[1:, 8 * 4 : 8 * 4 + 2, :2] = -np.eye(2)
    return RidgeMap(weights, np.full((20, 4), 0.1))


MODELS: dict[str, MotionModel] = {
    "last": LastBox(FRAME_S),
    "cv": ConstantVelocity(FRAME_S, span=3),
    "bytetrack": ByteTrackKalman(FRAME_S),
    "sort": SortKalman(FRAME_S),
    "ocsort": ObservationCentred(FRAME_S),
    "ridge": RidgeMotion(FRAME_S, keeps_velocity()),
}
MOVING = sorted(set(MODELS) - {"last"})


@pytest.mark.parametrize("name", MODELS)
def test_every_box_that_goes_straight_has_one_identity_of_its_own(name: str) -> None:
    film = straight(frames=20)
    told = follow(film, exact(film), MODELS[name], TrackerConfig())
    assert all(tracks.ids.tolist() == [1, 2, 3] for tracks in told)
    assert np.abs(told[-1].boxes - film.boxes[film.at(19)]).max() < 2.0


@pytest.mark.parametrize("name", MOVING)
def test_an_identity_is_kept_over_ten_frames_unseen_by_every_model_that_moves(name: str) -> None:
    film = straight(frames=40, speed=12.0)
    frames = exact(film)
    frames[20:30] = [without(seen, 1) for seen in frames[20:30]]
    told = follow(film, frames, MODELS[name], TrackerConfig())
    assert told[25].ids.tolist() == [1, 3]
    assert told[31].ids.tolist() == [1, 2, 3]


def test_the_last_box_loses_an_identity_that_moved_out_of_it() -> None:
    film = straight(frames=40, speed=12.0)
    frames = exact(film)
    frames[20:30] = [without(seen, 1) for seen in frames[20:30]]
    told = follow(film, frames, MODELS["last"], TrackerConfig())
    assert 2 not in told[33].ids


@pytest.mark.parametrize("name", MOVING)
def test_frames_that_were_dropped_or_come_at_another_rate_do_not_cost_identities(name: str) -> None:
    film = straight(frames=60, speed=9.0)
    frames = exact(film)
    tracker = Tracker(MODELS[name], FRAME_S)
    rng = np.random.default_rng(0)
    ids = []
    for k in [*range(20), *np.sort(rng.choice(np.arange(20, 60), 14, replace=False))]:
        told = tracker.push(film.stamp_ns(int(k)), frames[k])
        assert told is not None
        ids.append(told.ids.tolist())
    assert ids[-1] == [1, 2, 3]


@pytest.mark.parametrize("name", MOVING)
def test_a_prediction_lies_where_a_straight_way_leads_at_any_time_ahead(name: str) -> None:
    film = straight(frames=30, tracks=1)
    tracker = Tracker(MODELS[name], FRAME_S)
    for k, seen in enumerate(exact(film)):
        tracker.push(film.stamp_ns(k), seen)
    for ahead in (0.5, 1.0, 2.5, 6.0):
        mean, covariance = MODELS[name].predict(tracker._history, ahead * FRAME_S)
        assert mean[0, 0] == pytest.approx(100.0 + 3.0 * (29 + ahead), abs=3.0)
        assert (np.linalg.eigvalsh(covariance[0]) > 0.0).all()


def test_a_frame_that_is_late_or_doubled_is_counted_and_changes_nothing() -> None:
    film = straight(frames=12)
    frames = exact(film)
    plain, disturbed = Tracker(LastBox(FRAME_S), FRAME_S), Tracker(LastBox(FRAME_S), FRAME_S)
    for k, seen in enumerate(frames):
        one, two = plain.push(film.stamp_ns(k), seen), disturbed.push(film.stamp_ns(k), seen)
        assert disturbed.push(film.stamp_ns(k), frames[0]) is None
        assert disturbed.push(film.stamp_ns(k) - 1, NOTHING) is None
        assert one is not None and two is not None and one.boxes.tobytes() == two.boxes.tobytes()
    assert disturbed.counts.backwards == 24


def test_a_long_gap_ends_all_tracks_and_new_ones_have_new_identities() -> None:
    film = straight(frames=4)
    frames = exact(film)
    tracker = Tracker(SortKalman(FRAME_S), FRAME_S, TrackerConfig(gap_s=1.0))
    tracker.push(0, frames[0])
    assert tracker.push(3_000_000_000, frames[1]) is not None
    told = tracker.push(3_040_000_000, frames[2])
    assert told is not None and told.ids.tolist() == [4, 5, 6]


def test_boxes_without_size_or_number_are_left_out_and_counted() -> None:
    boxes = np.array(
        [[10, 10, 5, 5], [10, 10, 0, 5], [10, 10, 5, -1], [np.nan, 0, 5, 5], [1e300, 0, 5, 5]], dtype=float
    )
    labels = np.ones(6, dtype=np.int64)
    seen = Detections(np.vstack([boxes, [[50.0, 50.0, 9.0, 9.0]]]), np.array([0.9, 0.9, 0.9, 0.9, 0.9, np.nan]), labels)
    tracker = Tracker(SortKalman(FRAME_S), FRAME_S)
    told = tracker.push(0, seen)
    assert told is not None and told.ids.tolist() == [1] and tracker.counts.unusable == 5


def test_detections_whose_shapes_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"boxes \(2, 4\), scores \(1,\)"):
        Tracker(LastBox(FRAME_S), FRAME_S).push(0, Detections(np.ones((2, 4)), np.ones(1), np.ones(2, dtype=np.int64)))
    with pytest.raises(ConfigError, match="high"):
        Tracker(LastBox(FRAME_S), FRAME_S, TrackerConfig(high=2.0))


def test_a_track_is_never_matched_with_another_class() -> None:
    film = straight(tracks=1, frames=12)
    frames = exact(film)
    frames[6:] = [replace(seen, labels=seen.labels + 1) for seen in frames[6:]]
    told = follow(film, frames, LastBox(FRAME_S), TrackerConfig(confirm=1))
    assert told[5].ids.tolist() == [1] and told[6].ids.tolist() == [2] and told[6].labels.tolist() == [2]


def test_unsure_detections_carry_a_track_on_but_begin_none() -> None:
    film = straight(tracks=2, frames=20)
    frames = exact(film)
    unsure = [replace(seen, scores=np.full(2, 0.3)) for seen in frames]
    assert all(len(told.ids) == 0 for told in follow(film, unsure, LastBox(FRAME_S), TrackerConfig()))
    told = follow(film, frames[:5] + unsure[5:], LastBox(FRAME_S), TrackerConfig())
    assert told[-1].ids.tolist() == [1, 2] and told[-1].seen.all()


def test_a_track_that_is_lost_is_told_as_long_as_it_is_wished_and_marked_as_unseen() -> None:
    film = straight(tracks=1, frames=20)
    frames = exact(film)[:10] + [NOTHING] * 10
    told = follow(film, frames, ConstantVelocity(FRAME_S), TrackerConfig(coast_s=3 * FRAME_S + 1e-9))
    assert [len(tracks.ids) for tracks in told[8:]] == [1, 1, 1, 1, 1] + [0] * 7
    assert not told[11].seen.any()
    assert told[11].boxes[0, 0] == pytest.approx(100.0 + 3.0 * 11)


def test_what_surprised_the_others_moves_the_lost_ones() -> None:
    film = straight(tracks=4, frames=30, speed=0.0)
    frames = exact(film)
    # The camera turns while one box is not seen.
    shift = np.cumsum([0.0] * 12 + [8.0] * 8 + [0.0] * 10)
    frames = [
        replace(seen, boxes=seen.boxes + np.array([dx, 0.0, 0.0, 0.0])) for seen, dx in zip(frames, shift, strict=True)
    ]
    frames[11:21] = [without(seen, 0) for seen in frames[11:21]]
    alone = follow(film, frames, LastBox(FRAME_S), TrackerConfig(first_iou=0.3))
    shared = follow(film, frames, LastBox(FRAME_S), TrackerConfig(first_iou=0.3, common_shift=1.0))
    assert 1 not in alone[-1].ids and 1 in shared[-1].ids


def test_told_boxes_stray_less_than_detections_where_their_noise_is_known() -> None:
    film = straight(tracks=3, frames=150, speed=1.0)
    seen = detect(film, 0)
    model = ByteTrackKalman(FRAME_S, process=0.02)

    def stray(config: TrackerConfig) -> float:
        told = follow(film, seen.frames, model, config)[20:]
        nearest = [
            np.abs(tracks.boxes[:, None] - film.boxes[film.at(k + 20)][None]).sum(axis=2).min(axis=1)
            for k, tracks in enumerate(told)
        ]
        return float(np.median(np.concatenate(nearest)))

    assert stray(TrackerConfig(noise=0.05)) < 0.8 * stray(TrackerConfig(noise=0.0))


def test_the_re_update_is_as_if_the_way_between_had_been_seen() -> None:
    film = straight(tracks=1, frames=20)
    start, found = film.boxes[-1:], np.array([[400.0, 220.0, 44.0, 88.0]])
    states = {}
    for name in ("sort", "ocsort"):
        model = MODELS[name]
        tracker = Tracker(model, FRAME_S)
        for k, seen in enumerate(exact(film)):
            tracker.push(film.stamp_ns(k), seen)
        history = tracker._history
        for k in range(1, 12):
            between = start + (found - start) * k / 11
            hit = np.array([name == "sort" or k == 11])
            boxes = between if hit[0] else model.predict(history, FRAME_S)[0]
            history = history.push(boxes, hit, FRAME_S, model.advance(history, FRAME_S, boxes, hit))
        states[name] = history.state[0, :20]
    assert states["ocsort"] == pytest.approx(states["sort"], rel=1e-9)


@settings(max_examples=40)
@given(st.data())
def test_whatever_is_detected_tracks_are_finite_with_identities_of_their_own(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(MODELS)))
    momentum, shared = data.draw(st.sampled_from([0.0, 0.3])), data.draw(st.sampled_from([0.0, 1.0]))
    tracker = Tracker(
        MODELS[name], FRAME_S, TrackerConfig(momentum=momentum, common_shift=shared, recover_iou=0.3, noise=0.05)
    )
    stamp = 0
    values = st.floats(-50.0, 300.0) | st.just(float("nan"))
    for _ in range(6):
        m = data.draw(st.integers(0, 5))
        boxes = data.draw(arrays.arrays(np.float64, (m, 4), elements=values))
        scores = data.draw(arrays.arrays(np.float64, m, elements=st.floats(0.0, 1.0)))
        stamp += data.draw(st.integers(-30_000_000, 400_000_000))
        told = tracker.push(stamp, Detections(boxes, scores, np.ones(m, dtype=np.int64)))
        if told is not None:
            assert len(set(told.ids.tolist())) == len(told.ids)
            assert np.isfinite(told.boxes).all() and np.isfinite(told.covariance).all()
            assert (told.boxes[:, 2:] > 0.0).all()


def test_the_same_film_gives_the_same_bits() -> None:
    film = straight(frames=60)
    seen = detect(film, 2).frames
    runs = [follow(film, seen, MODELS["ridge"], TrackerConfig(momentum=0.2, common_shift=0.5)) for _ in range(2)]
    assert all(a.boxes.tobytes() == b.boxes.tobytes() for a, b in zip(*runs, strict=True))
