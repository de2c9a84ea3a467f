"""What holds for every learner: it learns, says the same under a seed, goes on after a kill, and stays finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError, RunError
from knuckle.policy.offline.bc import best_episodes
from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.iql import Iql
from knuckle.policy.offline.learners import LEARNERS, settings_of
from knuckle.policy.offline.transitions import Transitions

SMALL = {"width": "32", "batch": "64"}
CHANGES: dict[str, dict[str, str]] = {
    "odice": {"policy_width": "32", "rate": "0.003"},
    "odice-semi": {"policy_width": "32", "rate": "0.003"},
    "odice-true": {"policy_width": "32", "rate": "0.003"},
    "odice-imitation": {"policy_width": "32", "rate": "0.003"},
    "bc": {"rate": "0.003"},
    "bc-10": {"rate": "0.003", "best_share": "0.2"},
    "iql": {"rate": "0.003"},
    "td3-bc": {"rate": "0.003"},
    "cql": {"rate": "0.003", "policy_rate": "0.003", "samples": "4", "alpha": "1.0", "critic_layers": "2"},
}


def identity(actions: str, count: int = 1000) -> Transitions:
    """Episodes of one step, rewarded for actions near the observation; ``actions`` are near it, or random."""
    rng = np.random.default_rng(0)
    seen = rng.uniform(-0.8, 0.8, (count, 2))
    near = np.clip(seen + 0.2 * rng.standard_normal((count, 2)), -1.0, 1.0)
    acted = near if actions == "near" else rng.uniform(-1.0, 1.0, (count, 2))
    return Transitions(
        observations=seen.astype(np.float32),
        actions=acted.astype(np.float32),
        rewards=-((acted - seen) ** 2).sum(axis=1).astype(np.float32),
        next_observations=seen.astype(np.float32),
        terminated=np.ones(count, dtype=bool),
        truncated=np.zeros(count, dtype=bool),
        episode=np.arange(count),
    )


def started(name: str, data: Transitions, seed: int = 0) -> Fit:
    return Fit(name, settings_of(name, SMALL | CHANGES[name]), data, seed=seed)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_identity_is_learned_and_where_rewards_are_read_from_random_actions_too(name: str) -> None:
    actions = "near" if name in ("bc", "odice-imitation") else "random"
    fit = started(name, identity(actions))
    fit.run(500)
    seen = np.random.default_rng(5).uniform(-0.8, 0.8, (200, 2)).astype(np.float32)
    squared = float(((fit.act(seen) - seen) ** 2).mean())
    # A constant answer is wrong by 0.21, the mean of the random actions by the same.
    assert squared < (0.01 if actions == "near" else 0.1), squared


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(name: str) -> None:
    fits = [started(name, identity("near", 100), seed) for seed in (1, 1, 2)]
    for fit in fits:
        fit.run(3)
    first, again, other = (fit.capture()[0] for fit in fits)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_fit_that_was_killed_goes_on_to_the_same_losses(name: str, tmp_path: Path) -> None:
    data, path = identity("near", 100), tmp_path / "checkpoint.safetensors"
    whole, killed, later = (started(name, data) for _ in range(3))
    whole.run(4)
    killed.run(4)
    killed.keep(path)
    del killed
    later.go_on(path)
    for _ in range(3):
        expected, found = whole.step(explain=True), later.step(explain=True)
        assert found == expected
    seen = data.observations[:10]
    assert np.array_equal(whole.act(seen), later.act(seen))


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("size", [1e6, -1e6])
def test_rewards_of_any_size_leave_everything_finite(name: str, size: float) -> None:
    data = identity("near", 100)
    fit = started(name, data.with_rewards(size * (1.0 + data.rewards)))
    fit.run(20, log_every=5)
    arrays, _ = fit.capture()
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert np.isfinite(fit.act(data.observations)).all()


def test_a_checkpoint_of_other_settings_or_of_another_learner_is_refused(tmp_path: Path) -> None:
    data, path = identity("near", 100), tmp_path / "checkpoint.safetensors"
    fit = started("odice", data)
    fit.run(1)
    fit.keep(path)
    with pytest.raises(InputError, match="does not fit"):
        started("bc", data).go_on(path)
    with pytest.raises(InputError, match="does not fit"):
        Fit("odice", settings_of("odice", SMALL), data, seed=0).go_on(path)


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    data, path = identity("near", 100), tmp_path / "checkpoint.safetensors"
    fit = started("bc", data)
    fit.run(1)
    before, facts = fit.capture()
    fit.restore({key: np.full_like(array, np.nan) for key, array in before.items()}, facts, where="here")
    with pytest.raises(RunError, match="not finite"):
        fit.step(explain=True)
    with pytest.raises(RunError, match="not finite"):
        fit.keep(path)
    assert not path.exists()


def test_iql_begins_with_the_deviation_that_it_is_told_and_learns_it_from_there() -> None:
    settings = settings_of("iql", SMALL | {"log_std": "-1.5"})
    narrow, wide = Fit("iql", settings, identity("near"), seed=0), started("iql", identity("near"))
    assert isinstance(narrow.learner, Iql) and isinstance(wide.learner, Iql)
    start, other = narrow.learner.policy.weights.views, wide.learner.policy.weights.views
    np.testing.assert_array_equal(start["log_std"], -1.5)
    np.testing.assert_array_equal(other["log_std"], 0.0)
    narrow.run(300)
    # The actions lie around the observation by exp(-1.6); what is not learned of the mean yet widens it.
    assert (start["log_std"] < -1.0).all() and (start["log_std"] != -1.5).all()


def test_ten_percent_cloning_keeps_the_best_episodes_whole() -> None:
    data = identity("near", 100)
    kept = best_episodes(data, 0.1, 0.99)
    assert len(kept) == 10
    assert kept.rewards.min() >= np.sort(data.rewards)[-10]


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("odyce", {}, "did you mean 'odice'"),
        ("iql", {"expectil": "0.9"}, "did you mean 'expectile'"),
        ("iql", {"expectile": "1.5"}, "0.5 to 1"),
        ("odice", {"gradient": "orthagonal"}, "orthogonal, semi, true"),
        ("odice", {"twin": "perhaps"}, "not of type bool"),
    ],
)
def test_unknown_learners_and_settings_are_refused_in_one_line(name: str, changes: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_of(name, changes)
    assert said in str(caught.value)
