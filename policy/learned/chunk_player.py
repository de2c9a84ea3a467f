"""A chunk of postures at work: drawn by a network, gone for one a step, drawn anew when enough of it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from knuckle.core.config import from_mapping, setting
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import SceneState

BY_SIMULATION, BY_FORESIGHT = "simulation", "foresight"
JUDGES = (BY_SIMULATION, BY_FORESIGHT)
"""Who can say which chunk is the best: `ChunkJudge`, `Foresight`."""


@dataclass(frozen=True)
class ChunkFacts:
    """What a card says of its policy's chunks."""

    length: int = setting(12, "postures in a chunk", low=1, high=60)
    executed: int = setting(4, "postures that are gone for before the next chunk is drawn", low=1, high=60)
    euler: int = setting(4, "steps from noise to a chunk, 0: none is drawn, it is the mean", low=0, high=50)
    judged: int = setting(
        0, "chunks drawn at once, of which the judge says the best, 0: one, not judged", low=0, high=512
    )
    foreseen: int = setting(0, "postures of a chunk by which it is judged, 0: all", low=0, high=60)
    judge: str = setting(BY_SIMULATION, "what foretells where a chunk leads", choices=JUDGES)
    simulated: int = setting(0, "of the foreseen best at most so many are simulated, 0: none", low=0, high=64)
    simulated_each: float = setting(
        0.0, "deviation of foretold costs for which one chunk more is simulated, 0: always as many", low=0.0, high=100.0
    )
    simulated_steps: int = setting(
        0, "postures of those that are simulated, 0: as many as are foreseen", low=0, high=60
    )


def chunk_facts(given: Any, where: str) -> ChunkFacts:
    """The facts in a card's ``config.chunk``; InputError or ConfigError where they are none."""
    if not isinstance(given, dict):
        raise InputError("the card does not say what its chunks are", where=where, right="config.chunk")
    facts = from_mapping(ChunkFacts, given, where=f"{where}: chunk")
    if facts.executed > facts.length:
        what = f"{facts.executed} postures of a chunk of {facts.length} are to be executed"
        raise InputError(what, where=f"{where}: chunk", right=f"{facts.length} at most")
    if facts.foreseen > facts.length:
        what = f"{facts.foreseen} postures of a chunk of {facts.length} are to be judged"
        raise InputError(what, where=f"{where}: chunk", right=f"{facts.length} at most")
    if facts.simulated_steps > (facts.foreseen or facts.length):
        what = f"{facts.simulated_steps} postures of a chunk of which fewer are judged are to be simulated"
        raise InputError(what, where=f"{where}: chunk", right=f"{facts.foreseen or facts.length} at most")
    if facts.simulated and facts.judge != BY_FORESIGHT:
        what = f"{facts.simulated} of the foreseen best are to be simulated, and nothing is foreseen but by simulation"
        raise InputError(what, where=f"{where}: chunk", right=f"judge {BY_FORESIGHT}, or simulated 0")
    return facts


Judge = Callable[[SceneState, Array, Array], int]
"""Which of some beginnings of chunks (n, steps, dof), postures in rad, is the best from a state after the smoothed
action."""


class GoalJudge(Protocol):
    """A judge that knows one object, and looks towards one ``goal`` (w x y z, world frame)."""

    object_name: str
    goal: Array

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """As `Judge`."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class ChunkPlayer:
    """Goes for the chunks of ``session``, drawn with ``rng``, through the action map ``chart``.

    With a ``judge``, which a new goal brings, ``facts.judged`` of them are drawn at once, what is left of the last one
    stands beside them, and the best is gone for.
    """

    def __init__(self, session: Any, facts: ChunkFacts, chart: ActionMap, rng: np.random.Generator) -> None:
        self.session, self.facts, self.chart, self.rng = session, facts, chart, rng
        self.judge: Judge | None = None
        self._postures = np.zeros((0, chart.spec.dof))
        self._at = 0

    def reset(self) -> None:
        """Forget the chunk: the next action begins another one."""
        self._postures = self._postures[:0]

    def action(self, observe: Callable[[], Array], state: SceneState, smoothed: Array) -> Array:
        """The action (dof,) in ``state`` after the ``smoothed`` action (dof,).

        ``observe`` gives the observation (width,), and is asked only where a chunk is drawn.
        """
        q = np.asarray(state.q)
        if not len(self._postures) or self._at >= self.facts.executed:
            self._postures = self._next(observe(), state, smoothed)
            self._at = 0
        posture = self._postures[self._at]
        self._at += 1
        return self.chart.towards(q, posture, smoothed)

    def _next(self, observation: Array, state: SceneState, smoothed: Array) -> Array:
        """The postures (length, dof), rad, to go for from now on."""
        n, facts = max(self.facts.judged, 1), self.facts
        noise = self.rng.standard_normal((n, facts.length, self.chart.spec.dof))
        drawn = run_chunks(self.session, np.repeat(observation[None], n, axis=0), noise)
        chunks = np.asarray(state.q) + self.chart.step_rad * drawn
        if self.judge is None or facts.judged == 0:
            return np.asarray(chunks[0])
        if len(self._postures):
            rest = self._postures[np.minimum(np.arange(facts.length) + self._at, facts.length - 1)]
            chunks = np.concatenate([chunks, rest[None]])
        chunks = np.clip(chunks, self.chart.spec.lower, self.chart.spec.upper)
        seen = chunks[:, : facts.foreseen or facts.length]
        return np.asarray(chunks[self.judge(state, seen, smoothed)])


def open_chunks(path: Path, width: int, dof: int, facts: ChunkFacts) -> Any:
    """An onnxruntime session on one thread for the chunks of ``facts``.

    InputError for a file that is no such network; RunError where onnxruntime is not installed.
    """
    from knuckle.policy.learned.learned_policy import open_session

    size = facts.length * dof
    right = f"{width} observations and {size} numbers of noise, chunks of {facts.length} x {dof}, float"
    return open_session(path, [width, size, size], right)


def run_chunks(session: Any, observations: Array, noise: Array) -> Array:
    """Chunks (n, length, dof) of ``session`` for ``observations`` (n, width) and ``noise`` (n, length, dof)."""
    names = [port.name for port in session.get_inputs()]
    given = (observations, noise.reshape(len(noise), -1))
    (chunks,) = session.run(None, dict(zip(names, (np.asarray(part, dtype=np.float32) for part in given), strict=True)))
    return np.asarray(chunks, dtype=np.float64).reshape(noise.shape)
