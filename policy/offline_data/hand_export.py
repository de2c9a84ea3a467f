"""An actor that learned from a controller's collected episodes as the policy of a hand: the folder that the protocol
judges and that a node runs. See `actor_export` for policies of other tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core import cards
from knuckle.core.cards import Card
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import HANDS, hand_spec
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.policy.learned.policy_card import CARD, action_entries, interface
from knuckle.policy.offline_data.actor_export import network_facts, normaliser_facts, write_network
from knuckle.policy.offline_data.actor_weights import ActorWeights
from knuckle.sim.reorient.observation import ReorientObservation

PREFIX = "knuckle/"
"""Collected episodes name their hand behind this, where others name a gymnasium environment."""


def hand_of(environment: str) -> HandSpec | None:
    """The hand whose episodes data of that ``environment`` are; None where they are of none."""
    name = environment.removeprefix(PREFIX)
    return hand_spec(name) if environment.startswith(PREFIX) and name in HANDS else None


def export_hand_policy(
    folder: Path,
    hand: HandSpec,
    actor: ActorWeights,
    *,
    name: str,
    observed: NDArray[Any],
    data: str,
    licence: str,
    training: Mapping[str, Any],
    seed: int = 0,
) -> Card:
    """Write the policy of ``actor`` for ``hand`` to ``folder`` and return its card, which is written last.

    Parity is checked on ``observed`` (n, O). InputError for an actor of other widths than the hand's; RunError where
    the export differs or cannot be written.
    """
    builder = ReorientObservation(hand)
    widths, wanted = (actor.observations, actor.actions), (builder.width, hand.dof)
    if widths != wanted or not (np.allclose(actor.low, -1.0) and np.allclose(actor.high, 1.0)):
        what = f"an actor of {widths[0]} observations and {widths[1]} actions"
        raise InputError(what, where=hand.name, right=f"{wanted[0]} and {wanted[1]}, actions -1 to 1")
    sha256, parity = write_network(folder, actor, observed, seed=seed)
    config = interface(hand) | {
        "network": network_facts(actor),
        "done": asdict(DoneConfig()),
        "parity": parity,
        "training": dict(training),
    }
    card = Card(
        name=name,
        config=config,
        observations=builder.entries,
        actions=action_entries(hand),
        rate_hz=hand.control_rate_hz,
        data=data,
        licence=licence,
        normaliser=normaliser_facts(actor),
        sha256=sha256,
    )
    cards.save(card, folder / CARD)
    return card
