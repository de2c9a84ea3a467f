"""Fitting a network to rows: it learns what can be, is the same for every finger, and acts the same when deployed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.cloning.fit import fit
from knuckle.policy.cloning.fit_config import FitConfig
from knuckle.policy.cloning.rows import Rows
from knuckle.policy.learned.export import export_policy
from knuckle.policy.learned.learned_policy import open_network, run_network
from knuckle.policy.learned.policy_card import NETWORK, read_card
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

Array = np.ndarray
HAND = hand_spec("dclaw3")
SYMMETRY = HandSymmetry(HAND)
SMALL = FitConfig(width=32, layers=1, epochs=25, batch=64, rate=5e-3, noise=0.0, forget=0.0, decay=0.0)


def alike(observations: Array) -> Array:
    """What an expert does that treats every finger alike: a map of the turned observation to the first finger."""
    rng = np.random.default_rng(9)
    of_first = 0.2 * rng.standard_normal((87, SYMMETRY.joints))
    turns = SYMMETRY.copies(observations) @ of_first
    return np.clip(turns[:, np.argsort(SYMMETRY.finger_of())].reshape(len(observations), -1), -1.0, 1.0)


def taught(n: int = 1500, seed: int = 0, noise: float = 0.0) -> Rows:
    rng = np.random.default_rng(seed)
    seen = rng.standard_normal((n, 87))
    for part in ("object_quaternion", "goal_quaternion", "quaternion_difference"):
        where = SYMMETRY.build.slices[part]
        seen[:, where] /= np.linalg.norm(seen[:, where], axis=1, keepdims=True)
        seen[:, where.start] = np.abs(seen[:, where.start])
    actions = alike(seen) + noise * rng.standard_normal((n, 9))
    return Rows(seen.astype(np.float32), actions.astype(np.float32), np.ones(n, np.float32), np.arange(n) // 50)


def test_what_an_expert_does_is_learned_and_judged_on_episodes_held_back() -> None:
    losses: list[float] = []
    fitted = fit(taught(), HAND, SMALL, seed=0, seen=lambda _epoch, loss: losses.append(loss))
    assert fitted.error < 0.1 * fitted.spread and fitted.std == pytest.approx(np.sqrt(fitted.error))
    assert len(losses) == SMALL.epochs and losses[-1] < 0.2 * losses[0]
    fresh = taught(seed=5).observations[:100].astype(np.float64)
    assert np.mean((fitted.act(fresh) - alike(fresh)) ** 2) < 0.15 * fitted.spread


def test_one_network_for_every_finger_turns_with_the_hand() -> None:
    fitted = fit(taught(300), HAND, SMALL, seed=1)
    seen = taught(20, seed=2).observations.astype(np.float64)
    turned = SYMMETRY.copies(seen)
    for k in range(SYMMETRY.order):
        wanted = SYMMETRY.turned_actions(fitted.act(seen))[:, k]
        np.testing.assert_allclose(fitted.act(turned[:, k]), wanted, atol=1e-5)


def test_rows_without_weight_are_as_good_as_not_there() -> None:
    right, wrong = taught(800), taught(800, seed=3)
    both = Rows(
        np.concatenate([right.observations, wrong.observations]),
        np.concatenate([right.actions, -wrong.actions]),
        np.concatenate([np.ones(800, np.float32), np.full(800, 1e-6, np.float32)]),
        np.concatenate([right.episode, wrong.episode + 100]),
    )
    fitted = fit(both, HAND, SMALL, seed=0)
    fresh = taught(seed=6).observations[:100].astype(np.float64)
    assert np.mean((fitted.act(fresh) - alike(fresh)) ** 2) < 0.3 * fitted.spread


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_same_seed_gives_the_same_network_and_a_begun_one_goes_on(symmetric: bool) -> None:
    config = FitConfig(width=16, layers=2, epochs=2, batch=64, symmetric=symmetric)
    first, again = (fit(taught(300), HAND, config, seed=4) for _ in range(2))
    other = fit(taught(300), HAND, config, seed=5)
    seen = taught(10, seed=8).observations.astype(np.float64)
    np.testing.assert_array_equal(first.act(seen), again.act(seen))
    assert not np.allclose(first.act(seen), other.act(seen))
    further = fit(taught(300), HAND, config, seed=6, begin=first)
    assert further.error < first.error
    np.testing.assert_array_equal(further.normaliser.mean, first.normaliser.mean)


@pytest.mark.parametrize("symmetric", [True, False])
def test_what_is_deployed_acts_as_what_was_learned(tmp_path: Path, symmetric: bool) -> None:
    config = FitConfig(width=16, layers=2, epochs=1, batch=64, symmetric=symmetric)
    fitted, seen = fit(taught(300), HAND, config, seed=0), taught(40, seed=1).observations.astype(np.float64)
    export_policy(tmp_path, HAND, fitted.actor(), name="cloned", observed=seen, training={}, data="none")
    session = open_network(tmp_path / NETWORK, 87, 9)
    np.testing.assert_allclose(run_network(session, seen), np.clip(fitted.act(seen), -1.0, 1.0), atol=1e-5)
    assert read_card(tmp_path, HAND).config["parity"]["largest_observed"] < 1e-5


def test_too_few_rows_and_weights_that_break_down_are_one_clear_line() -> None:
    with pytest.raises(InputError, match="100 rows to learn from; 128 or more, or a smaller batch"):
        fit(taught(100), HAND, SMALL, seed=0)
    wild = taught(300)
    wild.actions[0] = np.nan
    with pytest.raises(RunError, match="epoch 1 broke down; a lower rate"):
        fit(wild, HAND, SMALL, seed=0)
