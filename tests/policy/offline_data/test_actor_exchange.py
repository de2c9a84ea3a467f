"""Actors to and from Stable-Baselines3 and ONNX: the same observation, the same action, wherever they act."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from knuckle.core.errors import InputError, RunError
from knuckle.policy.offline_data import actor_export
from knuckle.policy.offline_data.actor_export import export_actor
from knuckle.policy.offline_data.actor_weights import ActorWeights, Layer
from knuckle.policy.offline_data.exported_actor import ExportedActor
from knuckle.policy.offline_data.sb3_actor import load_actor
from knuckle.policy.offline_data.sb3_ppo import from_ppo, to_ppo
from knuckle.policy.offline_data.torch_actor import TorchActor


class Shapes(gymnasium.Env[Any, Any]):
    """An environment of 3 observations and 2 actions, -2 to 1 and -1 to 3."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Box(np.array([-2, -1], np.float32), np.array([1, 3], np.float32))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        return self.np_random.standard_normal(3).astype(np.float32), 0.0, False, False, {}


def layers(rng: np.random.Generator, *sizes: int) -> tuple[Layer, ...]:
    return tuple(
        (
            (rng.standard_normal((after, before)) / np.sqrt(before)).astype(np.float32),
            (0.3 * rng.standard_normal(after)).astype(np.float32),
        )
        for before, after in itertools.pairwise(sizes)
    )


def made_actor(**change: Any) -> ActorWeights:
    rng = np.random.default_rng(0)
    actor = ActorWeights(
        layers(rng, 3, 16, 12, 2),
        "relu",
        False,
        Shapes.action_space.low,
        Shapes.action_space.high,
        np.array([-1.0, -0.5], np.float32),
        observation_mean=np.array([0.5, -1.0, 20.0], np.float32),
        observation_std=np.array([0.1, 1.0, 5.0], np.float32),
    )
    return replace(actor, **change)


SEEN = (np.array([0.5, -1.0, 20.0]) + np.array([0.1, 1.0, 5.0]) * np.random.RandomState(1).randn(200, 3)).astype(
    np.float32
)


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_copy_in_ppo_predicts_the_same_and_so_does_the_zip_it_saves(
    tmp_path: Path, normalised: bool, activation: str
) -> None:
    bare: dict[str, Any] = {} if normalised else {"observation_mean": None, "observation_std": None}
    actor = made_actor(activation=activation, **bare)
    value = layers(np.random.default_rng(5), 3, 8, 1)
    model = to_ppo(actor, Shapes(), value=value, n_steps=8, batch_size=8)
    ours = TorchActor(actor).act(SEEN)
    np.testing.assert_allclose(model.predict(SEEN, deterministic=True)[0], ours, atol=2e-5 if normalised else 0.0)
    model.save(tmp_path / "tuned.zip")
    np.testing.assert_allclose(load_actor(tmp_path / "tuned.zip").act(SEEN), ours, atol=2e-5)
    again = PPO.load(tmp_path / "tuned.zip")
    np.testing.assert_allclose(again.predict(SEEN, deterministic=True)[0], ours, atol=2e-5)
    # The value head gives the value of the observation, through the same normaliser.
    at = (SEEN - actor.observation_mean) / actor.observation_std if normalised else SEEN
    hidden = at @ value[0][0].T + value[0][1]
    hidden = np.maximum(hidden, 0) if activation == "relu" else np.tanh(hidden)
    tensor, _ = model.policy.obs_to_tensor(SEEN)
    theirs = model.policy.predict_values(tensor).detach().numpy()
    np.testing.assert_allclose(theirs, hidden @ value[1][0].T + value[1][1], atol=1e-4)
    model.learn(8)  # it can be gone on with


def test_there_and_back_is_the_same_actor() -> None:
    actor = made_actor(observation_mean=None, observation_std=None)
    value = layers(np.random.default_rng(5), 3, 8, 6, 1)
    again, critic = from_ppo(to_ppo(actor, Shapes(), value=value))
    for (a, b), (c, d) in zip((*actor.layers, *value), (*again.layers, *critic), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert again.log_std is not None and np.array_equal(again.log_std, actor.log_std)
    assert (again.activation, again.squash) == ("relu", False)


def test_a_ppo_behind_vecnormalize_brings_its_normaliser() -> None:
    env = VecNormalize(DummyVecEnv([Shapes]))
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, seed=0)
    model.learn(32)
    actor, _ = from_ppo(model)
    theirs, _ = model.predict(env.normalize_obs(SEEN), deterministic=True)
    np.testing.assert_allclose(TorchActor(actor).act(SEEN), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "value", "said"),
    [
        ({"squash": True}, None, "its mean is squashed"),
        ({"log_std": layers(np.random.default_rng(0), 12, 2)[0]}, None, "depends on the observation"),
        ({"observation_clip": 10.0}, None, "its observations are cut to 10"),
        ({}, layers(np.random.default_rng(0), 4, 8, 1), "a value of 4 observations that gives 1"),
        ({}, layers(np.random.default_rng(0), 3, 8, 2), "a value of 3 observations that gives 2"),
    ],
)
def test_what_ppo_cannot_be_is_refused(change: dict[str, Any], value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        to_ppo(made_actor(**change), Shapes(), value=value)


def test_an_actor_of_another_environment_is_not_copied() -> None:
    with pytest.raises(InputError, match="an actor of 3 observations and 2 actions for"):
        to_ppo(made_actor(), gymnasium.make("Pendulum-v1"))


def export(folder: Path, actor: ActorWeights) -> Any:
    return export_actor(
        folder,
        actor,
        name="made",
        task="shapes",
        observed=SEEN,
        rate_hz=125.0,
        data="made numbers",
        licence="none",
        training={"learner": "nobody"},
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"squash": True},
        {"squash": True, "activation": "tanh", "mean_clip": 2.0, "observation_clip": 1.5},
        {"activation": "elu"},
        {"observation_mean": None, "observation_std": None},
    ],
)
def test_an_exported_actor_acts_as_the_original_with_its_normaliser_inside(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    actor = made_actor(**change)
    card = export(tmp_path / "policy", actor)
    exported = ExportedActor(tmp_path / "policy")
    np.testing.assert_allclose(exported.act(SEEN), TorchActor(actor).act(SEEN), atol=2e-5)
    assert card.config["parity"]["largest_observed"] < 1e-4
    assert ("observation" in card.normaliser) == (actor.observation_mean is not None)
    assert sorted(p.name for p in (tmp_path / "policy").iterdir()) == ["card.json", "policy.onnx"]
    far = exported.act(np.full((1, 3), 1e6))
    assert (far >= actor.low).all() and (far <= actor.high).all()
    with pytest.raises(InputError, match=r"\(n, 3\)"):
        exported.act(np.zeros((1, 4)))


def test_an_export_that_differs_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = actor_export._graph
    monkeypatch.setattr(actor_export, "_graph", lambda actor: graph(replace(actor, activation="tanh")))
    with pytest.raises(RunError, match="the exported network's actions differ by"):
        export(tmp_path / "policy", made_actor())
    assert list((tmp_path / "policy").iterdir()) == []


def test_a_broken_export_is_refused(tmp_path: Path) -> None:
    export(tmp_path / "policy", made_actor())
    card = json.loads((tmp_path / "policy" / "card.json").read_text())
    (tmp_path / "policy" / "card.json").write_text(json.dumps(card | {"config": {"kind": "other"}}))
    with pytest.raises(InputError, match="the card is of 'other'; offline policy"):
        ExportedActor(tmp_path / "policy")
    (tmp_path / "policy" / "card.json").write_text(json.dumps(card))
    (tmp_path / "policy" / "policy.onnx").write_bytes(b"other")
    with pytest.raises(InputError, match="do not match the card's sha256"):
        ExportedActor(tmp_path / "policy")
    (tmp_path / "policy" / "policy.onnx").unlink()
    with pytest.raises(InputError, match="no policy.onnx in it"):
        ExportedActor(tmp_path / "policy")


def test_an_exported_actor_runs_without_torch(tmp_path: Path) -> None:
    export(tmp_path / "policy", made_actor())
    program = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from knuckle.policy.offline_data.exported_actor import ExportedActor;"
        f"print(ExportedActor(Path({str(tmp_path / 'policy')!r})).act(np.zeros((1, 3))).shape,"
        "'torch' in sys.modules, 'onnx' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert said.strip() == "(1, 2) False False"


def test_actions_can_be_drawn_alike_under_a_seed() -> None:
    actor = TorchActor(made_actor())
    one, again = (actor.act(SEEN, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, actor.act(SEEN))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"activation": "gelu"}, "activation 'gelu' is unknown"),
        ({"layers": ()}, "it has no layer"),
        (
            {"layers": layers(np.random.default_rng(0), 3, 4) + layers(np.random.default_rng(0), 5, 2)},
            "layer 1 reads 5",
        ),
        ({"low": np.zeros(3, np.float32)}, "low of shape"),
        ({"low": np.full(2, 5.0, np.float32)}, "an action's low is not below its high"),
        ({"log_std": np.zeros(3, np.float32)}, "log_std of shape"),
        ({"log_std": layers(np.random.default_rng(0), 3, 2)[0]}, "the layer of log_std has another shape"),
        ({"observation_mean": None}, "half a normaliser"),
        ({"observation_std": np.ones(4, np.float32)}, "observation_std of shape"),
    ],
)
def test_weights_that_do_not_fit_together_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        made_actor(**change)
