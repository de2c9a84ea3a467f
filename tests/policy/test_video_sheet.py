"""The films of a report: which episodes they are, and that they show them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.contract import Goal
from knuckle.policy.reorient_episode import Watcher
from knuckle.policy.reorient_score import EpisodeScore
from knuckle.policy.video_sheet import choose_episodes, film_sheet, rank
from knuckle.sim.world import SimWorld

av = pytest.importorskip("av")


def score(final: float, *, still: bool = True, dropped: bool = False, duration: float = 6.0) -> EpisodeScore:
    return EpisodeScore("duck", 2.0, final, True, still, dropped, duration, 3.0)


def decoded(data: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_best_median_and_worst_are_what_they_are_called() -> None:
    scores = [score(0.3), score(0.02, dropped=True), score(0.05), score(0.01, still=False), score(1.0)]
    assert choose_episodes(scores) == {2: "best", 4: "median", 1: "worst"}


def test_of_two_equal_angles_the_quicker_is_better_and_a_lost_object_is_worst() -> None:
    scores = [score(0.1, duration=9.0), score(0.1, duration=4.0), score(float("nan"), dropped=True), score(0.2)]
    chosen = choose_episodes(scores)
    assert chosen[1] == "best"
    assert chosen[2] == "worst"


def test_few_episodes_are_filmed_once() -> None:
    assert choose_episodes([]) == {}
    assert choose_episodes([score(0.3)]) == {0: "best, median, worst"}
    assert choose_episodes([score(0.3), score(0.1)]) == {1: "best, median", 0: "worst"}


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans(), st.booleans()), min_size=3, max_size=25))
def test_none_is_better_than_the_best_and_half_are_no_better_than_the_median(
    drawn: list[tuple[float, bool, bool]],
) -> None:
    scores = [score(angle, still=still, dropped=dropped) for angle, still, dropped in drawn]
    named = {name: k for k, names in choose_episodes(scores).items() for name in names.split(", ")}
    assert set(named) == {"best", "median", "worst"}
    ranks = [rank(s) for s in scores]
    best, median, worst = (ranks[named[name]] for name in ("best", "median", "worst"))
    assert best == min(ranks)
    assert worst == max(ranks)
    assert sum(r <= median for r in ranks) >= len(ranks) / 2
    assert sum(r >= median for r in ranks) >= len(ranks) / 2


def test_films_show_the_episodes_that_were_played_again() -> None:
    hand = hand_spec("dclaw3")
    scores = [score(0.3), score(0.02), score(1.5, dropped=True)]
    asked = []

    def play(k: int, watch: Watcher) -> EpisodeScore:
        asked.append(k)
        world = SimWorld(hand, "truck", seed=k)
        goal = Goal("truck", np.array([1.0, 0.0, 0.0, 0.0]))
        for step in range(10):
            world.advance(world.now_ns + 83_000_000)
            watch(world, goal, 3.0 - 0.3 * step if k else 0.2)
        return replace(scores[k], wall=99.0)

    sheet = film_sheet(scores, play, rate_hz=12.0, source="rays")
    assert asked == [1, 0, 2]
    assert [film.label for film in sheet.films] == ["best", "median", "worst"]
    assert all(film.repeated for film in sheet.films)
    assert (sheet.renderer, sheet.rate_hz) == ("rays", 12.0)
    for film in sheet.films:
        frames = decoded(film.mp4)
        assert len(frames) == 10
        (strip,) = decoded(film.strip)
        height, width = frames[0].shape[:2]
        assert strip.shape == (2 * height + 4, 4 * width + 12, 3)
        np.testing.assert_allclose(strip[:height, :width].mean(), frames[0].mean(), atol=3.0)
        np.testing.assert_allclose(strip[-height:, -width:].mean(), frames[-1].mean(), atol=3.0)
    best, median = decoded(sheet.films[0].strip)[0], decoded(sheet.films[1].strip)[0]
    bar = best[best.shape[0] // 2 - 6]  # the foot of the first row
    assert (bar[:300] == (220, 140, 60)).all() and not (bar[310:320] == (220, 140, 60)).any()
    assert (median[median.shape[0] // 2 - 6, :15] == (70, 180, 90)).all()


def test_a_replay_that_ends_elsewhere_is_no_repeat() -> None:
    hand = hand_spec("dclaw3")

    def play(k: int, watch: Watcher) -> EpisodeScore:
        world = SimWorld(hand, "duck", seed=k)
        watch(world, Goal("duck", np.array([1.0, 0.0, 0.0, 0.0])), 1.0)
        return score(0.31)

    (film,) = film_sheet([score(0.3)], play, rate_hz=12.0, source="rays").films
    assert not film.repeated
    assert film.replayed.final_angle == 0.31
