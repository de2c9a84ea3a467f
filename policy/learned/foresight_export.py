"""From a policy of chunks and a learned foresight to a folder that can be deployed. Needs ``learn``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core import cards
from knuckle.core.cards import Card
from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.learned.chunk_file import read_chunks
from knuckle.policy.learned.chunk_graph import chunk_graph
from knuckle.policy.learned.chunk_player import BY_FORESIGHT, chunk_facts
from knuckle.policy.learned.export import check_chunk_parity
from knuckle.policy.learned.foresight import FORESIGHT, open_foresight
from knuckle.policy.learned.foresight_graph import ForesightWeights, foresight_graph
from knuckle.policy.learned.policy_card import CARD, NETWORK, read_card
from knuckle.policy.learned.regrasp_rule import RegraspConfig

TOLERANCE, WHOLE_TOLERANCE = 1e-3, 1e-2
"""How far a foretold turn, rad, or shift, m, of the file may be from numpy's, both float32; and where whole numbers are
multiplied: what lies in the middle between two of them is one or the other by the last bit."""


@dataclass(frozen=True)
class Use:
    """How a policy chooses among ``drawn`` chunks, drawn in ``euler`` steps (0: as the source does), of which
    ``executed`` postures are gone for.

    Of the foreseen best at most ``simulated`` are simulated to choose among, 0: none, by ``simulated_steps`` postures,
    0: all that are foreseen; one more for each ``simulated_each`` that foretold costs deviate by, 0: always as many.
    With ``whole_numbers`` the layers of the network multiply those. After ``regrasp`` control steps without gain the
    hand opens, 0: never.
    """

    drawn: int
    executed: int
    euler: int = 0
    simulated: int = 0
    simulated_steps: int = 0
    simulated_each: float = 0.0
    whole_numbers: bool = False
    regrasp: int = 0


Rows = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Fingers (n, G, F') and chunks (n, m, G, F) of decisions, as the network reads them."""


def export_foresight(
    folder: Path,
    hand: HandSpec,
    source: Path,
    weights: ForesightWeights,
    *,
    use: Use,
    observed: Rows,
    training: Mapping[str, Any],
    data: str,
    name: str = "foreseen",
) -> Card:
    """Write to ``folder`` the policy of chunks in ``source`` with ``weights`` as its judge, used as ``use`` says.

    Parity is checked on ``observed``. The card is written last: it vouches for the rest. InputError where ``source`` is
    no policy of chunks; RunError where the export differs, or cannot be written.
    """
    card = require_chunks(source, hand)
    drawn_parity = card.config["parity"]
    chunk = asdict(chunk_facts(card.config["chunk"], str(source)))
    chunk |= {"judged": use.drawn, "executed": use.executed, "foreseen": weights.steps, "judge": BY_FORESIGHT}
    chunk |= {"euler": use.euler or chunk["euler"], "simulated": use.simulated}
    chunk |= {"simulated_steps": use.simulated_steps, "simulated_each": use.simulated_each}
    chunk_facts(chunk, str(folder))
    written_weights = weights.in_whole_numbers(*observed) if use.whole_numbers else weights
    network, drawing = foresight_graph(written_weights), (source / NETWORK).read_bytes()
    actor = read_chunks(source / NETWORK, hand, use.euler) if use.euler else None
    if actor is not None:
        drawing = chunk_graph(actor)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _in_place(folder / NETWORK, drawing) as partial:
            if actor is not None:
                drawn_parity = check_chunk_parity(partial, actor, actor.normaliser.mean[None], hand, 0)
        with _in_place(folder / FORESIGHT, network) as partial:
            parity = check_foresight(partial, written_weights, observed)
            parity |= {"rounded_by": rounded_by(written_weights, weights, observed)}
    except OSError as error:
        what = f"the policy cannot be written ({error.strerror})"
        raise RunError(what, where=str(folder), right="room in a folder of yours") from error
    told = {"looked_at": list(weights.looked_at), "steps": weights.steps, "parity": parity, "training": dict(training)}
    told["sha256"] = hashlib.sha256(network).hexdigest()
    written = replace(
        card,
        name=name,
        data=f"{card.data}; {data}",
        config=dict(card.config)
        | {"chunk": chunk, "foresight": told, "parity": drawn_parity}
        | {"regrasp": asdict(RegraspConfig(after=use.regrasp))},
        scores={},
        sha256=hashlib.sha256(drawing).hexdigest(),
    )
    cards.save(written, folder / CARD)
    return written


def check_foresight(path: Path, weights: ForesightWeights, observed: Rows) -> dict[str, float]:
    """The largest difference of the file at ``path`` from ``weights`` on ``observed``; RunError for too large a one."""
    session, worst = open_foresight(path, weights.looked_at, weights.steps), 0.0
    names = [port.name for port in session.get_inputs()]
    for given in zip(*observed, strict=True):
        (moved,) = session.run(None, dict(zip(names, given, strict=True)))
        worst = max(worst, float(np.abs(moved - weights.moved(*given)).max()))
    allowed = TOLERANCE if weights.ranges is None else WHOLE_TOLERANCE
    if not worst <= allowed:
        what = f"the exported foresight differs by {worst:.2g}"
        raise RunError(what, where=str(path.parent), right=f"{allowed:g} at most")
    return {"tolerance": allowed, "largest_observed": worst}


def rounded_by(rounded: ForesightWeights, weights: ForesightWeights, observed: Rows) -> float:
    """How far ``rounded`` are from ``weights`` on ``observed`` in the mean of squares, of what those foretell."""
    ours, theirs = rounded.moved(*observed), weights.moved(*observed)
    return float(np.sqrt(((ours - theirs) ** 2).sum() / (theirs**2).sum()))


@contextmanager
def _in_place(path: Path, data: bytes) -> Iterator[Path]:
    """A file of ``data`` to be looked at, which takes the place of ``path`` where nothing is wrong with it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(data)
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def require_chunks(folder: Path, hand: HandSpec) -> Card:
    """The card of the policy in ``folder``; InputError where it draws no chunks, or cannot be used."""
    card = read_card(folder, hand)
    if "chunk" not in card.config:
        raise InputError("the policy does not draw chunks", where=str(folder), right="a policy of chunks")
    return card
