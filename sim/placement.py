"""Where an object starts: 0.13 m below the base, random over SO(3), within 1 cm; lowered to clear the fingers."""

from __future__ import annotations

import numpy as np

from knuckle.core import rotations
from knuckle.core.errors import RunError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.contact_facts import contact_facts
from knuckle.sim.engine import mujoco
from knuckle.sim.scene import Scene

SPAWN_BELOW_BASE = 0.13
SPAWN_SPREAD = 0.01
LOWER_BY = 0.005
TRIES = 200
CLEAR = 1e-3


def draw_start(scene: Scene, data: mujoco.MjData, rng: np.random.Generator) -> Array:
    """A start state (nstate,): hand at home and at rest, object placed. ``data`` is used as scratch.

    At the nominal height a large object often cuts into the fingers at home; it is then lowered in 5 mm steps, and
    drawn again where no height above the table is free.
    """
    still = np.zeros(3)
    q, dq = scene.hand.home, np.zeros(scene.hand.dof)
    top = scene.hand.mount_position[2] - SPAWN_BELOW_BASE
    for _ in range(TRIES):
        quaternion = rotations.random(rng, 1)[0]
        aside = rng.uniform(-SPAWN_SPREAD, SPAWN_SPREAD, 2)
        for height in np.arange(top, 0.0, -LOWER_BY):
            place = np.array([*(np.array(scene.hand.mount_position[:2]) + aside), height])
            state = scene.physics_state(q, dq, place, quaternion, still, still)
            scene.write_state(data, state)
            facts = contact_facts(scene, data)
            if facts.deepest <= CLEAR:
                return state
            if facts.table > 0.0:
                break
    raise RunError(f"no free place for {scene.thing.name} in {TRIES} draws", where="world", right="a smaller object")
