"""Weights to and from Stable-Baselines3's PPO: a policy learned offline is tuned online, a PPO agent is gone on with.

PPO's MlpPolicy without a squash is a Gaussian whose mean is linear layers and whose deviation does not depend on the
observation, cut to the action space when it acts: what O-DICE's policy is, so that a copy predicts the same. A value
function without layer norm goes into PPO's value head. Needs extra ``learn``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.actor_weights import ActorWeights, Layer

_ACTIVATIONS: dict[str, type[torch.nn.Module]] = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "elu": torch.nn.ELU}
FIRST_LOG_STD = -20.0
"""The noise of a copy of an actor that has none."""


def to_ppo(
    actor: ActorWeights, env: Any, *, value: Sequence[Layer] | None = None, seed: int = 0, **settings: Any
) -> Any:
    """A PPO model for ``env`` that predicts as ``actor`` does; ``settings`` go to PPO.

    ``value`` are the linear layers of a state value (the last one gives one number), without layer norm, with the
    actor's activation between; without it the value head is new and has the actor's widths. The normaliser of
    observations goes into the first layers. InputError for an actor that squashes, whose deviation depends on the
    observation, or whose widths are not those of ``env`` or ``value``.
    """
    if actor.squash or isinstance(actor.log_std, tuple) or np.isfinite(actor.mean_clip):
        what = "its mean is squashed, or its deviation depends on the observation"
        raise InputError(what, where="copy to PPO", right="a linear mean and one log_std per action")
    if np.isfinite(actor.observation_clip):
        what = f"its observations are cut to {actor.observation_clip:g} after they are normalised"
        raise InputError(what, where="copy to PPO", right="a normaliser without a cut, which a layer can hold")
    spaces = (env.observation_space.shape, env.action_space.shape)
    if spaces != ((actor.observations,), (actor.actions,)):
        what = (
            f"an actor of {actor.observations} observations and {actor.actions} actions for {spaces[0]} and {spaces[1]}"
        )
        raise InputError(what, where="copy to PPO", right="the environment's shapes")
    layers, critic = _normalised(actor.layers, actor), None
    if value is not None:
        _check_value(value, actor)
        critic = _normalised(tuple(value), actor)
    widths = {
        "pi": [len(bias) for _, bias in layers[:-1]],
        "vf": [len(bias) for _, bias in (critic or layers)[:-1]],
    }
    policy = {"net_arch": widths, "activation_fn": _ACTIVATIONS[actor.activation]}
    model = PPO("MlpPolicy", env, policy_kwargs=policy, seed=seed, device="cpu", **settings)
    stored = dict(model.policy.state_dict())
    stored["log_std"] = torch.full((actor.actions,), FIRST_LOG_STD)
    if actor.log_std is not None:
        stored["log_std"] = torch.tensor(np.clip(actor.log_std, *actor.log_std_range))
    stored |= _named(layers, "mlp_extractor.policy_net", "action_net")
    if critic is not None:
        stored |= _named(critic, "mlp_extractor.value_net", "value_net")
    model.policy.load_state_dict(stored)
    return model


def from_ppo(model: Any) -> tuple[ActorWeights, tuple[Layer, ...]]:
    """The actor of a PPO (or A2C) ``model`` and the layers of its value; with its VecNormalize's mean and variance.

    InputError for images, discrete actions or gSDE.
    """
    policy = model.policy
    stored = {name: np.array(tensor.numpy(), dtype=np.float32) for name, tensor in policy.state_dict().items()}
    space = model.action_space
    if "log_std" not in stored or stored["log_std"].ndim != 1 or getattr(model, "use_sde", False):
        right = "PPO or A2C with an MlpPolicy, continuous actions and no gSDE"
        raise InputError("its policy is no plain Gaussian", where="copy from PPO", right=right)
    if any("features_extractor" in name for name in stored):
        raise InputError("its policy has a feature extractor", where="copy from PPO", right="an MlpPolicy")
    named = [name for name, kind in _ACTIVATIONS.items() if policy.activation_fn is kind]
    if not named:
        right = f"one of: {', '.join(_ACTIVATIONS)}"
        raise InputError(f"its activation is {policy.activation_fn}", where="copy from PPO", right=right)
    running = model.get_vec_normalize_env()
    mean = std = None
    clip = float("inf")
    if running is not None and running.norm_obs:
        mean = running.obs_rms.mean.astype(np.float32)
        std = np.sqrt(running.obs_rms.var + running.epsilon).astype(np.float32)
        clip = float(running.clip_obs)
    low, high = (np.asarray(bound, dtype=np.float32) for bound in (space.low, space.high))
    actor = ActorWeights(
        _read(stored, "mlp_extractor.policy_net", "action_net"),
        named[0],
        False,
        low,
        high,
        stored["log_std"],
        observation_mean=mean,
        observation_std=std,
        observation_clip=clip,
    )
    return actor, _read(stored, "mlp_extractor.value_net", "value_net")


def _check_value(value: Sequence[Layer], actor: ActorWeights) -> None:
    first, last = value[0][0].shape[1], len(value[-1][1])
    if (first, last) != (actor.observations, 1):
        what = f"a value of {first} observations that gives {last} numbers"
        raise InputError(what, where="copy to PPO", right=f"{actor.observations} and 1")


def _normalised(layers: tuple[Layer, ...], actor: ActorWeights) -> tuple[Layer, ...]:
    """``layers`` that read observations as they come: W ((x - mean) / std) + b, in double precision, is one layer."""
    if actor.observation_mean is None or actor.observation_std is None:
        return layers
    weight = layers[0][0].astype(np.float64) / actor.observation_std
    bias = layers[0][1] - weight @ actor.observation_mean.astype(np.float64)
    return ((weight.astype(np.float32), bias.astype(np.float32)), *layers[1:])


def _named(layers: Sequence[Layer], prefix: str, head: str) -> dict[str, torch.Tensor]:
    names = [f"{prefix}.{2 * k}" for k in range(len(layers) - 1)] + [head]
    return {
        f"{name}.{part}": torch.tensor(array)
        for name, layer in zip(names, layers, strict=True)
        for part, array in zip(("weight", "bias"), layer, strict=True)
    }


def _read(stored: dict[str, Any], prefix: str, head: str) -> tuple[Layer, ...]:
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in stored)
    names = [f"{prefix}.{2 * k}" for k in range(count)] + [head]
    return tuple((stored[f"{name}.weight"], stored[f"{name}.bias"]) for name in names)
