"""From a learner to its task: the exported policy does what the learner did, in the task's own units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from knuckle.core.errors import InputError
from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.learners import settings_of
from knuckle.policy.offline_data.actor_export import export_actor
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.exported_actor import ExportedActor
from knuckle.policy.offline_data.learned_weights import begin_from, learned_weights, value_layers
from knuckle.policy.offline_data.sb3_ppo import from_ppo, to_ppo
from knuckle.policy.offline_data.torch_actor import TorchActor

LOW, HIGH = np.array([-2.0, -1.0], np.float32), np.array([2.0, 3.0], np.float32)
SMALL = {"width": "16", "batch": "8"}


class Box(gymnasium.Env[Any, Any]):
    """The shapes of the data set, and nothing else."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Box(LOW, HIGH)


def learned(name: str, data: Dataset, **changes: str) -> Any:
    rows = data.transitions()
    unit = (2.0 * (rows.actions - data.low) / (data.high - data.low) - 1.0).astype(np.float32)
    fit = Fit(name, settings_of(name, SMALL | changes), replace(rows, actions=unit), seed=0)
    for _ in range(3):
        fit.step()
    return fit.learner


@pytest.fixture
def wide(dataset: Callable[..., Dataset]) -> Dataset:
    """Data of a space that is not -1 to 1, their observations normalised."""
    return replace(dataset(), low=LOW, high=HIGH).normalise_observations()


def wanted(learner: Any, data: Dataset, seen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    assert data.scale is not None
    unit = learner.act(torch.from_numpy(data.scale(seen))).numpy()
    return np.asarray(LOW + 0.5 * (unit + 1.0) * (HIGH - LOW))


@pytest.mark.parametrize("name", ["odice", "odice-imitation", "bc", "iql", "td3-bc", "cql"])
def test_an_exported_learner_acts_as_it_did_on_the_environments_observations(
    name: str, wide: Dataset, tmp_path: Path
) -> None:
    learner = learned(name, wide)
    actor = learned_weights(learner, wide)
    seen = 2.0 * np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    np.testing.assert_allclose(TorchActor(actor).act(seen), wanted(learner, wide, seen), atol=1e-5)
    given: dict[str, Any] = {"name": name, "task": "made", "data": "made", "licence": "none", "training": {}}
    export_actor(tmp_path / "policy", actor, observed=seen, rate_hz=50.0, **given)
    np.testing.assert_allclose(ExportedActor(tmp_path / "policy").act(seen), wanted(learner, wide, seen), atol=1e-4)


def test_o_dice_goes_to_ppo_with_its_value(wide: Dataset) -> None:
    learner = learned("odice", wide, twin="false", norm="false")
    model = to_ppo(learned_weights(learner, wide), Box(), value=value_layers(learner), n_steps=8, batch_size=8)
    seen = 2.0 * np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(seen, deterministic=True)[0], wanted(learner, wide, seen), atol=1e-4)
    assert wide.scale is not None
    theirs = model.policy.predict_values(torch.from_numpy(seen)).detach().numpy()[:, 0]
    value = learner.value(torch.from_numpy(wide.scale(seen)))
    np.testing.assert_allclose(theirs, value.numpy(), atol=1e-4)


@pytest.mark.parametrize("normalised", [True, False])
def test_a_learner_begins_as_a_ppo_agent_does(wide: Dataset, dataset: Callable[..., Dataset], normalised: bool) -> None:
    data = wide if normalised else replace(dataset(), low=LOW, high=HIGH)
    sizes: dict[str, Any] = {"net_arch": {"pi": [16, 16], "vf": [16, 16]}, "activation_fn": torch.nn.ReLU}
    model = PPO("MlpPolicy", Box(), policy_kwargs=sizes, n_steps=8, batch_size=8, seed=0)
    actor, value = from_ppo(model)
    learner = learned("odice", data, twin="false", norm="false", policy_width="16")
    begin_from(learner, actor, data, value=value)
    seen = 2.0 * np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    given = torch.from_numpy(seen if data.scale is None else data.scale(seen))
    ours = LOW + 0.5 * (learner.act(given).numpy() + 1.0) * (HIGH - LOW)
    np.testing.assert_allclose(ours, model.predict(seen, deterministic=True)[0], atol=1e-5)
    theirs = model.policy.predict_values(torch.from_numpy(seen)).detach().numpy()[:, 0]
    np.testing.assert_allclose(learner.value(given).numpy(), theirs, atol=1e-5)
    again = learned_weights(learner, data)
    np.testing.assert_allclose(np.asarray(again.log_std), np.asarray(actor.log_std), atol=1e-6)


def test_an_agent_that_the_learner_cannot_be_is_refused(wide: Dataset) -> None:
    actor, _ = from_ppo(PPO("MlpPolicy", Box(), n_steps=8, batch_size=8))
    with pytest.raises(InputError, match="an actor of tanh"):
        begin_from(learned("odice", wide), actor, wide)
    with pytest.raises(InputError, match=r"layers \[\(64, 3\)"):
        begin_from(learned("odice", wide, policy_width="16"), replace(actor, activation="relu"), wide)
    with pytest.raises(InputError, match="a mean through tanh"):
        begin_from(learned("iql", wide), actor, wide)


def test_a_value_that_no_plain_layers_say_is_refused(wide: Dataset) -> None:
    with pytest.raises(InputError, match="Odice has 2 state values"):
        value_layers(learned("odice", wide))
    with pytest.raises(InputError, match="layer norm in the value"):
        value_layers(learned("odice", wide, twin="false"))
    with pytest.raises(InputError, match="Td3Bc has 0 state values"):
        value_layers(learned("td3-bc", wide))
    with pytest.raises(InputError, match="object has no policy that is known"):
        learned_weights(object(), wide)
