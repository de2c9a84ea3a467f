"""Learning from transitions, step by step; all that decides the next step can be taken out and put back.

One generator draws the weights, the batches and the learner's noise, in that order. On one thread a fit that is put
back goes on bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError, RunError
from knuckle.policy.offline.bc import BcConfig, best_episodes
from knuckle.policy.offline.learner import Arrays, Figures, Rows
from knuckle.policy.offline.learners import make_learner
from knuckle.policy.offline.transitions import Transitions

RIGHT = "a lower rate, smaller rewards; the last checkpoint is whole"


class Fit:
    """The learner ``name`` with ``settings`` on ``transitions``, whose actions are -1 to 1. ``steps`` are done."""

    def __init__(
        self, name: str, settings: Any, transitions: Transitions, *, seed: int, dtype: torch.dtype = torch.float32
    ) -> None:
        self.name, self.settings, self.steps = name, settings, 0
        self._rng = np.random.default_rng(seed)
        if isinstance(settings, BcConfig) and settings.best_share < 1.0:
            transitions = best_episodes(transitions, settings.best_share, settings.gamma)
        self.transitions, self.rows = transitions, Rows(transitions, dtype)
        columns = (transitions.observation_width, transitions.action_width)
        self.learner = make_learner(name, settings, columns, self._rng, dtype)
        self.dtype = dtype

    def step(self, *, explain: bool = False) -> Figures:
        """One step of learning on a batch that is drawn; RunError where its figures are not finite."""
        batch = self.rows.draw(self.settings.batch, self._rng)
        figures = self.learner.update(batch, self._rng, explain=explain)
        self.steps += 1
        broken = [name for name, value in figures.items() if not np.isfinite(value)]
        if broken:
            what = f"{', '.join(broken)} not finite at step {self.steps}"
            raise RunError(what, where=f"learning by {self.name}", right=RIGHT)
        return figures

    def run(
        self,
        steps: int,
        *,
        log_every: int = 1000,
        noted: Callable[[int, Figures], object] = lambda step, figures: None,
    ) -> None:
        """Go on until ``steps`` are done in all; every ``log_every`` and at the end the figures are ``noted``."""
        while self.steps < steps:
            explain = (self.steps + 1) % log_every == 0 or self.steps + 1 == steps
            figures = self.step(explain=explain)
            if explain:
                noted(self.steps, figures)

    def act(self, observations: NDArray[Any]) -> NDArray[np.float64]:
        """Actions (N, A), -1 to 1, for ``observations`` (N, O) as they were learned from."""
        actions = self.learner.act(torch.from_numpy(np.ascontiguousarray(observations)).to(self.dtype))
        return np.asarray(actions.numpy(), dtype=np.float64)

    def value(self, observations: NDArray[Any]) -> NDArray[np.float64] | None:
        """What ``observations`` (N, O) are worth (N,), None where the learner does not say."""
        values = self.learner.value(torch.from_numpy(np.ascontiguousarray(observations)).to(self.dtype))
        return None if values is None else np.asarray(values.numpy(), dtype=np.float64)

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays by name and facts for JSON, from which `restore` goes on."""
        arrays, facts = self.learner.capture()
        known = {"learner": self.name, "settings": asdict(self.settings), "steps": self.steps, "facts": facts}
        return arrays, known | {"generator": self._rng.bit_generator.state}

    def restore(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any], *, where: str) -> None:
        """Go on where `capture` was called, with the same transitions. InputError for a state that does not fit."""
        try:
            if facts["learner"] != self.name or facts["settings"] != asdict(self.settings):
                raise ValueError(f"it is of {facts['learner']} with {facts['settings']}")
            self.learner.restore(arrays, facts["facts"])
            self._rng.bit_generator.state = facts["generator"]
            self.steps = int(facts["steps"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            what = f"the checkpoint does not fit ({str(error).splitlines()[0][:300]})"
            raise InputError(what, where=where, right="the settings it was made with, or another --run") from error

    def keep(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all; RunError where it cannot be written or is not finite."""
        arrays, facts = self.capture()
        if broken := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
            what = f"{broken[0]} is not finite at step {self.steps}"
            raise RunError(what, where=f"learning by {self.name}", right=RIGHT)
        write_arrays(path, arrays, facts)

    def go_on(self, path: Path) -> None:
        """Put back the checkpoint at ``path``; InputError where it is broken or does not fit."""
        self.restore(*read_arrays(path), where=str(path))
