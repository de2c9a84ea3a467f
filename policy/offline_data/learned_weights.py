"""The policy of an offline learner as `ActorWeights`, in the units of its task, and back: what is exported and copied.

Learners act between -1 and 1 on observations as they were scaled for them. Here the task's bounds and the scale of
observations are put back, so that the policy reads what the environment gives and answers what it takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.policy.offline.cql import LOG_STD_HIGH, LOG_STD_LOW, Cql
from knuckle.policy.offline.gaussian_actor import GaussianActor
from knuckle.policy.offline.network import Network
from knuckle.policy.offline.td3_bc import Td3Bc
from knuckle.policy.offline_data.actor_weights import ActorWeights, Floats, Layer
from knuckle.policy.offline_data.dataset import Dataset


def learned_weights(learner: Any, data: Dataset) -> ActorWeights:
    """The policy of ``learner``, which learned from ``data`` as it was given it (its scale goes along).

    A linear Gaussian (O-DICE) keeps its deviation; where the mean goes through tanh the learner adds its noise after
    it, which no squashed Gaussian does, so only the mean is taken (IQL, BC, TD3+BC). InputError for another learner.
    """
    low, high = data.low, data.high
    scale = data.scale
    seen = (None, None) if scale is None else (scale.mean, scale.std)
    normaliser: dict[str, Any] = {"observation_mean": seen[0], "observation_std": seen[1]}
    if isinstance(learner, Td3Bc):
        return ActorWeights(_layers(learner.pi.networks["pi"]), "relu", True, low, high, **normaliser)
    if isinstance(learner, Cql):
        *hidden, (weight, bias) = _layers(learner.pi.networks["pi"])
        acted = data.actions
        log_std = weight[acted:], bias[acted:] + np.float32(learner.config.log_std_offset)
        mean = weight[:acted], bias[:acted]
        limits = (LOG_STD_LOW, LOG_STD_HIGH)
        return ActorWeights((*hidden, mean), "relu", True, low, high, log_std, limits, **normaliser)
    actor = getattr(learner, "policy", None)
    if not isinstance(actor, GaussianActor):
        right = "O-DICE, IQL, BC, TD3+BC or CQL"
        raise InputError(f"{type(learner).__name__} has no policy that is known", where="export", right=right)
    layers = _layers(actor.network)
    if actor.squash:
        return ActorWeights(layers, "relu", True, low, high, **normaliser)
    half = 0.5 * (high - low)
    weight, bias = layers[-1]
    last = half[:, None] * weight, (low + half * (bias + 1.0)).astype(np.float32)
    log_std_here: Floats | None = None
    if actor.deviation:
        log_std_here = np.clip(_array(actor.weights.views["log_std"]), *actor.bounds) + np.log(half)
    return ActorWeights((*layers[:-1], last), "relu", False, low, high, log_std_here, **normaliser)


def value_layers(learner: Any) -> tuple[Layer, ...]:
    """The linear layers of the learner's state value, for PPO's value head, on observations as it was given them.

    InputError where it has none, two, or layer norm in it: no plain layers say the same then.
    """
    networks = getattr(getattr(learner, "v", None), "networks", {})
    if len(networks) != 1:
        what = f"{type(learner).__name__} has {len(networks)} state values"
        raise InputError(what, where="copy to PPO", right="one: O-DICE with twin False, or IQL")
    (network,) = networks.values()
    if network.mlp.norm:
        raise InputError("layer norm in the value", where="copy to PPO", right="a value without it: norm False")
    return _layers(network)


def _layers(network: Network) -> tuple[Layer, ...]:
    return tuple((_array(layer.weight), _array(layer.bias)) for layer in network.layers)


def _array(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().numpy(), dtype=np.float32)


def begin_from(learner: Any, actor: ActorWeights, data: Dataset, *, value: tuple[Layer, ...] | None = None) -> None:
    """Give ``learner`` (O-DICE, or BC without tanh), which is to learn from ``data``, the policy of ``actor``; O-DICE
    with one value without layer norm also ``value``, the layers of a state value on the environment's observations.

    The other way round of `learned_weights`: a PPO agent is where learning begins. InputError where the networks are of
    other sizes, the activation is not ReLU, or a mean goes through tanh.
    """
    policy, where = getattr(learner, "policy", None), "warm start"
    if not isinstance(policy, GaussianActor) or policy.squash or actor.squash:
        right = "O-DICE or BC with squash False, from PPO"
        raise InputError("a mean through tanh, or no Gaussian policy", where=where, right=right)
    if actor.activation != "relu" or np.isfinite(actor.observation_clip) or isinstance(actor.log_std, tuple):
        what = f"an actor of {actor.activation} with a cut or a deviation that the learner has not"
        raise InputError(what, where=where, right="ReLU, no cut of observations, one log_std per action")
    half = 0.5 * (data.high - data.low)
    *hidden, (weight, bias) = _seen_through(actor.layers, actor, data)
    last = weight / half[:, None], np.asarray((bias - data.low) / half - 1.0, dtype=np.float32)
    _put(policy.network, (*hidden, last), where)
    if policy.deviation and actor.log_std is not None:
        policy.weights.views["log_std"].copy_(torch.from_numpy(actor.log_std - np.log(half)))
    if value is not None:
        value_layers(learner)
        (network,) = learner.v.networks.values()
        _put(network, _seen_through(value, actor, data), where)
        if hasattr(learner, "v_bar"):
            learner.v_bar.flat.copy_(learner.v.flat)


def _seen_through(layers: tuple[Layer, ...], actor: ActorWeights, data: Dataset) -> tuple[Layer, ...]:
    """``layers`` behind the actor's normaliser, said of observations in the scale of ``data``."""
    weight, bias = (array.astype(np.float64) for array in layers[0])
    if actor.observation_mean is not None and actor.observation_std is not None:
        weight = weight / actor.observation_std
        bias = bias - weight @ actor.observation_mean
    if data.scale is not None:
        bias = bias + weight @ data.scale.mean
        weight = weight * data.scale.std
    return ((weight.astype(np.float32), bias.astype(np.float32)), *layers[1:])


def _put(network: Network, layers: tuple[Layer, ...], where: str) -> None:
    mine, theirs = [tuple(x.weight.shape) for x in network.layers], [w.shape for w, _ in layers]
    if mine != theirs:
        raise InputError(f"layers {theirs}", where=where, right=f"those of the learner, {mine}")
    for layer, (weight, bias) in zip(network.layers, layers, strict=True):
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias, dtype=np.float32)))
