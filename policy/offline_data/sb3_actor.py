"""The actor of a Stable-Baselines3 agent: SAC, TQC, TD3, DDPG, PPO, A2C, TRPO with an MlpPolicy and continuous actions.

From a zip of somebody, or from a model that the user holds. Which family it is shows in the names of its weights. What
a zip's plain text does not say cannot be known: a PPO agent that was trained behind VecNormalize needs the mean and
variance of its pickled ``vecnormalize.pkl``, given by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.policy.offline_data.actor_weights import ActorWeights, Floats, Layer
from knuckle.policy.offline_data.torch_actor import TorchActor
from knuckle.policy.sb3_zip import Sb3Zip, read_zip

LOG_STD_RANGE = (-20.0, 2.0)
"""Where SAC and TQC cut the logarithm of their noise (sac/policies.py)."""
SDE_MEAN_CLIP = 2.0
VECNORMALIZE_EPSILON, VECNORMALIZE_CLIP = 1e-8, 10.0
"""What VecNormalize adds to a variance, and where it cuts what it has normalised, unless it is told otherwise."""
_ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "ELU": "elu"}


@dataclass(frozen=True)
class _Agent:
    """What is known of an agent: its weights by name, its spaces, the name of the activation (empty: the usual one of
    its family), whether it explores by gSDE."""

    where: str
    weights: Mapping[str, NDArray[np.float32]]
    low: Floats
    high: Floats
    seen: int
    activation: str
    sde: bool


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
    low, high = zipped.box("action_space")
    settings = zipped.fields.get("policy_kwargs")
    named = settings.get("activation_fn", "") if isinstance(settings, dict) else ""
    agent = _Agent(
        str(zipped.path),
        zipped.weights,
        low,
        high,
        len(zipped.box("observation_space")[0]),
        str(named),
        bool(zipped.fields.get("use_sde")),
    )
    std = None if observation_var is None else np.sqrt(np.asarray(observation_var, np.float64) + VECNORMALIZE_EPSILON)
    return _built(agent, observation_mean, std, VECNORMALIZE_CLIP)


def model_actor(model: Any) -> TorchActor:
    """The actor of a Stable-Baselines3 ``model`` as it is now, with its VecNormalize; InputError as `actor_weights`."""
    where = type(model).__name__
    for name in ("observation_space", "action_space"):
        space = getattr(model, name)
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise InputError(f"its {name} is {space}", where=where, right="a Box of one axis")
    low, high = (np.asarray(bound, dtype=np.float32) for bound in (model.action_space.low, model.action_space.high))
    weights = {name: np.array(tensor.cpu().numpy()) for name, tensor in model.policy.state_dict().items()}
    seen = int(model.observation_space.shape[0])
    agent = _Agent(where, weights, low, high, seen, str(model.policy.activation_fn), bool(model.use_sde))
    running = model.get_vec_normalize_env()
    if running is None or not running.norm_obs:
        return TorchActor(_built(agent, None, None, 0.0))
    std = np.sqrt(running.obs_rms.var + running.epsilon)
    return TorchActor(_built(agent, running.obs_rms.mean, std, float(running.clip_obs)))


def _built(agent: _Agent, mean: NDArray[Any] | None, std: NDArray[Any] | None, clip: float) -> ActorWeights:
    """The actor, behind a normaliser that cuts to ``clip`` where there is one."""
    where, names = agent.where, agent.weights
    if any("features_extractor" in name or ".shared_net" in name for name in names):
        what = "its policy has a feature extractor or shared layers"
        raise InputError(what, where=where, right="an MlpPolicy with networks of its own")
    log_std: Floats | Layer | None = None
    mean_clip = float("inf")
    if any(name.startswith("actor.latent_pi.") for name in names):
        layers, squash = _stack(agent, "actor.latent_pi.", "actor.mu.0" if agent.sde else "actor.mu"), True
        # The noise of gSDE is a matrix drawn once a while, which only the run that trained it can repeat.
        if agent.sde:
            mean_clip = SDE_MEAN_CLIP
        else:
            log_std = _layer(agent, "actor.log_std")
    elif any(name.startswith("actor.mu.") for name in names):
        layers, squash = _stack(agent, "actor.mu.", ""), True
    elif "action_net.weight" in names:
        if agent.sde:
            raise InputError("a PPO or A2C policy with gSDE", where=where, right="one with use_sde False")
        layers, squash = _stack(agent, "mlp_extractor.policy_net.", "action_net"), False
        log_std = _weight(agent, "log_std")
    else:
        raise InputError("no actor that is known in it", where=where, right="SAC, TQC, TD3, DDPG, PPO, A2C or TRPO")
    centre, scale = (None if array is None else np.asarray(array, dtype=np.float32) for array in (mean, std))
    actor = ActorWeights(
        layers,
        _activation(agent, "relu" if squash else "tanh"),
        squash,
        agent.low,
        agent.high,
        log_std,
        LOG_STD_RANGE,
        mean_clip,
        centre,
        scale,
        float("inf") if scale is None else clip,
    )
    if actor.observations != agent.seen:
        what = f"its actor reads {actor.observations} numbers and its observation space has {agent.seen}"
        raise InputError(what, where=where, right="the same")
    return actor


def _activation(agent: _Agent, usual: str) -> str:
    """What lies between the layers: ``usual``, unless the policy's settings name another in plain text."""
    if not agent.activation:
        return usual
    named = re.search(r"(\w+)'>$", agent.activation)
    if named is None or named[1] not in _ACTIVATIONS:
        right = f"one of: {', '.join(_ACTIVATIONS)}"
        raise InputError(f"its activation is {agent.activation}", where=agent.where, right=right)
    return _ACTIVATIONS[named[1]]


def _stack(agent: _Agent, prefix: str, head: str) -> tuple[Layer, ...]:
    """The linear layers ``prefix``0, 2, 4 and so on, then ``head`` where it has a name of its own."""
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)\.")
    numbers = sorted({int(found[1]) for name in agent.weights if (found := pattern.match(name))})
    if numbers != list(range(0, 2 * len(numbers), 2)):
        what = f"the layers {prefix}* are numbered {numbers}"
        raise InputError(what, where=agent.where, right="linear layers and activations in turn")
    layers = [_layer(agent, f"{prefix}{k}") for k in numbers]
    return (*layers, _layer(agent, head)) if head else tuple(layers)


def _layer(agent: _Agent, name: str) -> Layer:
    return _weight(agent, f"{name}.weight"), _weight(agent, f"{name}.bias")


def _weight(agent: _Agent, name: str) -> Floats:
    if name not in agent.weights:
        raise InputError(f"no {name} among its weights", where=agent.where, right="an MlpPolicy as SB3 makes it")
    return agent.weights[name]
