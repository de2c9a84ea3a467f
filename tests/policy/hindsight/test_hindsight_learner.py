"""One update: the target as its formula says, what ends is worth nothing more, the actor turns with the scene, learns,
and stays near what it began as for as long as it is told to."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from knuckle.core.errors import RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.hindsight.hindsight_batch import Batch, draw_batch
from knuckle.policy.hindsight.hindsight_config import Hindsight, HindsightConfig
from knuckle.policy.hindsight.learner import Learner
from knuckle.policy.hindsight.planner_episodes import read_planner_episodes
from knuckle.policy.hindsight.replay import Replay
from knuckle.policy.hindsight.turned_scene import TurnedScene
from knuckle.policy.hindsight.warm_policy import read_warm_policy
from knuckle.policy.learned.learned_policy import open_network, run_network
from knuckle.policy.learned.policy_card import NETWORK
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

HAND = hand_spec("dclaw3")
SYMMETRY = HandSymmetry(HAND)
SCENE = TurnedScene(SYMMETRY)
CONFIG = HindsightConfig(width=16, critic_width=16, critic_first=2, batch=32)


def learner(warm: Path, **changes: float) -> Learner:
    config = replace(CONFIG, **changes)  # type: ignore[arg-type]
    return Learner(SCENE, read_warm_policy(str(warm), HAND, config, where="--warm")[0], config, seed=1)


def scenes(n: int, seed: int = 0) -> torch.Tensor:
    """Observations that a turn and its inverse leave as they are."""
    rng = np.random.default_rng(seed)
    rows = 0.5 * rng.standard_normal((n, SYMMETRY.build.width))
    return torch.as_tensor(SYMMETRY.copies(rows)[:, 0], dtype=torch.float32)


def batch(n: int = 32, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    acts = torch.as_tensor(rng.uniform(-1, 1, (n, 9)), dtype=torch.float32)
    ends = torch.as_tensor((np.arange(n) % 3 == 0).astype(np.float32))
    reward = torch.as_tensor(rng.standard_normal(n), dtype=torch.float32)
    return Batch(scenes(n, seed), acts, scenes(n, seed + 1), reward, ends)


def critic_in_numpy(critic: torch.nn.Module, seen: np.ndarray, acts: np.ndarray) -> np.ndarray:
    """A critic from its weights, in double precision: linear, layer norm, SiLU, twice, and a linear."""
    w = {name: value.numpy().astype(np.float64) for name, value in critic.state_dict().items()}
    scaled = np.clip((seen - w["normalised.mean"]) / w["normalised.std"], -10.0, 10.0)
    x = np.concatenate([scaled, acts], axis=1)
    for k in (0, 3):
        x = x @ w[f"layers.{k}.weight"].T + w[f"layers.{k}.bias"]
        x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        x = x * w[f"layers.{k + 1}.weight"] + w[f"layers.{k + 1}.bias"]
        x = x / (1.0 + np.exp(-x))
    return np.asarray((x @ w["layers.6.weight"].T + w["layers.6.bias"])[:, 0])


def actor_in_numpy(actor: torch.nn.Module, seen: np.ndarray) -> np.ndarray:
    """An actor from its weights, in double precision: every turn, ELU, and what the first finger does."""
    w = {name: value.numpy().astype(np.float64) for name, value in actor.state_dict().items()}
    x = (SYMMETRY.copies(seen) - w["normalised.mean"]) / w["normalised.std"]
    x = np.clip(x, -10.0, 10.0)
    for k in (0, 2):
        x = x @ w[f"networks.policy_net.{k}.weight"].T + w[f"networks.policy_net.{k}.bias"]
        x = np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))
    x = x @ w["networks.mean.weight"].T + w["networks.mean.bias"]
    return np.asarray(x[:, np.argsort(SYMMETRY.finger_of())].reshape(len(x), -1))


def test_the_target_is_tds_lesser_critic_and_smoothed_action(warm: Path) -> None:
    learned = learner(warm)
    for k in range(6):  # so that targets, critics and actor all differ
        learned.update(batch(seed=k))
    given, rng = batch(seed=9), np.random.default_rng(0)
    noise = rng.standard_normal((32, 9)) * 0.3
    after = given.after.numpy().astype(np.float64)
    acts = np.clip(np.clip(actor_in_numpy(learned.target, after), -1, 1) + np.clip(noise, -0.3, 0.3), -1, 1)
    worths = [critic_in_numpy(critic, after, acts) for critic in learned.target_critics]
    assert not np.allclose(*worths, atol=1e-2)
    wanted = given.reward.numpy() + 0.97 * (1.0 - given.ends.numpy()) * np.minimum(*worths)
    told = learned.wanted(given, torch.as_tensor(noise, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(told, wanted, atol=1e-5)


def test_the_actors_loss_is_worth_anchor_and_bound(warm: Path) -> None:
    learned = learner(warm, anchor_updates=100, actor_rate=0.3, bound=0.5)
    for k in range(5):  # the actor has moved once, far, and beyond what can be done
        learned.update(batch(seed=k))
    was, given = copy.deepcopy(learned.actor), batch(seed=5)
    told = learned.update(given)["actor_loss"]
    seen = given.before[:16].numpy().astype(np.float64)
    means = actor_in_numpy(was, seen)
    acts, began = np.clip(means, -1.0, 1.0), np.clip(actor_in_numpy(learned.first, seen), -1.0, 1.0)
    worth = np.minimum(*(critic_in_numpy(critic, seen, acts) for critic in learned.critics))
    anchor, bound = ((acts - began) ** 2).mean(), (np.maximum(np.abs(means) - 1.0, 0.0) ** 2).sum(axis=1).mean()
    assert anchor > 0.01 and bound > 0.01
    wanted = -worth.mean() / max(np.abs(worth).mean(), 0.3) + 2.0 * 0.1 ** (4 / 100) * anchor + 0.5 * bound
    np.testing.assert_allclose(told, wanted, atol=1e-4)


def test_nothing_follows_on_an_end(warm: Path) -> None:
    learned, given = learner(warm), batch()
    told = learned.wanted(given, torch.zeros(32, 9))
    ends = given.ends > 0.0
    assert bool((told[ends] == given.reward[ends]).all()) and not bool((told[~ends] == given.reward[~ends]).any())


def test_the_actor_begins_as_the_policy_does_and_turns_with_the_scene(warm: Path) -> None:
    learned, seen = learner(warm, critic_first=0, actor_rate=0.01), scenes(20)
    deployed = run_network(open_network(warm / NETWORK, 87, 9), seen.numpy().astype(np.float64))
    with torch.no_grad():
        np.testing.assert_allclose(learned.actor(seen).clamp(-1, 1).numpy(), deployed, atol=1e-5)
    for k in range(10):
        learned.update(batch(seed=k))
    with torch.no_grad():
        acts = learned.actor(seen)
        assert not np.allclose(acts.clamp(-1, 1).numpy(), deployed, atol=1e-2)
        for place in range(3):
            places = torch.full((20,), place)
            turned = learned.actor(SCENE.turn(seen, places))
            np.testing.assert_allclose(turned.numpy(), SCENE.turn_actions(acts, places).numpy(), atol=1e-5)
        every = SYMMETRY.turned_actions(acts.numpy())
        np.testing.assert_array_equal(SCENE.turn_actions(acts, torch.full((20,), 2)).numpy(), every[:, 2])


def test_critics_learn_alone_at_first_and_the_anchor_sinks_then(warm: Path) -> None:
    learned = learner(warm, critic_first=4, anchor_updates=4)
    began = [weights.detach().clone() for weights in learned.actor.learned()]
    anchors, moved = [], []
    for k in range(10):
        figures = learned.update(batch(seed=k))
        anchors.append(learned.anchor)
        moved.append(any(bool((a != b).any()) for a, b in zip(began, learned.actor.learned(), strict=True)))
        assert math.isnan(figures["actor_loss"]) == (k + 1 not in (6, 8, 10))
    assert moved == [False] * 5 + [True] * 5
    np.testing.assert_allclose(anchors[:4], 2.0)
    np.testing.assert_allclose(anchors[4:], [2.0 * 0.1 ** (k / 4) for k in (1, 2, 3)] + [0.2] * 3)


def test_a_heavy_anchor_holds_the_actor_where_it_began(warm: Path) -> None:
    seen, apart = scenes(50), []
    for anchor in (1e-3, 1e3):
        learned = learner(warm, critic_first=0, anchor=anchor, anchor_end=anchor, actor_rate=3e-3)
        with torch.no_grad():
            began = learned.actor(seen)
        for k in range(60):
            learned.update(batch(seed=k))
        with torch.no_grad():
            apart.append(float((learned.actor(seen) - began).abs().mean()))
    assert apart[1] < 0.3 * apart[0]


def test_it_finds_the_actions_that_are_paid(warm: Path, tmp_path: Path) -> None:
    """A task of one step: what is paid is how near the actions are to another policy's, which turns with the scene."""
    learned = learner(
        warm, critic_first=200, critic_width=64, critic_rate=3e-3, actor_rate=3e-3, anchor=0.02, anchor_end=0.001
    )
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    slope = 0.2 * torch.randn(87, 3, generator=generator)

    def best(seen: torch.Tensor) -> torch.Tensor:
        of_first = torch.tanh(SCENE.every(seen) @ slope)
        return of_first[:, learned.actor.networks.turn_of].flatten(1)

    def away(seen: torch.Tensor) -> float:
        with torch.no_grad():
            return float(((learned.actor(seen).clamp(-1, 1) - best(seen)) ** 2).mean())

    test = scenes(200, seed=10_000)
    at_first = away(test)
    for k in range(600):
        seen = scenes(128, seed=k)
        acts = torch.as_tensor(rng.uniform(-1, 1, (128, 9)), dtype=torch.float32)
        reward = -((acts - best(seen)) ** 2).sum(dim=1)
        learned.update(Batch(seen, acts, seen, reward, torch.ones(128)))
    assert away(test) < 0.25 * at_first


def test_a_loss_that_is_no_number_ends_the_run(warm: Path) -> None:
    learned, given = learner(warm), batch()
    with pytest.raises(RunError, match=r"training: the loss is not finite after update 1; lower rates"):
        learned.update(replace(given, reward=given.reward * math.nan))


def test_what_was_captured_goes_on_to_the_same_losses(warm: Path) -> None:
    one, other = learner(warm), learner(warm)
    for k in range(7):
        one.update(batch(seed=k))
    arrays, facts = one.capture()
    other.restore(arrays, facts)
    for k in range(7, 12):
        mine, theirs = one.update(batch(seed=k)), other.update(batch(seed=k))
        assert repr(mine) == repr(theirs)


def test_a_batch_is_mixed_relabelled_and_turned_from_one_seed(small: Callable[..., Hindsight], collected: Path) -> None:
    run = small(batch="400", planner_share="0.25", hindsight="0.5")
    planner = read_planner_episodes([str(collected)], HAND, where="")
    replay, rng = Replay(SYMMETRY.build, 150, 6), np.random.default_rng(0)
    for step in range(40):
        rows = rng.standard_normal((2, 6, 87)).astype(np.float32)
        for start in (21, 31):
            rows[..., start : start + 4] /= np.linalg.norm(rows[..., start : start + 4], axis=-1, keepdims=True)
        acts = np.full((6, 9), 2.0, np.float32)
        replay.add(rows[0], acts, rows[1], np.arange(6) == step % 6, np.arange(6))
    one, other = (draw_batch(np.random.default_rng(4), replay, planner, SCENE, run) for _ in range(2))
    for name in ("before", "actions", "after", "reward", "ends"):
        np.testing.assert_array_equal(getattr(one, name).numpy(), getattr(other, name).numpy())
    # Actions beyond what can be done, of the replay alone, are cut; the planner's stand last.
    assert bool((one.actions[:300] == 1.0).all()) and not bool((one.actions[300:] == 1.0).any())
    goal = SYMMETRY.build.slices["goal_quaternion"]
    np.testing.assert_allclose(one.before[:, goal].numpy(), one.after[:, goal].numpy(), atol=1e-5)
    assert bool((one.before[:, goal.start] >= 0.0).all()) and 0.1 < float(one.ends[:300].mean()) < 0.25


@pytest.mark.parametrize("name", ["dclaw3", "dclaw4"])
def test_scenes_are_turned_in_torch_as_the_hands_symmetry_turns_them(name: str) -> None:
    symmetry, rng = HandSymmetry(hand_spec(name)), np.random.default_rng(0)
    scene, rows = TurnedScene(symmetry), rng.standard_normal((60, symmetry.build.width))
    acts, places = rng.uniform(-1, 1, (60, symmetry.hand.dof)), rng.integers(0, symmetry.order, 60)
    every = symmetry.copies(rows)
    seen = torch.as_tensor(rows, dtype=torch.float32)
    np.testing.assert_allclose(scene.every(seen).numpy(), every, atol=1e-5)
    turned = scene.turn(seen, torch.as_tensor(places)).numpy()
    np.testing.assert_allclose(turned, every[np.arange(60), places], atol=1e-5)
    told = scene.turn_actions(torch.as_tensor(acts), torch.as_tensor(places)).numpy()
    np.testing.assert_array_equal(told, symmetry.turned_actions(acts)[np.arange(60), places])
