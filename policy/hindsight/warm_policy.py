"""The policy that a run begins as: its actor and normaliser, and its own rule of done, which the new one keeps."""

from __future__ import annotations

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.hindsight.hindsight_config import HindsightConfig
from knuckle.policy.learned.actor_start import WarmStart, read_warm_start
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.policy.learned.policy_card import CARD, done_of, read_card
from knuckle.policy.learned.policy_folder import policy_folder, trained_names


def read_warm_policy(name: str, hand: HandSpec, config: HindsightConfig, *, where: str) -> tuple[WarmStart, DoneConfig]:
    """The policy called ``name``, or in the folder of that name, for ``hand``, and when it says that it is done.

    InputError in one line where there is none, it cannot be read, it is for another hand, is no network for every
    finger, or has not ``width`` units in ``layers`` layers.
    """
    folder = policy_folder(name)
    if folder is None:
        right = f"{' or '.join(trained_names())}, or the folder of a trained policy"
        raise InputError(f"no policy '{name}'", where=where, right=right)
    card = read_card(folder, hand)
    network = card.config.get("network")
    if not isinstance(network, dict) or "turns" not in network:
        what, right = "the policy is one network for the whole hand", "a policy that is one network for every finger"
        raise InputError(what, where=str(folder), right=right)
    start = read_warm_start(name, hand, hidden=[config.width] * config.layers, symmetric=True, where=where)
    return start, done_of(card, str(folder / CARD))
