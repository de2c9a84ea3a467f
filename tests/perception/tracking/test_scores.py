"""HOTA, MOTA, IDF1 and switches: as trackeval has them; and identity over gaps, by films that are counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.perception.tracking.boxes import iou
from knuckle.perception.tracking.clear_identity import who_is_who
from knuckle.perception.tracking.gap_identity import gaps
from knuckle.perception.tracking.matches import compare
from knuckle.perception.tracking.scores import drawn_again, interval, score, together
from knuckle.perception.tracking.tracker import Tracks
from tests.perception.tracking.films import jumble, straight

ANSWERS = json.loads(Path(__file__).with_name("trackeval_answers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("seed", range(len(ANSWERS)))
def test_scores_are_those_of_trackeval(seed: int) -> None:
    truth, told = jumble(seed)
    mine = score(truth, told, np.ones(len(truth.frame), dtype=bool)).scores()
    assert {name: mine[name] for name in ANSWERS[seed]} == pytest.approx(ANSWERS[seed], abs=1e-9)


def told_as_truth(film: object, names: list[list[int]]) -> list[Tracks]:
    truth = straight(tracks=1, frames=len(names))
    none = np.zeros((0, 4))
    frames = []
    for k, ids in enumerate(names):
        boxes = np.repeat(truth.boxes[truth.at(k)], len(ids), axis=0) if ids else none
        m = len(ids)
        label, flags = np.ones(m, dtype=np.int64), np.ones(m, dtype=bool)
        frames.append(
            Tracks(
                truth.stamp_ns(k), np.array(ids, dtype=np.int64), boxes, np.zeros((m, 4, 4)), np.ones(m), label, flags
            )
        )
    return frames


def test_the_truth_itself_has_all_of_every_score_and_nothing_has_none() -> None:
    truth = straight(tracks=1, frames=12)
    seen = np.ones(12, dtype=bool)
    whole = score(truth, told_as_truth(truth, [[5]] * 12), seen).scores()
    assert (whole["hota"], whole["mota"], whole["idf1"], whole["idsw"]) == (1.0, 1.0, 1.0, 0.0)
    nothing = score(truth, told_as_truth(truth, [[]] * 12), seen).scores()
    assert (nothing["hota"], nothing["mota"], nothing["idf1"]) == (0.0, 0.0, 0.0)


def test_an_identity_over_a_gap_is_kept_when_the_same_track_is_there_again() -> None:
    truth = straight(tracks=1, frames=40)
    kept = np.ones(40, dtype=bool)
    kept[5:10] = kept[20:31] = False
    film = compare(truth, told_as_truth(truth, [[1]] * 5 + [[]] * 5 + [[1]] * 10 + [[]] * 11 + [[2]] * 9))
    tally = gaps(truth, kept, who_is_who(film))
    assert tally.total.tolist() == [1, 1, 0] and tally.kept.tolist() == [1, 0, 0]
    scores = tally.scores()
    assert scores["kept_5"] == 1.0 and scores["kept_10"] == 0.0 and np.isnan(scores["kept_20"])


def test_a_gap_before_which_nobody_followed_is_not_counted_and_one_after_which_nobody_does_is_lost() -> None:
    truth = straight(tracks=1, frames=60)
    kept = np.ones(60, dtype=bool)
    kept[6:11] = kept[20:25] = False
    film = compare(truth, told_as_truth(truth, [[]] * 11 + [[1]] * 9 + [[]] * 40))
    tally = gaps(truth, kept, who_is_who(film))
    assert tally.total.tolist() == [1, 0, 0] and tally.kept.tolist() == [0, 0, 0]


def test_tracks_that_cannot_be_scored_are_refused() -> None:
    truth = straight(tracks=1, frames=3)
    with pytest.raises(InputError, match="tracks of 2 frames; 3 frames"):
        compare(truth, told_as_truth(truth, [[1], [1]]))
    with pytest.raises(InputError, match="told twice in frame 2"):
        compare(truth, told_as_truth(truth, [[1], [1, 1], [1]]))


def test_intervals_hold_the_figure_of_all_films_and_are_paired_between_models() -> None:
    table = [
        [
            score(*jumble(3 * film + seed), np.ones(len(jumble(3 * film + seed)[0].frame), dtype=bool))
            for seed in range(3)
        ]
        for film in range(2)
    ]
    all_of_it = together([one for film in table for one in film]).scores()["hota"]
    low, high = interval(drawn_again(table, np.random.default_rng(0), 200)["hota"])
    assert low < all_of_it < high
    again = [drawn_again(table, np.random.default_rng(4), 20)["hota"] for _ in range(2)]
    assert (again[0] == again[1]).all()


def test_overlap_is_that_of_areas() -> None:
    a = np.array([[5.0, 5.0, 10.0, 10.0]])
    b = np.array([[5.0, 5.0, 10.0, 10.0], [10.0, 5.0, 10.0, 10.0], [20.0, 5.0, 10.0, 10.0], [5.0, 5.0, 5.0, 10.0]])
    assert iou(a, b)[0] == pytest.approx([1.0, 1.0 / 3.0, 0.0, 0.5])
