"""An exported actor at work, without torch. Needs extra ``policy``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core import cards
from knuckle.core.errors import InputError
from knuckle.policy.learned.learned_policy import open_network, run_network
from knuckle.policy.learned.policy_card import CARD, NETWORK
from knuckle.policy.offline_data.actor_weights import Floats

KIND = "offline policy"
"""What the card says it is of."""


class ExportedActor:
    """The policy in ``folder``; InputError where it is broken or of another kind."""

    def __init__(self, folder: Path) -> None:
        for name in (CARD, NETWORK):
            if not (folder / name).is_file():
                raise InputError(f"no {name} in it", where=str(folder), right="the folder of an exported policy")
        self.card = card = cards.load(folder / CARD, weights=folder / NETWORK)
        if card.config.get("kind") != KIND:
            raise InputError(f"the card is of '{card.config.get('kind')}'", where=str(folder / CARD), right=KIND)
        self._wide = card.observations[0].shape[0]
        self._session = open_network(folder / NETWORK, self._wide, card.actions[0].shape[0])

    def act(self, observations: NDArray[np.floating], rng: np.random.Generator | None = None) -> Floats:
        """Actions (n, A) for observations (n, O) as the environment gives them; always the likeliest ones."""
        if observations.ndim != 2 or observations.shape[1] != self._wide:
            raise InputError(f"observations {observations.shape}", where="policy", right=f"(n, {self._wide})")
        return np.asarray(run_network(self._session, observations.astype(np.float64)), dtype=np.float32)
