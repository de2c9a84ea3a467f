"""What is learned from again: the last steps, and goals that were reached later in the same episode, never another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.collect.collection import Collection
from knuckle.policy.collect.recorder import Episode
from knuckle.policy.hindsight.planner_episodes import PlannerEpisodes, read_planner_episodes
from knuckle.policy.hindsight.replay import NO_EPISODE, Replay
from knuckle.sim.reorient.observation import ReorientObservation

HAND = hand_spec("dclaw3")
BUILD = ReorientObservation(HAND)
LIES = BUILD.slices["object_quaternion"]
WORLDS = 3


def told(step: int, episode: np.ndarray) -> np.ndarray:
    """Observations whose orientations say in which episode and at which step they were seen."""
    rows = np.zeros((WORLDS, BUILD.width), np.float32)
    rows[:, LIES.start], rows[:, LIES.start + 1] = episode, step
    return rows


def filled(steps: int, ring: int, length: int) -> Replay:
    """A replay of episodes of ``length`` steps; a world's broken step counts to no episode."""
    replay = Replay(BUILD, ring, WORLDS)
    for step in range(steps):
        episode = np.arange(WORLDS) + WORLDS * ((step + np.arange(WORLDS)) // length)
        marked = np.where(step == 7, NO_EPISODE, episode).astype(np.int64)
        acts = np.full((WORLDS, HAND.dof), step, np.float32)
        replay.add(told(step, episode), acts, told(step + 1, episode), np.zeros(WORLDS, bool), marked)
    return replay


@pytest.mark.parametrize(("steps", "ring"), [(10, 40), (95, 40)])
def test_goals_in_hindsight_are_later_ones_of_the_same_episode(steps: int, ring: int) -> None:
    replay, rng = filled(steps, ring, length=9), np.random.default_rng(0)
    drawn = replay.draw(rng, 4000, future=6)
    before, later = drawn.before[:, LIES], drawn.later
    known = drawn.known
    assert 0.2 < known.mean() < 0.95
    np.testing.assert_array_equal(before[known, 0], later[known, 0])
    ahead = later[known, 1] - before[known, 1]
    assert ahead.min() == 1 and ahead.max() == 6
    # The last step of an episode has no later one; nor has a step that broke down.
    assert not known[before[:, 1] == 7].any() and not known[before[:, 1] == steps - 1].any()
    np.testing.assert_array_equal(drawn.after[:, LIES.start + 1], before[:, 1] + 1)
    np.testing.assert_array_equal(drawn.actions[:, 0], before[:, 1])
    oldest = max(steps - ring, 0)
    assert set(before[:, 1]) == set(range(oldest, steps))


def test_a_planners_goals_in_hindsight_are_of_the_same_episode_too() -> None:
    episodes = []
    for k, length in enumerate((1, 5, 12)):
        seen = np.zeros((length + 1, BUILD.width), np.float32)
        seen[:, LIES.start], seen[:, LIES.start + 1] = k, np.arange(length + 1)
        episodes.append(Episode(seen, np.zeros((length, 9), np.float32), np.zeros(length + 1, np.float32), {}))
    planner, rng = PlannerEpisodes(BUILD, episodes), np.random.default_rng(0)
    drawn = planner.draw(rng, 3000, future=4)
    before = drawn.before[:, LIES]
    assert set(map(tuple, before[:, :2])) == {(k, t) for k, n in enumerate((1, 5, 12)) for t in range(n)}
    np.testing.assert_array_equal(drawn.later[:, 0], before[:, 0])
    ahead = drawn.later[:, 1] - before[:, 1]
    assert ahead.min() == 0 and ahead.max() == 4  # at an episode's end it is where it is
    np.testing.assert_array_equal(drawn.after[:, LIES.start + 1], before[:, 1] + 1)


def test_a_replay_that_is_put_back_draws_the_same() -> None:
    for steps in (10, 95):
        replay = filled(steps, 40, length=9)
        again = Replay(BUILD, 40, WORLDS)
        again.restore({name: value.copy() for name, value in replay.capture().items()}, replay.count)
        for some in (replay, again):
            acts, row = np.ones((WORLDS, 9), np.float32), told(200, np.arange(WORLDS))
            some.add(row, acts, row, np.zeros(WORLDS, bool), np.full(WORLDS, 900, np.int64))
        one, other = (some.draw(np.random.default_rng(1), 50, 6) for some in (replay, again))
        for name in ("before", "actions", "after", "fallen", "later", "known"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    with pytest.raises(InputError, match=r"replay: shape \(40, 3, 87\) for before; an array \(20, 3, 87\)"):
        Replay(BUILD, 20, WORLDS).restore(replay.capture(), 95)


def episode(*, width: int = 87, steps: int = 4) -> Episode:
    seen = np.zeros((steps + 1, width), np.float32)
    return Episode(seen, np.zeros((steps, 9), np.float32), np.zeros(steps + 1, np.float32), {"succeeded": False})


def test_episodes_that_cannot_be_learned_from_are_refused_in_one_line(tmp_path: Path) -> None:
    def lines(name: str, hand: str, given: Episode | None) -> str:
        collection = Collection(tmp_path / name, {"hand": hand})
        if given is not None:
            collection.add(0, given)
        with pytest.raises(InputError) as caught:
            read_planner_episodes([str(tmp_path / name)], HAND, where="--episodes")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "is of dclaw4; episodes of dclaw3" in lines("other", "dclaw4", episode())
    assert "has a step; collections of knuckle collect" in lines("empty", "dclaw3", None)
    assert "has a step; collections of knuckle collect" in lines("nothing", "dclaw3", episode(steps=0))
    assert "observations (5, 80) and actions (4, 9); an episode of dclaw3" in lines("wide", "dclaw3", episode(width=80))
    bad = episode()
    bad.observations[2, 18] = np.nan
    assert "000000.safetensors: 'observations' in the episode is not finite" in lines("nan", "dclaw3", bad)
    bad = episode()
    bad.actions[1, 0] = np.inf
    assert "'actions' in the episode is not finite; delete it" in lines("inf", "dclaw3", bad)
    (tmp_path / "nan" / "episodes" / "000000.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="the episode cannot be read"):
        read_planner_episodes([str(tmp_path / "nan")], HAND, where="--episodes")
    with pytest.raises(InputError, match="no collection is here"):
        read_planner_episodes([str(tmp_path / "nowhere")], HAND, where="--episodes")
