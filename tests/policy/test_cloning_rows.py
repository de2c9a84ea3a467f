"""Rows to learn from: what labels are, what they weigh, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.cloning.observed_scene import scene_of, with_goals
from knuckle.policy.cloning.row_config import RowConfig
from knuckle.policy.cloning.rows import at_home, progress, rows_of, smoothed_targets, stuck
from knuckle.policy.collect.recorder import Episode
from knuckle.sim.reorient.observation import ReorientObservation

Array = np.ndarray
HAND = hand_spec("dclaw3")
BUILD = ReorientObservation(HAND)
PLAIN = RowConfig(smooth_steps=0.0, drop_stuck=False, temperature=0.0, failed_weight=1.0, hindsight=0)
RNG_SEED = 3


def played(
    steps: int, *, seed: int = 0, turn: float = 0.05, home: slice = slice(0), succeeded: bool = True, number: int = 0
) -> Episode:
    """An episode in which the object turns by ``turn`` rad a step about the vertical, towards its goal, while the hand
    does anything; in the steps of ``home`` it goes home."""
    rng, chart = np.random.default_rng(seed), ActionMap(HAND)
    goal = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(turn * steps))
    seen, actions, angles, smoothed = [], [], [], np.zeros(HAND.dof)
    for k in range(steps + 1):
        q = rng.uniform(HAND.lower, HAND.upper)
        lies = rotations.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.array(turn * k))
        still = np.zeros(3)
        seen.append(BUILD(q, rng.standard_normal(HAND.dof), still, lies, still, still, goal, smoothed))
        angles.append(rotations.angle_between(lies, goal))
        homeward = range(*home.indices(steps + 1))
        action = chart.towards(q, HAND.home, smoothed) if k in homeward else rng.uniform(-1.0, 1.0, HAND.dof)
        actions.append(action)
        smoothed = chart.smooth(action, smoothed)
    facts = {"episode": number, "object": "duck", "succeeded": succeeded, "cpu_s": 1.0}
    return Episode(
        np.asarray(seen, dtype=np.float32),
        np.asarray(actions[:-1], dtype=np.float32),
        np.asarray(angles, dtype=np.float32),
        facts,
    )


def rows(episodes: list[Episode], config: RowConfig) -> tuple[Array, Array, Array]:
    made = rows_of(episodes, HAND, config, np.random.default_rng(RNG_SEED))
    return made.observations, made.actions, made.weights


def test_an_observation_read_backwards_gives_the_scene_that_it_was_made_of() -> None:
    rng = np.random.default_rng(1)
    q, dq, smoothed = rng.uniform(HAND.lower, HAND.upper), rng.standard_normal(9), rng.uniform(-1, 1, 9)
    position, velocity, spin = rng.standard_normal((3, 3))
    lies, goal = rotations.random(rng, 2)
    scene = scene_of(HAND, BUILD(q, dq, position, lies, velocity, spin, goal, smoothed)[None])
    state = scene.state(0)
    for found, given in (
        (state.q, q),
        (state.dq, dq),
        (state.position, position),
        (state.velocity, velocity),
        (state.spin, spin),
        (scene.previous[0], smoothed),
    ):
        np.testing.assert_allclose(found, given, atol=1e-12)
    assert scene.angle[0] == pytest.approx(float(rotations.angle_between(lies, goal)))
    again = BUILD(state.q, state.dq, position, state.quaternion, velocity, spin, scene.goal[0], smoothed)
    np.testing.assert_allclose(again, BUILD(q, dq, position, lies, velocity, spin, goal, smoothed), atol=1e-12)
    other = rotations.random(rng, 1)
    np.testing.assert_allclose(
        with_goals(HAND, again[None], other)[0],
        BUILD(q, dq, position, lies, velocity, spin, other[0], smoothed),
        atol=1e-12,
    )


def test_without_any_treatment_rows_are_what_was_seen_and_done() -> None:
    episode = played(20)
    observations, actions, weights = rows([episode], PLAIN)
    np.testing.assert_array_equal(observations, episode.observations[:-1])
    # Where a target is beyond a joint's limit the label is the smallest action that reaches the limit.
    scene, chart = scene_of(HAND, observations), ActionMap(HAND)
    targets = [chart.target(scene.q, chart.smooth(a, scene.previous)) for a in (actions, episode.actions)]
    np.testing.assert_allclose(targets[0], targets[1], atol=1e-5)
    np.testing.assert_array_equal(weights, 1.0)


def test_smoothing_averages_noise_away_and_keeps_what_is_wanted() -> None:
    rng = np.random.default_rng(0)
    wanted = np.linspace(-0.5, 0.5, 400)[:, None] * np.ones(9)
    noisy = wanted + 0.2 * rng.standard_normal(wanted.shape)
    smooth = smoothed_targets(noisy, np.zeros(400, dtype=bool), 2.0)
    assert np.std((smooth - wanted)[20:-20]) < 0.45 * np.std((noisy - wanted)[20:-20])
    np.testing.assert_allclose(
        smoothed_targets(wanted, np.zeros(400, dtype=bool), 2.0)[20:-20], wanted[20:-20], atol=1e-9
    )
    np.testing.assert_array_equal(smoothed_targets(noisy, np.zeros(400, dtype=bool), 0.0), noisy)


def test_smoothing_does_not_reach_over_a_letting_go() -> None:
    targets = np.concatenate([np.zeros((10, 9)), np.ones((6, 9)), np.full((10, 9), 2.0)])
    home = np.zeros(26, dtype=bool)
    home[10:16] = True
    np.testing.assert_allclose(smoothed_targets(targets, home, 3.0), targets, atol=1e-12)


def test_letting_go_is_found_and_left_out_with_what_led_there() -> None:
    episode = played(40, home=slice(25, 31))
    scene = scene_of(HAND, episode.observations)
    home = at_home(HAND, scene, episode.actions)
    np.testing.assert_array_equal(np.flatnonzero(home), np.arange(25, 31))
    np.testing.assert_array_equal(np.flatnonzero(stuck(home, 10)), np.arange(15, 31))
    config = RowConfig(smooth_steps=0.0, temperature=0.0, hindsight=0, stuck_steps=10)
    observations, _, _ = rows([episode], config)
    left = np.delete(episode.observations[:-1], np.arange(15, 31), axis=0)
    np.testing.assert_array_equal(observations, left)


def test_steps_weigh_by_the_progress_that_followed_and_failures_less() -> None:
    fast, slow = played(30, turn=0.1), played(30, seed=1, turn=0.02, number=1)
    lost = played(30, seed=2, turn=0.1, succeeded=False, number=2)
    np.testing.assert_allclose(progress(fast.angles, 12)[:15], 1.2, atol=1e-5)
    assert progress(fast.angles, 12)[-1] == pytest.approx(0.1, abs=1e-5)  # the end comes first
    config = RowConfig(hindsight=0, drop_stuck=False, temperature=0.3, failed_weight=0.5)
    made = rows_of([fast, slow, lost], HAND, config, np.random.default_rng(0))
    mean = [float(made.weights[made.episode == k].mean()) for k in range(3)]
    assert made.weights.mean() == pytest.approx(1.0)
    angle = scene_of(HAND, made.observations).angle
    alike = (angle > 0.4) & (angle < 0.7)
    assert made.weights[alike & (made.episode == 0)].min() > 1.5 * made.weights[alike & (made.episode == 1)].max()
    assert mean[2] == pytest.approx(0.5 * mean[0], rel=1e-3)
    assert made.weights.max() <= config.heaviest / made.weights.min()


def test_what_the_learner_did_before_the_planner_took_over_is_no_label() -> None:
    episode = played(20)
    taken = Episode(episode.observations, episode.actions, episode.angles, episode.facts | {"taken_over_at": 12})
    observations, _, _ = rows([taken], PLAIN)
    np.testing.assert_array_equal(observations, episode.observations[12:-1])
    never = Episode(episode.observations, episode.actions, episode.angles, episode.facts | {"taken_over_at": 20})
    assert len(rows([never, episode], PLAIN)[0]) == 20


def test_hindsight_adds_goals_on_the_way_that_the_object_then_went() -> None:
    episode = played(40, turn=0.05)
    config = RowConfig(smooth_steps=0.0, temperature=0.0, hindsight=3, beyond=0.5, drop_stuck=False)
    observations, actions, weights = rows([episode], config)
    added = slice(40, None)
    scene = scene_of(HAND, observations[added])
    left = rotations.log(rotations.multiply(scene.goal, rotations.conjugate(scene.quaternion)))
    assert len(observations) > 100 and (left[:, 2] > 0.1).all()
    np.testing.assert_allclose(left[:, :2], 0.0, atol=1e-5)
    assert left[:, 2].max() > 1.6  # further than it turned within the steps ahead
    assert weights[added].max() < weights[:40].min() and (weights > 0.0).all()
    # The actions are those of the same steps.
    known = {row.tobytes(): action for row, action in zip(observations[:40, :18], actions[:40], strict=True)}
    for row, action in zip(observations[added, :18], actions[added], strict=True):
        np.testing.assert_array_equal(known[row.tobytes()], action)


def test_an_object_that_never_moved_teaches_nothing_in_hindsight() -> None:
    config = RowConfig(smooth_steps=0.0, temperature=0.0, hindsight=3, drop_stuck=False)
    assert len(rows([played(40, turn=0.0)], config)[0]) == 40


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_in_one_line(value: float) -> None:
    episode = played(5)
    episode.observations[2, BUILD.slices["object_position"].start + 1] = value
    with pytest.raises(
        InputError, match=r"episode 0: object_position\.y of step 2 is (nan|inf); episodes of dclaw3"
    ) as caught:
        rows([episode], PLAIN)
    assert "\n" not in str(caught.value)


def test_episodes_of_another_hand_are_refused() -> None:
    episode = played(5)
    wide = Episode(np.zeros((6, 109), np.float32), np.zeros((5, 12), np.float32), episode.angles, episode.facts)
    with pytest.raises(InputError, match=r"observations and actions of width \(109,\) and \(12,\); episodes of dclaw3"):
        rows([wide], PLAIN)
