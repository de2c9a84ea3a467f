"""Which trials teach, which stop the training, and which are kept for the end: written once, by groups of motion.

A group is left out whole, so that what is judged is a kind of motion that was never trained on. The test part is
looked at once, when all choices are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from knuckle.core.errors import InputError
from knuckle.sensors.hiss.trial import Trial

BROAD_GROUPS: dict[str, str] = {
    "undisturbed_slow_rotation": "slow_rotation",
    "undisturbed_fast_rotation": "fast_rotation",
    "undisturbed_slow_translation": "slow_translation",
    "undisturbed_fast_translation": "fast_translation",
    "undisturbed_slow_combined": "slow_combined",
    "undisturbed_medium_combined": "medium_combined",
    "undisturbed_fast_combined": "fast_combined",
    "disturbed_tapping": "tapping",
    "disturbed_phone_vibration": "vibration",
    "disturbed_stationary_magnet": "stationary_magnet",
    "disturbed_attached_magnet": "attached_magnet",
    "disturbed_office": "office",
    "disturbed_mixed": "mixed",
}
"""The beginning of a BROAD trial's name after its number, to its group."""


@dataclass(frozen=True)
class Split:
    """Groups of the ``validation`` and the ``test`` part; every other group teaches."""

    validation: frozenset[str]
    test: frozenset[str]


VELOCITY = Split(validation=frozenset({"attached_magnet"}), test=frozenset({"stationary_magnet"}))
"""Both left-out groups combine turning and moving; what teaches only turns, only moves, is tapped or shaken."""

_SLOW, _FAST = frozenset({"slow_translation", "magnet_b"}), frozenset({"fast_translation", "magnet_c"})
_ROTATION, _FAST_ROTATION = frozenset({"slow_rotation", "stationary_magnet"}), frozenset({"fast_rotation"})
ORIENTATION: dict[str, Split] = {
    "fixed": Split(validation=_SLOW, test=_FAST),
    "cross0": Split(validation=_FAST, test=_SLOW),
    "cross1": Split(validation=_ROTATION, test=_FAST),
    "cross2": Split(validation=_FAST_ROTATION | {"attached_magnet"}, test=_ROTATION | {"tapping"}),
    "cross3": Split(validation=_SLOW, test=_FAST_ROTATION | {"attached_magnet", "vibration"}),
    "all": Split(validation=_SLOW, test=frozenset()),
}
"""Magnets must be among what teaches: ``MAGNETS`` says which of their trials are which group. Of the four that begin
with cross each trial is in the test part of one; "all" keeps none for the end, and is for a model that is used."""

MAGNETS: dict[str, str] = {"29": "magnet_b", "34": "magnet_b", "31": "magnet_c", "35": "magnet_c"}
"""Trials with magnets, by number, that belong to a group of their own in the orientation task."""

STROKES = Split(validation=frozenset({"validation"}), test=frozenset({"test"}))
"""Sets whose files or names say themselves what part they are."""


@dataclass(frozen=True)
class Parts:
    """The trials of each part, in the order they were given."""

    train: tuple[Trial, ...]
    validation: tuple[Trial, ...]
    test: tuple[Trial, ...]


def divide(trials: Sequence[Trial], split: Split, *, where: str) -> Parts:
    """``trials`` by their groups. InputError where nothing is left to train on or to stop by."""
    parts = Parts(
        train=tuple(t for t in trials if t.group not in split.validation | split.test),
        validation=tuple(t for t in trials if t.group in split.validation),
        test=tuple(t for t in trials if t.group in split.test),
    )
    for name in ("train", "validation"):
        if not getattr(parts, name):
            groups = ", ".join(sorted({t.group for t in trials})) or "no trials"
            right = f"trials of {' or '.join(sorted(split.validation))}, and others to learn from"
            raise InputError(f"no trials for the part {name}: there are {groups}", where=where, right=right)
    return parts


def groups_that_teach(parts: Parts) -> list[str]:
    """Names of the groups that can be left out in turn; InputError where there is but one."""
    groups = sorted({trial.group for trial in parts.train})
    if len(groups) < 2:
        right = "recordings of at least two kinds of motion, or --left_out 0"
        raise InputError(f"one group alone teaches: {groups[0]}", where="--left_out", right=right)
    return groups


def broad_group(stem: str) -> str:
    """The group of a BROAD trial by its file's name without suffix; "other" where the name says nothing."""
    _, _, rest = stem.partition("_")
    return next((group for start, group in BROAD_GROUPS.items() if rest.startswith(start)), "other")
