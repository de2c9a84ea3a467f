"""A run that begins with what another has learned: its network, critic, normaliser and steps of Adam. The noise
begins as the settings have it, the worlds anew.

A policy's folder holds the learner beside the network that is deployed, so a policy that comes with knuckle can be
learned on, on other objects, rungs or rewards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError
from knuckle.policy.learned.actor_start import begin_with_policy
from knuckle.policy.learned.adaptive_ppo import statistics_of
from knuckle.policy.learned.policy_card import CARD
from knuckle.policy.learned.policy_folder import policy_folder

if TYPE_CHECKING:
    from knuckle.policy.learned.trainer import Trainer

LEARNER = "learner.safetensors"
_PARTS = ("policy.", "optimiser.", "normaliser.")


def write_learner(trainer: Trainer, folder: Path) -> None:
    """Write what ``trainer`` has learned into the policy's ``folder``; RunError where that is impossible."""
    arrays, facts = trainer.capture()
    kept = {name: value for name, value in arrays.items() if name.startswith(_PARTS)}
    names = ("steps", "cpu_s", "rate", "normaliser_count", "sb3_updates", "curriculum")
    said = {name: facts[name] for name in names} | {"hand": trainer.hand.name}
    write_arrays(folder / LEARNER, kept, said, what="the learner")


def read_learner(name: str, hand: str, *, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and facts of the learner in the policy or run that ``name`` means.

    InputError where there is none, it is broken, or of another hand.
    """
    folder = policy_folder(name)
    if folder is None or not (folder / LEARNER).is_file():
        right = "the name or folder of a policy that knuckle train made"
        raise InputError(f"no {LEARNER} in '{name}'", where=where, right=right)
    arrays, facts = read_arrays(folder / LEARNER, what="the learner", right="another policy")
    if facts.get("hand") != hand:
        raise InputError(f"the learner in '{name}' is of {facts.get('hand')}", where=where, right=hand)
    return arrays, facts


def begin_with(trainer: Trainer, name: str, *, where: str) -> None:
    """Put what the learner in ``name`` has learned into ``trainer``, which has done no update yet.

    A policy without a learner, such as a cloned one, gives its actor and normaliser alone. InputError where it does not
    fit: other widths, layers, or symmetry.
    """
    folder = policy_folder(name)
    if folder is not None and (folder / CARD).is_file() and not (folder / LEARNER).is_file():
        begin_with_policy(trainer, name, where=where)
        return
    arrays, facts = read_learner(name, trainer.hand.name, where=where)
    statistics = statistics_of(trainer.env)
    try:
        if arrays["normaliser.mean"].shape != statistics.mean.shape:
            raise ValueError(f"a normaliser of {arrays['normaliser.mean'].shape}")
        trainer.put_weights(arrays)
    except (KeyError, RuntimeError, ValueError) as error:
        what = f"the learner in '{name}' does not fit ({' '.join(str(error).split())[:120]})"
        raise InputError(what, where=where, right="the same width, layers and symmetric") from error
    statistics.mean, statistics.var = arrays["normaliser.mean"].copy(), arrays["normaliser.var"].copy()
    statistics.count = facts["normaliser_count"]
    trainer.model.rate = float(facts["rate"])
    # The other's noise had sunk to what its task was worth; this one is to be explored anew.
    trainer.model.policy.log_std.data.fill_(trainer.training.ppo.log_std)
