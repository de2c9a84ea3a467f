"""Zips of others: what is read of them is what Stable-Baselines3 means, and nothing in them is ever run."""

from __future__ import annotations

import base64
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO, SAC, TD3

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.sb3_actor import load_actor
from knuckle.policy.sb3_zip import read_zip

Rewrite = Callable[[dict[str, bytes]], None]


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zips") / "ppo.zip"
    PPO("MlpPolicy", "Pendulum-v1", n_steps=8, batch_size=8, seed=0).save(path)
    return path


def rewritten(source: Path, target: Path, rewrite: Rewrite, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(source) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    rewrite(held)
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return target


def with_fields(**fields: Any) -> Rewrite:
    def rewrite(held: dict[str, bytes]) -> None:
        held["data"] = json.dumps(json.loads(held["data"]) | fields).encode()

    return rewrite


def with_weights(stored: Any, **options: Any) -> Rewrite:
    def rewrite(held: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        torch.save(stored, buffer, **options)
        held["policy.pth"] = buffer.getvalue()

    return rewrite


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (PPO, {"n_steps": 8, "batch_size": 8}),
        (A2C, {}),
        (SAC, {}),
        (TD3, {}),
        (SAC, {"use_sde": True}),
        (SAC, {"policy_kwargs": {"net_arch": [16], "activation_fn": torch.nn.ELU}}),
        (PPO, {"n_steps": 8, "batch_size": 8, "policy_kwargs": {"net_arch": [24, 16], "activation_fn": torch.nn.ReLU}}),
    ],
)
def test_an_actor_from_a_zip_acts_as_the_model_that_was_saved(
    tmp_path: Path, algorithm: Any, settings: dict[str, Any]
) -> None:
    model = algorithm("MlpPolicy", "Pendulum-v1", seed=1, **settings)
    model.save(tmp_path / "agent.zip")
    actor = load_actor(tmp_path / "agent.zip")
    seen = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    theirs, _ = model.predict(seen, deterministic=True)
    np.testing.assert_allclose(actor.act(seen), theirs, atol=2e-6)


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_drawn_actions_have_the_mean_and_spread_of_the_models(tmp_path: Path, algorithm: Any) -> None:
    model = algorithm("MlpPolicy", "Pendulum-v1", seed=1)
    model.save(tmp_path / "agent.zip")
    actor, rng = load_actor(tmp_path / "agent.zip"), np.random.default_rng(0)
    one = np.tile(np.array([0.3, -0.9, 1.0], dtype=np.float32), (20_000, 1))
    torch.manual_seed(0)
    theirs, _ = model.predict(one, deterministic=False)
    ours = actor.act(one, rng)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.05) and ours.std() == pytest.approx(theirs.std(), rel=0.03)
    np.testing.assert_array_equal(actor.act(one, np.random.default_rng(5)), actor.act(one, np.random.default_rng(5)))


def test_a_vecnormalize_given_beside_it_stands_before_the_actor(saved: Path) -> None:
    mean, var = np.array([0.5, -0.5, 2.0]), np.array([0.25, 4.0, 9.0])
    seen = 9.0 * np.random.default_rng(0).standard_normal((16, 3))
    inside = load_actor(saved, observation_mean=mean, observation_var=var).act(seen)
    before = load_actor(saved).act(np.clip((seen - mean) / np.sqrt(var + 1e-8), -10.0, 10.0))
    np.testing.assert_allclose(inside, before, atol=1e-5)


def test_serialised_fields_are_never_decoded(saved: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    bomb = base64.b64encode(pickle.dumps(Canary(sprung))).decode()
    pickle.loads(base64.b64decode(bomb))  # noqa: S301, the canary itself works
    assert sprung.exists()
    sprung.unlink()
    with zipfile.ZipFile(saved) as archive:
        fields = json.loads(archive.read("data"))
    poisoned = {
        name: value | {":serialized:": bomb} if isinstance(value, dict) else {":type:": "x", ":serialized:": bomb}
        for name, value in fields.items()
        if name != "use_sde"
    }
    path = rewritten(saved, tmp_path / "canary.zip", with_fields(**poisoned))
    seen = np.zeros((1, 3))
    np.testing.assert_array_equal(load_actor(path).act(seen), load_actor(saved).act(seen))
    assert not sprung.exists()
    assert not any(":serialized:" in str(value) for value in read_zip(path).fields.values())


def test_code_in_the_weights_is_never_run(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sprung = tmp_path / "sprung"
    path = rewritten(saved, tmp_path / "canary.zip", with_weights({"log_std": Canary(sprung)}))
    # The variable by which a whole process is told to trust every file.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(InputError, match="holds what is no weight, and was not loaded"):
        read_zip(path)
    assert not sprung.exists()


def _drop(name: str) -> Rewrite:
    return lambda held: held.pop(name, None) and None


def _set(name: str, content: bytes) -> Rewrite:
    return lambda held: held.update({name: content})


_INF = torch.full((1,), torch.inf)
_FEW = {f"mlp_extractor.policy_net.{k}.{part}": torch.zeros(4, 4) for k in (0, 3) for part in ("weight", "bias")}
_BOX = {":type:": "<class 'gymnasium.spaces.box.Box'>"}


@pytest.mark.parametrize(
    ("rewrite", "said"),
    [
        (_drop("data"), "no data in it"),
        (_drop("policy.pth"), "no policy.pth in it"),
        (_set("data", b"\xff\xfe"), "it is no JSON"),
        (_set("data", b"[" * 100_000), "it is no JSON"),
        (_set("data", b"[1]"), "it is a list"),
        (_set("policy.pth", b"no torch file"), "it is no torch file"),
        (_set("policy.pth", pickle.dumps({"log_std": 1})), "it is no torch file"),
        (lambda held: held.update({f"{k}.bin": b"" for k in range(80)}), "files in it"),
        (with_weights([torch.zeros(1)]), "it is a list"),
        (with_weights({"log_std": torch.zeros(1, dtype=torch.int64)}), "log_std is no tensor of floats"),
        (with_weights({"log_std": _INF}), "log_std is not finite"),
        (with_weights({"log_std": torch.zeros(1).expand(1 << 40)}), "more than the file"),
        (with_weights({"q_net.weight": torch.zeros(1)}), "no actor that is known"),
        (with_weights({"action_net.weight": torch.zeros(1, 4), **_FEW}), r"are numbered \[0, 3\]"),
        (with_weights({"action_net.weight": torch.zeros(1, 3)}), "no action_net.bias among its weights"),
        (with_weights({"pi_features_extractor.cnn.0.weight": torch.zeros(1)}), "feature extractor"),
        (with_fields(action_space={":type:": "<class 'gymnasium.spaces.discrete.Discrete'>"}), "discrete.Discrete"),
        (with_fields(action_space=None), "action_space: it is missing"),
        (with_fields(action_space=_BOX | {"_shape": [2, 2]}), r"its shape is \[2, 2\]"),
        (with_fields(action_space=_BOX | {"_shape": [1], "low": "[-1. ... 1.]"}), "its low is not 1 numbers"),
        (with_fields(observation_space=_BOX | {"_shape": [2], "low": "[0 0]", "high": "[1 1]"}), "reads 3 numbers"),
        (with_fields(policy_kwargs={"activation_fn": "<class 'torch.nn.GELU'>"}), "its activation is"),
        (with_fields(use_sde=True), "with gSDE"),
    ],
)
def test_a_zip_that_cannot_be_used_is_refused_in_one_line(
    saved: Path, tmp_path: Path, rewrite: Rewrite, said: str
) -> None:
    path = rewritten(saved, tmp_path / "bad.zip", rewrite)
    with pytest.raises(InputError, match=said) as refused:
        load_actor(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_a_bomb_is_not_unpacked(saved: Path, tmp_path: Path) -> None:
    data = rewritten(saved, tmp_path / "data.zip", _set("data", b" " * (17 << 20)), zipfile.ZIP_DEFLATED)
    assert data.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="data is too large unpacked"):
        read_zip(data)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"\0" * (257 << 20))
    with pytest.raises(InputError, match="policy.pth: it is too large unpacked"):
        read_zip(rewritten(saved, tmp_path / "inner.zip", _set("policy.pth", inner.getvalue())))


def test_a_file_named_twice_is_refused(saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "twice.zip", lambda held: None)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("policy.pth", b"another")
    with pytest.raises(InputError, match="2 files called policy.pth in it"):
        read_zip(path)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent.zip").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="the zip cannot be read"):
        read_zip(tmp_path / "agent.zip")
    with pytest.raises(InputError, match="the file cannot be read"):
        read_zip(tmp_path / "none.zip")
    with pytest.raises(InputError, match="the file cannot be read"):
        read_zip(tmp_path)


def test_a_half_copied_zip_is_refused(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "half.zip").write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match="the zip cannot be read|no data in it"):
            read_zip(tmp_path / "half.zip")


@pytest.mark.data
@pytest.mark.parametrize(("name", "wanted"), [("sac_Hopper", 1099.4), ("tqc_Hopper", 3666.2)], ids=["medium", "expert"])
def test_the_given_agents_hop_as_their_makers_say(data_folder: Path, name: str, wanted: float) -> None:
    agent = load_actor(data_folder / "sb3-agents" / f"{name}.zip")
    env = gym.make("Hopper-v5")
    seen, _ = env.reset(seed=0)
    total, over = 0.0, False
    while not over:
        seen, reward, ended, cut, _ = env.step(agent.act(seen[None])[0])
        total, over = total + float(reward), ended or cut
    # The step at which a fall begins depends on the last bits of a matrix product.
    assert total == pytest.approx(wanted, rel=0.1)
