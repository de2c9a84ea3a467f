"""A policy as another learner's beginning: its network and normaliser, read from the folder that is deployed.

For PPO: actor and normaliser are the policy's, the critic begins anew, and for some updates may learn alone, or its
first guesses would undo the actor. Needs extra ``learn``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.policy_card import NETWORK, read_card
from knuckle.policy.learned.policy_folder import policy_folder


@dataclass(frozen=True)
class WarmStart:
    """The ``layers`` (weight, bias) of an actor with ELU between, its ``normaliser``, whether one network answers for
    every finger (``symmetric``), and the ``folder`` and ``name`` of the policy."""

    layers: list[tuple[Array, Array]]
    normaliser: Normaliser
    symmetric: bool
    folder: Path
    name: str

    @property
    def hidden(self) -> list[int]:
        """Units of each hidden layer."""
        return [len(bias) for _, bias in self.layers[:-1]]


def read_warm_start(name: str, hand: HandSpec, *, hidden: list[int], symmetric: bool, where: str) -> WarmStart:
    """The policy called ``name``, or in the folder of that name, for ``hand``.

    InputError in one line where there is none, it cannot be read, it is for another hand, action map, rate or
    observation, draws chunks, or its network is not of ``hidden`` units or not ``symmetric`` as is wanted.
    """
    folder = policy_folder(name)
    if folder is None:
        raise InputError(f"no policy '{name}'", where=where, right="the folder of a trained policy")
    card = read_card(folder, hand)
    if "chunk" in card.config:
        what = "the policy draws chunks; training goes on from actions"
        raise InputError(what, where=str(folder), right="reorient-dclaw3, or another policy without chunks")
    arrays = _constants(folder / NETWORK)
    try:
        count = sum(key.startswith("weight_") for key in arrays)
        layers = [(arrays[f"weight_{k}"], arrays[f"bias_{k}"]) for k in range(count)]
        normaliser = Normaliser(arrays["mean"], arrays["std"], float(arrays["high"]))
    except KeyError as error:
        what = f"the network has no {error}"
        raise InputError(what, where=str(folder / NETWORK), right="an ONNX file that knuckle wrote") from error
    start = WarmStart(layers, normaliser, "turns" in arrays, folder, card.name)
    if start.symmetric != symmetric:
        forms = {True: "one network for every finger", False: "one network for the whole hand"}
        right = f"symmetric={str(start.symmetric).lower()}"
        raise InputError(f"the policy is {forms[start.symmetric]}", where=str(folder), right=right)
    if start.hidden != hidden:
        what = f"the policy's hidden layers have {start.hidden} units, not {hidden}"
        right = f"width={start.hidden[0] if start.hidden else 0},layers={len(start.hidden)}"
        raise InputError(what, where=str(folder), right=right)
    return start


def begin_with_policy(trainer: Any, name: str, *, where: str) -> None:
    """Let ``trainer``, a `Trainer` that has done no update, begin with the actor and normaliser of the policy ``name``.

    InputError where that does not fit, see `read_warm_start`.
    """
    ppo = trainer.training.ppo
    start = read_warm_start(
        name, trainer.hand, hidden=[ppo.width] * ppo.layers, symmetric=bool(ppo.symmetric), where=where
    )
    put_into(trainer.model, trainer.env, start)


def put_into(model: Any, env: Any, start: WarmStart, *, seen: float = 1e6) -> None:
    """Give the actor of ``model``, a PPO of Stable-Baselines3 on ``env``, a VecNormalize, the weights and the
    normaliser of ``start``. ``seen`` is how many observations the normaliser counts as having seen: the more, the less
    what is seen from now on moves it under the actor. The critic and the noise stay as they are."""
    import torch

    linear = actor_layers(model)
    with torch.no_grad():
        for part, (weight, bias) in zip(linear, start.layers, strict=True):
            part.weight.copy_(torch.as_tensor(weight))
            part.bias.copy_(torch.as_tensor(bias))
    statistics = env.obs_rms
    statistics.mean = start.normaliser.mean.copy()
    statistics.var = np.maximum(start.normaliser.std**2 - env.epsilon, 0.0)
    statistics.count = seen


def actor_layers(model: Any) -> list[Any]:
    """The linear layers of the actor of ``model``, the first one first."""
    from torch import nn

    networks = model.policy.mlp_extractor
    last = networks.mean if hasattr(networks, "mean") else model.policy.action_net
    return [*(part for part in networks.policy_net.modules() if isinstance(part, nn.Linear)), last]


def let_actor_learn(model: Any, learns: bool) -> None:
    """Whether the actor of ``model`` follows the gradient, or the critic alone does."""
    for part in actor_layers(model):
        for weights in part.parameters():
            weights.requires_grad_(learns)
    model.policy.log_std.requires_grad_(learns)


def _constants(path: Path) -> dict[str, Array]:
    """The constants of an ONNX network by name; the card has vouched for the file."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    return {part.name: np.asarray(numpy_helper.to_array(part), dtype=np.float64) for part in graph.initializer}
