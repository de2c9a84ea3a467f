"""What touches the object, and how hard: the facts that scoring and rewards ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.scene import OBJECT_BODY, TABLE_GEOM, Scene


@dataclass(frozen=True)
class ContactFacts:
    """Normal forces on the object, N: by the ``table``, by each finger's last link (``tips``), by the whole ``hand``.

    ``deepest`` is the deepest penetration of the object by anything, m, 0 where there is none.
    """

    table: float
    tips: Array
    hand: float
    deepest: float


def contact_facts(scene: Scene, data: mujoco.MjData) -> ContactFacts:
    """The facts of the last computed contacts (a step computes them at its beginning)."""
    model = scene.model
    thing, table = model.body(OBJECT_BODY).id, model.geom(TABLE_GEOM).id
    tip_body = {model.body(tip.link).id: k for k, tip in enumerate(scene.hand.tips)}
    on_table, on_hand, deepest = 0.0, 0.0, 0.0
    tips = np.zeros(len(scene.hand.tips))
    wrench = np.zeros(6)
    for k, contact in enumerate(data.contact):
        bodies = [int(model.geom_bodyid[g]) for g in contact.geom]
        if thing not in bodies:
            continue
        mujoco.mj_contactForce(model, data, k, wrench)
        force = abs(float(wrench[0]))
        deepest = max(deepest, -float(contact.dist))
        other = bodies[0] if bodies[1] == thing else bodies[1]
        if table in contact.geom:
            on_table += force
            continue
        on_hand += force
        if other in tip_body:
            tips[tip_body[other]] += force
    return ContactFacts(on_table, tips, on_hand, deepest)
