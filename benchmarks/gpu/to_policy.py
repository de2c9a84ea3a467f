"""A deployable policy from what `ppo_mjx.py` leaves: the folder that `knuckle eval reorient --controller` takes.

    .venv/bin/python benchmarks/gpu/to_policy.py actor.safetensors runs/mjx-policy [--name ppo-mjx]

The network is exported to ONNX and held against the arrays' own arithmetic, as `knuckle train` does with its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.array_file import read_arrays
from knuckle.core.errors import InputError, KnuckleError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.export import Actor, export_policy
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.train_config import training_of
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.reorient.observation import ReorientObservation

RIGHT = "an actor.safetensors of ppo_mjx.py"


def actor_of(arrays: dict[str, Any], facts: dict[str, Any], hand: HandSpec, where: str) -> Actor:
    """The actor that the file's ``arrays`` say; InputError where they are no actor for ``hand``."""
    width = ReorientObservation(hand).width
    symmetry = HandSymmetry(hand) if _fact(facts, "symmetric", bool, where) else None
    count = sum(name.endswith(".weight") for name in arrays)
    names = [f"layer.{k}.{part}" for k in range(count) for part in ("weight", "bias")]
    for name in ("normaliser.mean", "normaliser.std", "observed", *names):
        if name not in arrays:
            raise InputError(f"the actor has no {name}", where=where, right=RIGHT)
    if count == 0:
        raise InputError("the actor has no layers", where=where, right=RIGHT)
    layers = [(_double(arrays[f"layer.{k}.weight"]), _double(arrays[f"layer.{k}.bias"])) for k in range(count)]
    before, wanted = width, hand.dof // (symmetry.order if symmetry else 1)
    for k, (weight, bias) in enumerate(layers):
        after = wanted if k == count - 1 else len(bias)
        if weight.shape != (after, before) or bias.shape != (after,):
            what = f"layer {k} is {weight.shape} with a bias {bias.shape}"
            raise InputError(what, where=where, right=f"({after}, {before}) for {hand.name}")
        before = after
    mean, std = _double(arrays["normaliser.mean"]), _double(arrays["normaliser.std"])
    if mean.shape != (width,) or std.shape != (width,) or arrays["observed"].shape[1:] != (width,):
        raise InputError(f"observations of {mean.shape}", where=where, right=f"({width},) for {hand.name}")
    clip = _fact(facts, "clip", float, where)
    if not (std > 0.0).all() or not clip > 0.0:
        raise InputError("the normaliser divides by nothing", where=where, right=RIGHT)
    normaliser = Normaliser(mean, std, clip)
    return Actor(normaliser, layers, lambda seen: acted(seen, normaliser, layers, symmetry), symmetry)


def acted(
    observations: Array, normaliser: Normaliser, layers: list[tuple[Array, Array]], symmetry: HandSymmetry | None
) -> Array:
    """Actions (n, dof), not yet cut, for ``observations`` (n, width): the arithmetic of the actor in training."""
    turns = observations[:, None] if symmetry is None else symmetry.copies(observations)
    at = normaliser(turns).astype(np.float32)
    for k, (weight, bias) in enumerate(layers):
        at = at @ weight.T.astype(np.float32) + bias.astype(np.float32)
        if k < len(layers) - 1:
            at = np.where(at > 0.0, at, np.expm1(np.minimum(at, 0.0)))
    if symmetry is not None:
        at = at[:, np.argsort(symmetry.finger_of())]
    return at.reshape(len(observations), -1).astype(np.float64)


def to_policy(path: Path, folder: Path, name: str) -> None:
    """Export the actor at ``path`` to ``folder``. InputError for a broken file, RunError where the export differs."""
    where = str(path)
    arrays, facts = read_arrays(path, what="the actor", right=RIGHT)
    hand = hand_spec(_fact(facts, "hand", str, where), where=where)
    actor = actor_of(arrays, facts, hand, where)
    training = training_of(_fact(facts, "training", dict, where), where=where)
    told = ("method", "updates", "steps", "rung", "culling", "device", "versions")
    export_policy(
        folder,
        hand,
        actor,
        name=name,
        observed=_double(arrays["observed"]),
        training=training.facts() | {key: facts.get(key) for key in told},
        data=f"{facts.get('steps')} simulated control steps on {', '.join(training.objects)}, on MJX",
        done=training.done,
        seed=training.seed,
    )


def _double(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)


def _fact(facts: dict[str, Any], name: str, kind: type, where: str) -> Any:
    """The fact ``name``, of ``kind``; InputError where it is missing or something else."""
    value = facts.get(name)
    if not isinstance(value, kind):
        raise InputError(f"the actor's file says {name} {value!r}", where=where, right=RIGHT)
    return value


def main() -> int:
    """Export; 2 for bad input, 1 where it failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("actor", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="ppo-mjx")
    given = parser.parse_args()
    try:
        to_policy(given.actor, given.folder, given.name)
    except KnuckleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{given.folder}: knuckle eval reorient --controller {given.folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
