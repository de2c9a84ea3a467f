"""Where trained policies lie: those that come with knuckle by name, others by their folder or their run's."""

from __future__ import annotations

import os
from pathlib import Path

from knuckle.policy.learned.policy_card import CARD

TRAINED = Path(__file__).resolve().parent.parent / "trained"
"""A folder for each policy that comes with knuckle."""
IN_RUN = "policy"
"""Where a training run leaves its policy."""


def trained_names() -> tuple[str, ...]:
    """The policies that come with knuckle."""
    return tuple(sorted(card.parent.name for card in TRAINED.glob(f"*/{CARD}")))


def policy_folder(name: str) -> Path | None:
    """The folder that ``name`` means: one of ours by name, a folder, a run's folder; None where it is none of these.

    What looks like a path is taken for one, so that the error is about what is missing there.
    """
    if name in trained_names():
        return TRAINED / name
    path = Path(name)
    if not name or not (path.is_dir() or os.sep in name):
        return None
    return path / IN_RUN if (path / IN_RUN / CARD).is_file() else path
