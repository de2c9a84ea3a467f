"""Which of some drawn chunks is the best, foretold by a network: no simulation, no planner.

The network was taught by simulation what chunks do to objects (`policy/foresight`). Where it acts it needs the object's
shape, as the features of `contact_features.py` do, and its full state; not its model, and not MuJoCo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.contract import SceneState
from knuckle.policy.learned.chunk_cost import chunk_costs
from knuckle.policy.learned.contact_features import PER_FINGER, PER_STEP, ContactFeatures, Scene
from knuckle.sim.objects import object_shape

FORESIGHT = "foresight.onnx"
"""The file beside the policy's network."""


@dataclass(frozen=True)
class ForesightFacts:
    """What a card says of its foresight: the steps that it is told of (first: 0), how many it foretells, and the sha256
    of its file."""

    looked_at: tuple[int, ...]
    steps: int
    sha256: str


def foresight_facts(config: Mapping[str, Any], where: str) -> ForesightFacts:
    """The facts in a card's ``config.foresight``; InputError where they are none."""
    given, right = config.get("foresight"), "config.foresight: looked_at, steps and sha256"
    if not isinstance(given, dict):
        raise InputError("the card does not say what foretells its chunks", where=where, right=right)
    try:
        facts = ForesightFacts(tuple(int(k) for k in given["looked_at"]), int(given["steps"]), str(given["sha256"]))
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"what foretells chunks is not whole ({error})", where=where, right=right) from error
    foreseen = config["chunk"].get("foreseen", 0)
    if not facts.looked_at or min(facts.looked_at) < 0 or max(facts.looked_at) >= facts.steps:
        raise InputError(
            f"a foresight of {facts.steps} steps that looks at {facts.looked_at}", where=where, right=right
        )
    if facts.steps != foreseen:
        what = f"a foresight of {facts.steps} steps for chunks of which {foreseen} are foreseen"
        raise InputError(what, where=where, right=f"chunk.foreseen {facts.steps}")
    return facts


class Foresight:
    """Judges chunks of ``hand`` on the object called ``object_name``, towards ``goal`` (w x y z, world frame), by the
    network that ``session`` runs, which is told of the steps ``looked_at`` and foretells ``steps`` of them."""

    def __init__(self, hand: HandSpec, object_name: str, session: Any, looked_at: tuple[int, ...], steps: int) -> None:
        self.object_name, self.goal = object_name, rotations.IDENTITY
        self.steps = steps
        self._session = session
        self._features = ContactFeatures(hand, object_shape(object_name), looked_at)

    def __call__(self, state: SceneState, chunks: Array, smoothed: Array) -> int:
        """The best of ``chunks`` (n, length, dof), rad, from ``state`` after the ``smoothed`` action (dof,)."""
        return int(np.argmin(self.costs(state, chunks, smoothed)))

    def costs(self, state: SceneState, chunks: Array, smoothed: Array) -> Array:
        """What each of ``chunks`` (n, length, dof) is foretold to cost (n,)."""
        turns, shift = self.foretold(state, chunks, smoothed)
        quaternion = np.asarray(state.quaternion, dtype=np.float64)
        angles = rotations.angle_between(rotations.multiply(rotations.exp(turns), quaternion), self.goal)
        return chunk_costs(angles, np.asarray(state.position) + shift)

    def foretold(self, state: SceneState, chunks: Array, smoothed: Array) -> tuple[Array, Array]:
        """How each chunk will have turned the object by each step (n, steps, 3), a rotation vector, rad, and shifted it
        by the last one (n, 3), m; world frame."""
        fingers, told = self._features(scene_row(state, smoothed), np.asarray(chunks)[None])
        given = (fingers[0], told[0])
        names = [port.name for port in self._session.get_inputs()]
        (moved,) = self._session.run(
            None, {k: np.asarray(v, dtype=np.float32) for k, v in zip(names, given, strict=True)}
        )
        moved = np.asarray(moved, dtype=np.float64)
        return moved[:, :-3].reshape(len(moved), self.steps, 3), moved[:, -3:]

    def close(self) -> None:
        """Nothing is held."""


def scene_row(state: SceneState, smoothed: Array) -> Scene:
    """``state`` after the ``smoothed`` action (dof,) as a batch of one."""
    parts = (state.q, state.dq, state.position, state.quaternion, state.velocity, state.spin, smoothed)
    return Scene(*(np.asarray(part, dtype=np.float64)[None] for part in parts))


def open_foresight(path: Path, looked_at: tuple[int, ...], steps: int) -> Any:
    """An onnxruntime session on one thread for a network told of ``looked_at`` that foretells ``steps``.

    InputError for a file that is no such network; RunError where onnxruntime is not installed.
    """
    from knuckle.policy.learned.learned_policy import open_session

    widths = [PER_FINGER, PER_STEP * len(looked_at), 3 * steps + 3]
    right = f"a network of fingers and chunks at {len(looked_at)} steps to {steps} turns and a shift, float"
    session = open_session(path, widths, right)
    if not session_is_finite(session, widths):
        what = "the network foretells numbers that are not finite"
        raise InputError(what, where=str(path), right="weights of a training that went well")
    return session


def session_is_finite(session: Any, widths: list[int]) -> bool:
    """Whether ``session`` gives numbers for zeros of ``widths``."""
    fingers, chunks = session.get_inputs()
    n = int(fingers.shape[0])
    zeros = {fingers.name: np.zeros((n, widths[0])), chunks.name: np.zeros((1, n, widths[1]))}
    (moved,) = session.run(None, {name: rows.astype(np.float32) for name, rows in zeros.items()})
    return bool(np.isfinite(moved).all())
