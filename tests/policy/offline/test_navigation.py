"""The point in the plane: its recordings, its walks, and a study that chooses lambda without looking at walks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.policy.offline.bootstrap import bootstrap_mean
from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.learner import Rows
from knuckle.policy.offline.learners import settings_of
from knuckle.policy.offline.navigation import study
from knuckle.policy.offline.navigation.world import GOAL, LIMIT, RADIUS, STEP, plane, recorded_walks, unseen, walk
from knuckle.policy.offline.plots import Bar, interval_plot, value_maps
from knuckle.policy.offline.selection import held_out_share, most_selective


def to_goal(at: np.ndarray) -> np.ndarray:
    return np.clip((np.array(GOAL) - at) / STEP, -1.0, 1.0)


def test_recorded_walks_follow_their_actions_and_end_at_the_goal_by_two_ways() -> None:
    data = recorded_walks(3, 10)
    moved = np.clip(data.observations + STEP * data.actions, 0.0, 1.0)
    np.testing.assert_allclose(data.next_observations, moved, atol=1e-6)
    ends = data.take(data.terminated)
    assert len(ends) == 10
    assert (np.linalg.norm(ends.next_observations - np.array(GOAL), axis=1) < RADIUS).all()
    _, returns = data.episode_returns()
    assert returns[0::2].mean() > returns[1::2].mean()  # even ones go the short way
    assert not unseen(np.array([[0.9, 0.1], [0.1, 0.9]]), data).any()
    assert unseen(np.array([[0.9, 0.5], [0.5, 0.95]]), data).tolist() == [False, True]


def test_walks_stop_at_the_goal_and_those_that_never_get_there_fail() -> None:
    rng = np.random.default_rng(0)
    straight = walk(to_goal, noise=0.0, count=20, rng=rng)
    assert straight.success == 1.0 and straight.mean_steps == pytest.approx(8.0, abs=1.0)
    assert np.array_equal(straight.paths[-1], straight.paths[-2])
    pushed = walk(to_goal, noise=0.05, count=20, rng=rng)
    assert pushed.success > 0.9 and ((pushed.paths >= 0.0) & (pushed.paths <= 1.0)).all()
    still = walk(lambda at: 0.0 * at, noise=0.0, count=5, rng=rng)
    assert still.success == 0.0 and (still.steps == LIMIT).all() and np.isnan(still.mean_steps)


def test_the_study_chooses_by_held_out_weights_alone_and_makes_no_fit_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "STEPS", 4)
    monkeypatch.setattr(study, "WALKS", 3)
    monkeypatch.setattr(study, "CHOICE_SEEDS", (1001,))
    monkeypatch.setattr(study, "ARMS", {name: study.ARMS[name] for name in ("orthogonal", "iql", "bc")})
    said: list[str] = []
    first = study.run_study(1, tmp_path, said.append)
    for arm, tried in first.tried.items():
        shares = {choice: float(np.mean([r["held_share"] for r in found])) for choice, found in tried.items()}
        assert first.chosen[arm] == (most_selective(shares) if shares else "")
    figures, intervals = first.figures()
    for arm in ("orthogonal", "iql", "bc"):
        low, high = intervals[f"success_noise_{arm}"]
        assert 0.0 <= low <= figures[f"success_noise_{arm}"] <= high <= 1.0
    assert {"lam_orthogonal", "expectile_iql", "value_unseen_z_iql", "success_clean_bc"} <= figures.keys()
    assert "value_unseen_z_bc" not in figures
    again: list[str] = []
    second = study.run_study(1, tmp_path, again.append)
    assert second == first
    assert not [line for line in again if "seed" in line]

    broken = next(tmp_path.glob("orthogonal-*-0.json"))
    broken.write_text('{"steps": 4,')
    with pytest.raises(InputError, match="delete it"):
        study.run_study(1, tmp_path, again.append)


def test_a_fit_file_says_with_how_many_steps_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "WALKS", 3)
    monkeypatch.setattr(study, "STEPS", 2)
    study.fit_of("bc", "", 0, tmp_path, print)
    monkeypatch.setattr(study, "STEPS", 3)
    study.fit_of("bc", "", 0, tmp_path, print)
    assert json.loads((tmp_path / "bc-only-0.json").read_text())["steps"] == 3


def test_bootstrap_intervals_hold_the_mean_and_shrink_with_more_runs() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(5.0, 1.0, 5), rng.normal(5.0, 1.0, 500)
    low, high = bootstrap_mean(few.tolist(), rng)
    assert low <= few.mean() <= high
    narrow = bootstrap_mean(many.tolist(), rng)
    assert narrow[1] - narrow[0] == pytest.approx(2 * 1.96 / np.sqrt(500), rel=0.15)
    assert np.isnan(bootstrap_mean([], rng)).all()
    assert bootstrap_mean([2.0, float("nan")], rng) == (2.0, 2.0)


def test_pictures_hold_every_arm_and_leave_out_what_is_not_known() -> None:
    cells = plane(36)
    maps = value_maps({"a": cells[:, 0], "b": cells[:, 1]}, cells[::50], "values")
    assert maps.count("<rect") == 2 * 18 * 18 and ">a: 0.0 to 1.0<" in maps
    plot = interval_plot("title", "score", [Bar("odice", 50.0, 40.0, 60.0), Bar("bc", float("nan"), 0.0, 1.0)])
    assert "odice" in plot and "bc" not in plot


def test_the_most_selective_choice_with_enough_to_learn_from_is_taken() -> None:
    assert most_selective({"0.4": 0.8, "0.5": 0.12, "0.6": 0.01}) == "0.5"
    assert most_selective({"0.4": 0.05, "0.5": 0.01}) == "0.4"


@pytest.mark.parametrize("name", ["odice", "odice-semi", "odice-true", "iql"])
def test_held_out_weights_are_those_that_an_update_would_use(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = recorded_walks(0, 4)
    extra = {"policy_width": "16", "weight": "exact"} if name != "iql" else {}
    fit = Fit(name, settings_of(name, {"width": "16", "batch": "32"} | extra), data, seed=0)
    fit.run(3)
    batch, used = Rows(data).all, []
    weights = fit.learner.policy_weights(batch)
    monkeypatch.setattr(fit.learner.policy, "regress", lambda s, a, w, **rest: used.append(w) or 0.0)
    fit.learner.update(batch, np.random.default_rng(0))
    np.testing.assert_allclose(used[0].numpy(), weights.numpy(), rtol=1e-4, atol=1e-5)
    assert 0.0 < held_out_share(fit, data) <= 1.0


def test_a_learner_without_weights_cannot_be_chosen_by_them() -> None:
    data = recorded_walks(0, 4)
    fit = Fit("bc", settings_of("bc", {"width": "16"}), data, seed=0)
    with pytest.raises(InputError, match="weighs nothing"):
        held_out_share(fit, data)
