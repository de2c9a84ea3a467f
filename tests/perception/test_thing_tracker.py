"""Things in space to tracks: what can be used, who is who, how fast, and what odd times do to it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.perception.centre_filter import CentreConfig, CentreFilter
from knuckle.perception.thing_tracker import ThingTracker, TrackedThings
from knuckle.perception.things import MOST, Things, only_usable

RATE_HZ = 12.0


def things(stamp_ns: int, *centres: tuple[float, float, float], frame: str = "world", label: str = "ball") -> Things:
    n = len(centres)
    at = np.array(centres, dtype=np.float64).reshape(-1, 3)
    return Things(stamp_ns, frame, at, np.full((n, 3), 0.08), np.full(n, 0.9), (label,) * n)


def stamp(k: float) -> int:
    return round(k * 1e9 / RATE_HZ)


def test_what_is_no_thing_is_left_out_with_one_line_each() -> None:
    good = things(0, (0.1, 0.2, 0.3), (0.2, 0.2, 0.3), (0.3, 0.2, 0.3), (0.4, 0.2, 0.3), (0.5, 0.2, 0.3), (0.6, 0, 0))
    centres, sizes, scores = good.centres.copy(), good.sizes.copy(), good.scores.copy()
    centres[0, 1], sizes[1, 2], sizes[2, 0], scores[3] = math.nan, 0.0, -0.1, math.inf
    bad = replace(good, centres=centres, sizes=sizes, scores=scores, labels=(*("ball",) * 4, "dragon", "ball"))
    kept, problems = only_usable(bad, ("ball",), 3)
    assert len(kept) == 1
    assert np.array_equal(kept.centres, good.centres[5:])
    assert [problem.split(": ")[0] for problem in problems] == [f"thing {k}" for k in range(5)]
    for problem, word in zip(problems, ("finite", "size", "size", "finite", "unknown class 'dragon'"), strict=True):
        assert word in problem
        assert "\n" not in problem


def test_every_class_is_known_where_none_is_named_but_one_must_be_said() -> None:
    assert len(only_usable(things(0, (0, 0, 0), label="anything"), (), 3)[0]) == 1
    assert "unknown class ''" in only_usable(things(0, (0, 0, 0), label=""), (), 3)[1][0]
    assert len(only_usable(things(0, (0, 0, 0), label="x" * 65), (), 3)[0]) == 0
    flat = replace(things(0, (10.0, 20.0, 0.0)), sizes=np.array([[30.0, 40.0, 0.0]]))
    assert len(only_usable(flat, (), 2)[0]) == 1
    assert len(only_usable(flat, (), 3)[0]) == 0


def test_a_flood_is_cut_and_named_once() -> None:
    kept, problems = only_usable(things(0, *[(0.001 * k, 0.0, 0.0) for k in range(MOST + 300)]), (), 3)
    assert len(kept) == MOST
    assert len(problems) == 1


@given(seed=st.integers(0, 2**20), rate=st.sampled_from([5.0, 12.0, 30.0]), missing=st.floats(0.0, 0.3))
@settings(max_examples=25, deadline=None)
def test_a_thing_keeps_its_number_and_its_speed_is_told_at_any_rate_and_with_frames_missing(
    seed: int, rate: float, missing: float
) -> None:
    rng = np.random.default_rng(seed)
    velocity = rng.uniform(-0.4, 0.4, 3)
    tracker, told = ThingTracker(1.0 / rate), None
    for k in range(round(3.0 * rate)):
        t = k / rate
        if k > 2 and rng.random() < missing:
            continue
        place = velocity * t + rng.normal(0.0, 0.003, 3)
        told = tracker.push(things(round(1e9 * t), (place[0], place[1], place[2])))
        assert told is not None
        assert told.ids.tolist() == [1]
    assert told is not None
    assert np.linalg.norm(told.velocities[0] - velocity) < 0.12
    assert 0.0 < told.velocity_variance[0] < 0.5**2


def test_two_that_pass_each_other_keep_their_numbers_and_one_that_leaves_is_told_for_a_while() -> None:
    tracker, seen = ThingTracker(1.0 / RATE_HZ), []
    for k in range(24):
        a, b = (-0.3 + 0.03 * k, 0.0, 0.1), (0.4 - 0.03 * k, 0.25, 0.1)
        told = tracker.push(things(stamp(k), *((a, b) if k < 16 else (a,))))
        assert told is not None
        seen.append(told)
    assert seen[15].ids.tolist() == [1, 2]
    assert (np.sign(seen[15].velocities[:, 0]) == [1, -1]).all()
    assert seen[17].ids.tolist() == [1, 2]
    assert seen[17].coasted_s.tolist() == pytest.approx([0.0, 2.0 / RATE_HZ])
    # Predicted where it is not seen: it has gone on.
    assert seen[17].centres[1, 0] < seen[15].centres[1, 0] - 0.03
    assert seen[17].centre_variance[1] > seen[17].centre_variance[0]
    assert seen[-1].ids.tolist() == [1]


def test_one_that_was_hidden_for_half_a_second_has_its_old_number_and_after_a_long_gap_a_new_one() -> None:
    tracker = ThingTracker(1.0 / RATE_HZ)

    def at(k: float) -> TrackedThings:
        told = tracker.push(things(stamp(k), (0.02 * k, 0.0, 0.1)))
        assert told is not None
        return told

    for k in range(10):
        assert at(k).ids.tolist() == [1]
    for k in range(10, 16):
        tracker.push(things(stamp(k)))
    assert at(16).ids.tolist() == [1]
    later = [tracker.push(things(stamp(16) + round(1e9 * (3.0 + 0.1 * k)), (0.3, 0.0, 0.1))) for k in range(3)]
    assert later[-1] is not None
    assert 1 not in later[-1].ids.tolist()


def test_frames_that_are_not_newer_change_nothing() -> None:
    one, other = ThingTracker(1.0 / RATE_HZ), ThingTracker(1.0 / RATE_HZ)
    for k in range(8):
        told = [tracker.push(things(stamp(k), (0.02 * k, 0.0, 0.1))) for tracker in (one, other)]
        assert one.push(things(stamp(k), (9.0, 9.0, 9.0))) is None
        assert one.push(things(stamp(k - 1), (9.0, 9.0, 9.0))) is None
        assert told[0] is not None
        assert told[1] is not None
        assert np.array_equal(told[0].velocities, told[1].velocities)


def test_boxes_of_an_image_are_followed_as_they_are() -> None:
    tracker = ThingTracker(1.0 / 25.0, in_space=False)
    for k in range(20):
        box = Things(
            round(k * 4e7), "image", np.array([[100.0 + 4 * k, 50.0, 0.0]]), np.array([[40.0, 80.0, 0.0]]),
            np.array([0.9]), ("1",),
        )  # fmt: skip
        told = tracker.push(box)
        assert told is not None
        assert told.ids.tolist() == [1]
    assert told.velocities[0, 0] == pytest.approx(100.0, abs=10.0)
    assert told.sizes[0].tolist() == [40.0, 80.0, 0.0]


@pytest.mark.parametrize("growth", [1.02, 1.0, 0.98])
def test_a_box_that_comes_near_or_goes_away_is_as_uncertain_as_it_is_large_now(growth: float) -> None:
    tracker, rng, off = ThingTracker(0.1, in_space=False), np.random.default_rng(3), []
    for k in range(120):
        size = 60.0 * growth**k
        truth = 300.0 + 0.5 * np.sin(k / 9.0) * size
        seen = np.array([[truth + 0.05 * size * rng.standard_normal(), 200.0, 0.0]])
        told = tracker.push(
            Things(round(k * 1e8), "image", seen, np.array([[size, size, 0.0]]), np.array([0.9]), ("1",))
        )
        assert told is not None
        if k >= 60 and len(told):
            off.append((told.centres[0, 0] - truth) / np.sqrt(told.centre_variance[0]))
    assert len(off) == 60
    assert 0.5 < np.sqrt(np.mean(np.square(off))) < 1.5


@given(seed=st.integers(0, 2**20), steps=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_the_filter_is_that_of_the_matrices_and_does_not_care_how_time_is_cut(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    config = CentreConfig()
    cut, whole = CentreFilter(0, np.zeros(3), config), CentreFilter(0, np.zeros(3), config)
    x, P = np.zeros(2), np.diag([config.noise_m**2, config.speed**2])
    for k in range(1, 6):
        t = float(rng.uniform(0.02, 0.5))
        stamp_ns = cut.stamp_ns + round(t * 1e9)
        for j in range(1, steps + 1):
            cut.go(cut.stamp_ns + (stamp_ns - cut.stamp_ns) * j // steps if j < steps else stamp_ns)
        whole.go(stamp_ns)
        z = rng.normal(0.1 * k, 0.01, 3)
        cut.see(z)
        whole.see(z)
        t = round(t * 1e9) * 1e-9
        F, q = np.array([[1.0, t], [0.0, 1.0]]), config.wander**2
        x, P = F @ x, F @ P @ F.T + q * np.array([[t**3 / 3, t**2 / 2], [t**2 / 2, t]])
        gain = P[:, 0] / (P[0, 0] + config.noise_m**2)
        x, P = x + gain * (z[0] - x[0]), P - np.outer(gain, P[0])
    assert np.allclose(cut.velocity, whole.velocity, atol=1e-7)
    assert [whole.centre[0], whole.velocity[0]] == pytest.approx(x.tolist(), abs=1e-9)
    assert [whole.position_variance, whole.velocity_variance] == pytest.approx([P[0, 0], P[1, 1]], rel=1e-6)
