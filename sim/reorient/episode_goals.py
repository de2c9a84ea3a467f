"""From which rungs the goals of many worlds are drawn: one rung, or a mixture that a curriculum shifts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.reorient.rungs import RUNGS, draw_goal, find_rung

NAMES = tuple(RUNGS)
GIVEN = "given"
"""The rung of an episode whose goal was given with its start."""


class EpisodeGoals:
    """Each of ``worlds`` worlds draws a rung when its episode begins, and all its goals from that rung.

    ``shares`` maps rungs to how often they are drawn; ``drawn`` (N,) is each world's place in `NAMES`, less than 0
    where its first goal was given. InputError for an unknown rung.
    """

    def __init__(self, worlds: int, rung: str) -> None:
        find_rung(rung, where="batch world")
        self.shares: dict[str, float] = {rung: 1.0}
        self.drawn = np.full(worlds, NAMES.index(rung), dtype=np.int64)

    def share(self, shares: Mapping[str, float]) -> None:
        """Draw rungs by ``shares``, which sum to 1, in episodes begun from now on; InputError where they cannot be."""
        for rung in shares:
            find_rung(rung, where="batch world")
        total = sum(shares.values())
        if not shares or min(shares.values()) < 0.0 or not math.isclose(total, 1.0, abs_tol=1e-9):
            right = "shares of 0 or more that sum to 1"
            raise InputError(f"rungs in shares {dict(shares)}", where="batch world", right=right)
        self.shares = dict(shares)

    def rung_of(self, world: int) -> str:
        """The rung of the episode that ``world`` is in; `GIVEN` where its first goal came with its start."""
        return NAMES[place] if (place := int(self.drawn[world])) >= 0 else GIVEN

    def give(self, worlds: NDArray[np.intp]) -> None:
        """The first goals of ``worlds``, just begun, come with their starts; those after them are of the rung drawn."""
        self.drawn[worlds] = -1 - self.drawn[worlds]

    def begin(self, worlds: NDArray[np.intp], rng: np.random.Generator) -> None:
        """Draw the rungs of the episodes that begin in ``worlds``; nothing is drawn where there is but one."""
        places = np.array([NAMES.index(rung) for rung in self.shares])
        if len(places) == 1:
            self.drawn[worlds] = places[0]
        else:
            self.drawn[worlds] = rng.choice(places, len(worlds), p=list(self.shares.values()))

    def draw(self, worlds: NDArray[np.intp], lies: Array, rng: np.random.Generator) -> Array:
        """Goals (n, 4) for ``worlds``, whose objects lie as ``lies`` (n, 4), w x y z, world frame."""
        goals, drawn = np.empty((len(worlds), 4)), self.drawn[worlds]
        drawn = np.where(drawn < 0, -1 - drawn, drawn)
        for place in np.unique(drawn):
            some = drawn == place
            goals[some] = draw_goal(NAMES[place], lies[some], rng)
        return goals
