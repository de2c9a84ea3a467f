"""The card of a learned policy: what it is for, said when it is made and held against the hand when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from knuckle.core import cards
from knuckle.core.cards import Card, Entry
from knuckle.core.config import from_mapping
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.learned.chunk_player import BY_FORESIGHT, chunk_facts
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.policy.learned.foresight import FORESIGHT, foresight_facts
from knuckle.policy.learned.regrasp_rule import RegraspConfig
from knuckle.sim.reorient.observation import ReorientObservation

CARD, NETWORK = "card.json", "policy.onnx"
KIND = "reorientation policy, state"


def interface(hand: HandSpec) -> dict[str, Any]:
    """All that must be the same where a policy is trained and where it acts, as JSON holds it."""
    chart = ActionMap(hand)
    return {
        "kind": KIND,
        "hand": hand.name,
        "joint_names": list(hand.joint_names),
        "joint_limits_rad": [[float(low), float(high)] for low, high in zip(hand.lower, hand.upper, strict=True)],
        "action_map": {"smoothing": chart.smoothing, "step_rad": chart.step_rad, "relative_to": "current posture"},
        "goal_frame": "world",
        "columns": [list(column) for column in ReorientObservation(hand).columns],
    }


def action_entries(hand: HandSpec) -> tuple[Entry, ...]:
    """The actions in order."""
    return tuple(Entry(name, (), "of the largest step, -1 to 1") for name in hand.joint_names)


def read_card(folder: Path, hand: HandSpec) -> Card:
    """The card in ``folder``, its network's sha256 checked.

    InputError in one line where a file is missing, broken or not the card's, or the policy is for another hand, action
    map, rate or observation.
    """
    for name in (CARD, NETWORK):
        if not (folder / name).is_file():
            raise InputError(f"no {name} in it", where=str(folder), right="the folder of a trained policy")
    card = cards.load(folder / CARD, weights=folder / NETWORK)
    where, config = str(folder / CARD), card.config
    if config.get("kind") != KIND:
        raise InputError(f"the card is of '{config.get('kind')}'", where=where, right=KIND)
    for name, wanted in interface(hand).items():
        if config.get(name) != wanted:
            raise InputError(_differs(name, config.get(name), wanted), where=where, right=_wanted(name, wanted, hand))
    if card.rate_hz != hand.control_rate_hz:
        raise InputError(f"the policy acts at {card.rate_hz:g} Hz", where=where, right=f"{hand.control_rate_hz:g} Hz")
    if card.observations != ReorientObservation(hand).entries or card.actions != action_entries(hand):
        raise InputError("other observations or actions", where=where, right=f"those of {hand.name}")
    done_of(card, where)
    regrasp_of(card, where)
    if "chunk" in config and chunk_facts(config["chunk"], where).judge == BY_FORESIGHT:
        _require_foresight(folder, config)
    return card


def _require_foresight(folder: Path, config: dict[str, Any]) -> None:
    """InputError where the network that is to judge chunks is missing, or not the card's."""
    path = folder / FORESIGHT
    if not path.is_file():
        raise InputError(f"no {FORESIGHT} in it", where=str(folder), right="the folder of a trained policy")
    if cards.file_sha256(path) != foresight_facts(config, str(folder / CARD)).sha256:
        raise InputError("the file is not the card's", where=str(path), right="card and network of one training")


def done_of(card: Card, where: str) -> DoneConfig:
    """The policy's rule of done; ConfigError where it is none."""
    given = card.config.get("done")
    if not isinstance(given, dict):
        raise InputError("the card does not say when the policy is done", where=where, right="config.done")
    return from_mapping(DoneConfig, given, where=f"{where}: done")


def regrasp_of(card: Card, where: str) -> RegraspConfig:
    """When the policy lets go: never where the card does not say it; InputError or ConfigError where it is no rule."""
    given = card.config.get("regrasp", {})
    if not isinstance(given, dict):
        raise InputError("the card's rule of letting go is none", where=where, right="config.regrasp: after and gain")
    return from_mapping(RegraspConfig, given, where=f"{where}: regrasp")


def _differs(name: str, found: Any, wanted: Any) -> str:
    """What of the interface is other than ``wanted``: the first entry where both are lists."""
    label = name.replace("_", " ")
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        k = next(k for k, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b)
        return f"the policy has other {label}: number {k} is {found[k]}"
    if isinstance(found, list) and isinstance(wanted, list):
        return f"the policy has {len(found)} {label}"
    return f"the policy is for {label} {found}"


def _wanted(name: str, wanted: Any, hand: HandSpec) -> str:
    return f"the {len(wanted)} of {hand.name}" if isinstance(wanted, list) else str(wanted)
