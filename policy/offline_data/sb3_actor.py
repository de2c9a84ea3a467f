"""The actor in a Stable-Baselines3 zip: SAC, TQC, TD3, DDPG, PPO, A2C, TRPO with an MlpPolicy and continuous actions.

Which family it is shows in the names of its weights. What the plain text does not say cannot be known: a PPO agent that
was trained behind VecNormalize needs the mean and variance of its pickled ``vecnormalize.pkl``, given by the caller.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.actor_weights import ActorWeights, Floats, Layer
from knuckle.policy.offline_data.torch_actor import TorchActor
from knuckle.policy.sb3_zip import Sb3Zip, read_zip

LOG_STD_RANGE = (-20.0, 2.0)
"""Where SAC and TQC cut the logarithm of their noise (sac/policies.py)."""
SDE_MEAN_CLIP = 2.0
VECNORMALIZE_EPSILON = 1e-8
_ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "ELU": "elu"}


def load_actor(
    path: Path, *, observation_mean: NDArray[Any] | None = None, observation_var: NDArray[Any] | None = None
) -> TorchActor:
    """The actor of the zip at ``path``, see `actor_weights`."""
    weights = actor_weights(read_zip(path), observation_mean=observation_mean, observation_var=observation_var)
    return TorchActor(weights)


def actor_weights(
    zipped: Sb3Zip, *, observation_mean: NDArray[Any] | None = None, observation_var: NDArray[Any] | None = None
) -> ActorWeights:
    """The weights of the actor; ``observation_mean`` and ``observation_var`` (O,) are those of VecNormalize, if any.

    InputError in one line where the policy is of another kind (images, discrete actions, gSDE of PPO), or its layers do
    not fit its spaces.
    """
    where, names = str(zipped.path), zipped.weights
    if any("features_extractor" in name or ".shared_net" in name for name in names):
        what = "its policy has a feature extractor or shared layers"
        raise InputError(what, where=where, right="an MlpPolicy with networks of its own")
    low, high = zipped.box("action_space")
    sde = bool(zipped.fields.get("use_sde"))
    log_std: Floats | Layer | None
    mean_clip = float("inf")
    if any(name.startswith("actor.latent_pi.") for name in names):
        head = "actor.mu.0" if sde else "actor.mu"
        layers, activation = _stack(zipped, "actor.latent_pi.", head), _activation(zipped, "relu")
        # The noise of gSDE is a matrix drawn once a while, which only the run that trained it can repeat.
        log_std = None if sde else _layer(zipped, "actor.log_std")
        squash, mean_clip = True, SDE_MEAN_CLIP if sde else mean_clip
    elif any(name.startswith("actor.mu.") for name in names):
        layers, activation, squash, log_std = _stack(zipped, "actor.mu.", ""), _activation(zipped, "relu"), True, None
    elif "action_net.weight" in names:
        if sde:
            raise InputError("a PPO or A2C policy with gSDE", where=where, right="one with use_sde False")
        layers = _stack(zipped, "mlp_extractor.policy_net.", "action_net")
        activation, squash = _activation(zipped, "tanh"), False
        log_std = _weight(zipped, "log_std")
    else:
        raise InputError("no actor that is known in it", where=where, right="SAC, TQC, TD3, DDPG, PPO, A2C or TRPO")
    mean, std = _normaliser(observation_mean, observation_var)
    actor = ActorWeights(layers, activation, squash, low, high, log_std, LOG_STD_RANGE, mean_clip, mean, std)
    _check_widths(zipped, actor)
    return actor


def _check_widths(zipped: Sb3Zip, actor: ActorWeights) -> None:
    seen = len(zipped.box("observation_space")[0])
    if actor.observations != seen:
        what = f"its actor reads {actor.observations} numbers and its observation space has {seen}"
        raise InputError(what, where=str(zipped.path), right="the same")


def _normaliser(mean: NDArray[Any] | None, var: NDArray[Any] | None) -> tuple[Floats | None, Floats | None]:
    std = None if var is None else np.sqrt(np.asarray(var, np.float64) + VECNORMALIZE_EPSILON).astype(np.float32)
    return None if mean is None else np.asarray(mean, dtype=np.float32), std


def _activation(zipped: Sb3Zip, usual: str) -> str:
    """What lies between the layers: ``usual``, unless the policy's settings name another in plain text."""
    settings = zipped.fields.get("policy_kwargs")
    if not isinstance(settings, dict) or "activation_fn" not in settings:
        return usual
    named = re.search(r"(\w+)'>$", str(settings["activation_fn"]))
    if named is None or named[1] not in _ACTIVATIONS:
        what = f"its activation is {settings['activation_fn']}"
        raise InputError(what, where=str(zipped.path), right=f"one of: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[named[1]]


def _stack(zipped: Sb3Zip, prefix: str, head: str) -> tuple[Layer, ...]:
    """The linear layers ``prefix``0, 2, 4 and so on, then ``head`` where it has a name of its own."""
    numbers = sorted(
        {int(found[1]) for name in zipped.weights if (found := re.match(rf"{re.escape(prefix)}(\d+)\.", name))}
    )
    if numbers != list(range(0, 2 * len(numbers), 2)):
        what = f"the layers {prefix}* are numbered {numbers}"
        raise InputError(what, where=str(zipped.path), right="linear layers and activations in turn")
    layers = [_layer(zipped, f"{prefix}{k}") for k in numbers]
    return (*layers, _layer(zipped, head)) if head else tuple(layers)


def _layer(zipped: Sb3Zip, name: str) -> Layer:
    return _weight(zipped, f"{name}.weight"), _weight(zipped, f"{name}.bias")


def _weight(zipped: Sb3Zip, name: str) -> Floats:
    if name not in zipped.weights:
        raise InputError(f"no {name} among its weights", where=str(zipped.path), right="an MlpPolicy as SB3 makes it")
    return zipped.weights[name]
