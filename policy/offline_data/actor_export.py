"""An actor for any task as ONNX with its card: the normaliser inside, and held against the original before it is left.

policy.onnx     observations (n, O) as the environment gives them to actions (n, A) as it takes them, float32
card.json       the task, shapes, normaliser, data and licence, parity, sha256; written last: it vouches for the rest
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from knuckle.core import cards
from knuckle.core.cards import Card, Entry
from knuckle.core.errors import RunError
from knuckle.policy.learned.learned_policy import open_network, run_network
from knuckle.policy.learned.onnx_graph import INPUT, IR_VERSION, OPSET, OUTPUT
from knuckle.policy.learned.policy_card import CARD, NETWORK
from knuckle.policy.offline_data.actor_weights import ActorWeights
from knuckle.policy.offline_data.exported_actor import KIND
from knuckle.policy.offline_data.torch_actor import TorchActor

TOLERANCE = 1e-4
"""How far an exported action may be from the original's, of half the action range; both are float32."""
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "elu": "Elu"}


def export_actor(
    folder: Path,
    actor: ActorWeights,
    *,
    name: str,
    task: str,
    observed: NDArray[Any],
    rate_hz: float,
    data: str,
    licence: str,
    training: Mapping[str, Any],
    seed: int = 0,
) -> Card:
    """Write the deterministic policy of ``actor`` to ``folder`` and return its card.

    Parity is checked on the observations ``observed`` (n, O), as the environment gives them, and on random ones drawn
    with ``seed``. ``training`` goes into the card as it is, ``data`` and ``licence`` say what it learned from. RunError
    where the export differs or cannot be written.
    """
    sha256, parity = write_network(folder, actor, observed, seed=seed)
    card = Card(
        name=name,
        config={
            "kind": KIND,
            "task": task,
            "network": network_facts(actor),
            "action_low": actor.low.tolist(),
            "action_high": actor.high.tolist(),
            "parity": parity,
            "training": dict(training),
        },
        observations=(Entry("observation", (actor.observations,), "as the environment gives it"),),
        actions=(Entry("action", (actor.actions,), "as the environment takes it"),),
        rate_hz=rate_hz,
        data=data,
        licence=licence,
        normaliser=normaliser_facts(actor),
        sha256=sha256,
    )
    cards.save(card, folder / CARD)
    return card


def write_network(
    folder: Path, actor: ActorWeights, observed: NDArray[Any], *, seed: int
) -> tuple[str, dict[str, float]]:
    """Write the deterministic policy of ``actor`` to ``folder``; its sha256, and how far its actions are from those of
    the original on ``observed`` (n, O) and on observations drawn with ``seed``.

    RunError where that is too far or nothing can be written.
    """
    network = _graph(actor)
    partial = folder / f".{NETWORK}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(network)
        parity = _parity(partial, actor, observed, seed)
        partial.replace(folder / NETWORK)
    except OSError as error:
        what = f"the policy cannot be written ({error.strerror})"
        raise RunError(what, where=str(folder), right="room in a folder of yours") from error
    finally:
        partial.unlink(missing_ok=True)
    return hashlib.sha256(network).hexdigest(), parity


def network_facts(actor: ActorWeights) -> dict[str, Any]:
    """What a card says of the layers of ``actor``."""
    return {"layers": [list(weight.shape) for weight, _ in actor.layers], "activation": actor.activation}


def _parity(path: Path, actor: ActorWeights, observed: NDArray[Any], seed: int) -> dict[str, float]:
    session, original = open_network(path, actor.observations, actor.actions), TorchActor(actor)
    rng = np.random.default_rng(seed)
    mean = np.zeros(actor.observations) if actor.observation_mean is None else actor.observation_mean
    std = np.ones(actor.observations) if actor.observation_std is None else actor.observation_std
    drawn = mean + 2.0 * std * rng.standard_normal((512, actor.observations))
    half, apart = 0.5 * (actor.high - actor.low), {}
    for kind, seen in (("observed", observed), ("random", drawn)):
        apart[f"largest_{kind}"] = float((np.abs(run_network(session, seen) - original.act(seen)) / half).max())
    worst = max(apart.values())
    if not worst <= TOLERANCE:
        what = f"the exported network's actions differ by {worst:.2g}"
        raise RunError(what, where=str(path.parent), right=f"{TOLERANCE:g} at most")
    return {"tolerance": TOLERANCE} | apart


def normaliser_facts(actor: ActorWeights) -> dict[str, tuple[list[float], list[float]]]:
    """What a card says of the normaliser of ``actor``; nothing where it has none."""
    if actor.observation_mean is None or actor.observation_std is None:
        return {}
    return {"observation": (actor.observation_mean.tolist(), actor.observation_std.tolist())}


def _graph(actor: ActorWeights) -> bytes:
    """The ONNX file: normaliser, layers with their activation between, squash or bounds."""
    nodes, constants = [], {"low": actor.low, "high": actor.high}

    def add(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    at = INPUT
    if actor.observation_mean is not None and actor.observation_std is not None:
        constants |= {"mean": actor.observation_mean, "std": actor.observation_std}
        at = add("Div", [add("Sub", [at, "mean"], "centred"), "std"], "normalised")
    if np.isfinite(actor.observation_clip):
        constants |= {"far_low": np.array(-actor.observation_clip), "far_high": np.array(actor.observation_clip)}
        at = add("Clip", [at, "far_low", "far_high"], "kept_near")
    for k, (weight, bias) in enumerate(actor.layers):
        constants |= {f"weight_{k}": weight, f"bias_{k}": bias}
        at = add("Gemm", [at, f"weight_{k}", f"bias_{k}"], f"linear_{k}", transB=1)
        if k < len(actor.layers) - 1:
            at = add(_ACTIVATIONS[actor.activation], [at], f"hidden_{k}")
    if np.isfinite(actor.mean_clip):
        constants |= {"clip_low": np.array(-actor.mean_clip), "clip_high": np.array(actor.mean_clip)}
        at = add("Clip", [at, "clip_low", "clip_high"], "clipped")
    if actor.squash:
        constants |= {"half": 0.5 * (actor.high - actor.low), "one": np.array(1.0)}
        at = add("Add", [add("Tanh", [at], "squashed"), "one"], "from_zero")
        at = add("Add", [add("Mul", [at, "half"], "of_range"), "low"], "in_range")
    # Clip takes one bound for all; these are one per action.
    add("Min", [add("Max", [at, "low"], "not_below"), "high"], OUTPUT)
    graph = helper.make_graph(
        nodes,
        "actor",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", actor.observations])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", actor.actions])],
        [numpy_helper.from_array(np.asarray(value, dtype=np.float32), label) for label, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="knuckle")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
