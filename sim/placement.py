"""Where an object starts: 0.13 m below the base, random over SO(3), within 1 cm; lowered to clear the fingers.

Over a palm that faces up it starts as low as is free, and is drawn again where it did not come to lie in the hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import RunError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import world_to_base
from knuckle.sim.contact_facts import contact_facts
from knuckle.sim.engine import mujoco
from knuckle.sim.scene import Scene

SPAWN_BELOW_BASE = 0.13
SPAWN_SPREAD = 0.01
LOWER_BY = 0.005
TRIES = 200
CLEAR = 1e-3
# Palm up: how far above hand_base a place is looked for, and how far from it an object can lie in the hand.
HIGHEST_ABOVE_BASE = 0.35
HELD_WITHIN = 0.13


def draw_start(scene: Scene, data: mujoco.MjData, rng: np.random.Generator) -> Array:
    """A start state (nstate,): hand at home and at rest, object placed. ``data`` is used as scratch.

    At the nominal height a large object often cuts into the fingers at home; it is then lowered in 5 mm steps, and
    drawn again where no height above the table is free. Palm up it is raised instead.
    """
    still = np.zeros(3)
    q, dq = scene.hand.home, np.zeros(scene.hand.dof)
    for _ in range(TRIES):
        quaternion = rotations.random(rng, 1)[0]
        aside = rng.uniform(-SPAWN_SPREAD, SPAWN_SPREAD, 2)
        for height in _heights(scene.hand):
            place = np.array([*(np.array(scene.hand.mount_position[:2]) + aside), height])
            state = scene.physics_state(q, dq, place, quaternion, still, still)
            scene.write_state(data, state)
            facts = contact_facts(scene, data)
            if facts.deepest <= CLEAR:
                return state
            if facts.table > 0.0 and not scene.hand.palm_up:
                break
    raise RunError(f"no free place for {scene.thing.name} in {TRIES} draws", where="world", right="a smaller object")


def lies_in_hand(hand: HandSpec, position: Array) -> NDArray[np.bool_]:
    """Whether an object with its centre at ``position`` (..., 3) m, world, is where ``hand`` can turn it, (...) bool.

    Palm up that is in the hand; over a table it is so by the placement.
    """
    if not hand.palm_up:
        return np.ones(position.shape[:-1], dtype=bool)
    local = world_to_base(hand, position)
    return np.asarray((local[..., 2] > 0.0) & (np.linalg.norm(local, axis=-1) < HELD_WITHIN))


def _heights(hand: HandSpec) -> Array:
    """The heights of the object's centre to try, m, in order."""
    base = hand.mount_position[2]
    if hand.palm_up:
        return np.arange(base + LOWER_BY, base + HIGHEST_ABOVE_BASE, LOWER_BY)
    return np.arange(base - SPAWN_BELOW_BASE, 0.0, -LOWER_BY)
