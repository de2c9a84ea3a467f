"""From a trained actor to a folder that can be deployed: network, parity with the original, card. Needs ``learn``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core import cards
from knuckle.core.cards import Card
from knuckle.core.errors import RunError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.learned.chunk_graph import ChunkActor, chunk_graph
from knuckle.policy.learned.chunk_player import chunk_facts, open_chunks, run_chunks
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.policy.learned.learned_policy import open_network, run_network
from knuckle.policy.learned.onnx_graph import Normaliser, actor_graph
from knuckle.policy.learned.policy_card import CARD, NETWORK, action_entries, interface, read_card
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.reorient.observation import ReorientObservation

TOLERANCE = 1e-4
"""How far an action of the exported network may be from the original's, of the largest step; both are float32."""


@dataclass(frozen=True)
class Actor:
    """A trained actor: its ``normaliser``, its linear ``layers`` (weight, bias) with ELU between, and the ``original``
    itself, observations (n, width) to actions (n, dof), which the export is compared with. With a ``symmetry`` the
    layers read every turn of the observation and say what the finger in the first place does."""

    normaliser: Normaliser
    layers: Sequence[tuple[Array, Array]]
    original: Callable[[Array], Array]
    symmetry: HandSymmetry | None = None


def export_policy(
    folder: Path,
    hand: HandSpec,
    actor: Actor,
    *,
    name: str,
    observed: Array,
    training: Mapping[str, Any],
    data: str,
    done: DoneConfig | None = None,
    seed: int = 0,
) -> Card:
    """Write the policy of ``actor`` to ``folder`` and return its card, which is written last: it vouches for the rest.

    Parity is checked on the real observations ``observed`` (n, width) and on random ones drawn with ``seed``.
    ``training`` goes into the card as it is. RunError where the export differs, or cannot be written.
    """
    network = actor_graph(actor.normaliser, actor.layers, actor.symmetry)
    parity = _written(folder, network, lambda path: check_parity(path, actor, observed, hand, seed))
    shapes = {"layers": [list(weight.shape) for weight, _ in actor.layers], "activation": "elu"}
    config = {
        "network": shapes | ({"turns": actor.symmetry.order} if actor.symmetry else {}),
        "done": asdict(done or DoneConfig()),
        "parity": parity,
        "training": dict(training),
    }
    return _vouch(folder, hand, name, config, actor.normaliser, data, network)


def export_chunks(
    folder: Path,
    hand: HandSpec,
    actor: ChunkActor,
    *,
    executed: int,
    judged: int = 0,
    foreseen: int = 0,
    name: str,
    observed: Array,
    training: Mapping[str, Any],
    data: str,
    done: DoneConfig | None = None,
    seed: int = 0,
) -> Card:
    """The same of a policy that answers with chunks, of which ``executed`` postures are gone for before the next.

    ``judged`` of them are drawn at once, and simulation says the best by the first ``foreseen`` postures, or by all;
    0: one, not judged.
    """
    chunk = {"length": actor.length, "executed": executed, "euler": actor.euler, "judged": judged}
    chunk |= {"foreseen": foreseen}
    chunk_facts(chunk, str(folder))
    network = chunk_graph(actor)
    parity = _written(folder, network, lambda path: check_chunk_parity(path, actor, observed, hand, seed))
    config = {
        "network": {
            "layers": [list(weight.shape) for weight, _ in actor.layers],
            "activation": "elu",
            "turns": actor.symmetry.order,
        },
        "chunk": chunk,
        "done": asdict(done or DoneConfig()),
        "parity": parity,
        "training": dict(training),
    }
    return _vouch(folder, hand, name, config, actor.normaliser, data, network)


def _written(folder: Path, network: bytes, check: Callable[[Path], dict[str, float]]) -> dict[str, float]:
    """Put ``network`` in its place in ``folder`` once ``check`` has passed; what that said."""
    partial = folder / f".{NETWORK}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(network)
        parity = check(partial)
        partial.replace(folder / NETWORK)
    except OSError as error:
        what = f"the policy cannot be written ({error.strerror})"
        raise RunError(what, where=str(folder), right="room in a folder of yours") from error
    finally:
        partial.unlink(missing_ok=True)
    return parity


def _vouch(
    folder: Path,
    hand: HandSpec,
    name: str,
    config: Mapping[str, Any],
    normaliser: Normaliser,
    data: str,
    network: bytes,
) -> Card:
    """Write the card, the last of the policy's files."""
    card = Card(
        name=name,
        config=interface(hand) | {"normaliser_clip": normaliser.clip} | dict(config),
        observations=ReorientObservation(hand).entries,
        actions=action_entries(hand),
        rate_hz=hand.control_rate_hz,
        data=data,
        licence="Apache-2.0",
        normaliser={"observation": (normaliser.mean.tolist(), normaliser.std.tolist())},
        sha256=hashlib.sha256(network).hexdigest(),
    )
    cards.save(card, folder / CARD)
    return card


def check_parity(path: Path, actor: Actor, observed: Array, hand: HandSpec, seed: int) -> dict[str, float]:
    """The largest difference in an action on ``observed`` and on random observations; RunError above `TOLERANCE`."""
    normaliser = actor.normaliser
    session = open_network(path, len(normaliser.mean), hand.dof)
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((512, len(normaliser.mean)))
    apart = {}
    for kind, observations in (("observed", observed), ("random", normaliser.mean + 2.0 * normaliser.std * drawn)):
        theirs = np.clip(actor.original(observations), -1.0, 1.0)
        apart[f"largest_{kind}"] = float(np.abs(run_network(session, observations) - theirs).max())
    return _told(path, apart)


def check_chunk_parity(path: Path, actor: ChunkActor, observed: Array, hand: HandSpec, seed: int) -> dict[str, float]:
    """The same for chunks, with noise drawn with ``seed``."""
    normaliser, rng = actor.normaliser, np.random.default_rng(seed)
    facts = chunk_facts({"length": actor.length, "executed": 1, "euler": actor.euler}, str(path))
    session = open_chunks(path, len(normaliser.mean), hand.dof, facts)
    random = normaliser.mean + 2.0 * normaliser.std * rng.standard_normal((128, len(normaliser.mean)))
    apart = {}
    for kind, observations in (("observed", observed), ("random", random)):
        noise = rng.standard_normal((len(observations), actor.length, hand.dof))
        ours, theirs = run_chunks(session, observations, noise), actor.chunks(observations, noise)
        apart[f"largest_{kind}"] = float(np.abs(ours - theirs).max())
    return _told(path, apart)


def _told(path: Path, apart: dict[str, float]) -> dict[str, float]:
    """What a card says of parity; RunError where ``apart`` is too far."""
    worst = max(apart.values())
    if not worst <= TOLERANCE:
        what = f"the exported network's actions differ by {worst:.2g}"
        raise RunError(what, where=str(path.parent), right=f"{TOLERANCE:g} at most")
    return {"tolerance": TOLERANCE} | apart


def write_scores(folder: Path, hand: HandSpec, protocol: str, figures: Mapping[str, float]) -> None:
    """Note in the card in ``folder`` what the policy reached by ``protocol``, but for figures that do not exist."""
    card = read_card(folder, hand)
    finite = {key: float(value) for key, value in figures.items() if np.isfinite(value)}
    cards.save(replace(card, scores=card.scores | {protocol: finite}), folder / CARD)
