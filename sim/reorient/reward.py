"""The reward of Visual Dexterity (table S1), each term by itself; what the released code has otherwise is said here.

| term          | formula                                               | here         | paper  | code      |
|---------------|-------------------------------------------------------|--------------|--------|-----------|
| success       | c1 if the five conditions hold                        | 800          | 800    | 800       |
| rotation      | c2 / (angle + eps)                                    | 1, eps 0.1   | 1, 0.4 | 1, 0.1    |
| tip_distance  | c3 * mean distance of the tips from the object        | -1           | -1, sum of squares | -1, mean |
| energy        | c4 * min(sum of |rate * torque|, clip)                | -20, clip 10 | -20    | -20, 10   |
| fall          | c5 if the object has left                             | -100         | -100   | -100      |
| table_contact | c6 if the object touches the table                    | 0            | -1     | 0 or -1   |
| penultimate   | c7 * tips higher than 0.16 m                          | 0            | -2     | none      |
| progress      | what the angle has shrunk by in this step             | 0            | none   | none      |
| action        | squared norm of the smoothed action                   | 0            | none   | none      |
| offset        | the object's way over the table beyond a free radius  | 0            | none   | none      |

The paper's eps of 0.4 looks like the threshold of success printed one line too far; 0.1 is what was run. The table
contact is the paper's way into the air: 0 here, -1 where the object is to be lifted, as the code's flag has it. The
seventh term is in the paper alone, for a base at 0.25 m; the three after it, the free distance of the tips, the scale
of the whole and what counts as a success are ours, for learning on few processors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.reorient.success import norms

HIGH_TIP = 0.16


@dataclass(frozen=True)
class RewardConfig:
    """The coefficients c1 to c7, and ours.

    With ``success_needs`` object a success is paid, and a new goal given, as soon as the object is at rest at the goal:
    while a learner explores, hand and action never are, nor is what a noisy hand holds: hence ``rest_slack``.
    """

    success: float = setting(800.0, "c1: bonus of a success", low=0.0, high=1e6)
    rotation: float = setting(1.0, "c2: of the inverse angle", low=0.0, high=1e6)
    rotation_eps: float = setting(0.1, "added to the angle before it is inverted", low=1e-3, high=10.0, unit="rad")
    tip_distance: float = setting(-1.0, "c3: of the tips' distance from the object", low=-1e6, high=0.0, unit="1/m")
    tip_distance_form: str = setting(
        "mean", "mean distance (the code) or sum of squares (the paper)", choices=("mean", "sum_of_squares")
    )
    energy: float = setting(-20.0, "c4: of the servos' power", low=-1e6, high=0.0, unit="1/W")
    energy_clip: float = setting(10.0, "power beyond which it costs no more", low=0.0, high=1e6, unit="W")
    fall: float = setting(-100.0, "c5: once, when the object has left", low=-1e6, high=0.0)
    table_contact: float = setting(0.0, "c6: while the object touches the table", low=-1e6, high=0.0)
    penultimate: float = setting(0.0, "c7: of each tip higher than 0.16 m", low=-1e6, high=0.0)
    progress: float = setting(0.0, "of the shrinking of the angle in a step", low=0.0, high=1e6, unit="1/rad")
    action: float = setting(0.0, "of the squared norm of the smoothed action", low=-1e6, high=0.0)
    offset: float = setting(0.0, "of the object's way over the table", low=-1e6, high=0.0, unit="1/m")
    offset_free: float = setting(0.03, "way that costs nothing", low=0.0, high=1.0, unit="m")
    tip_free: float = setting(0.0, "distance of a tip that costs nothing, of form mean", low=0.0, high=1.0, unit="m")
    scale: float = setting(1.0, "times the whole reward", low=1e-6, high=1e6)
    success_needs: str = setting(
        "five", "the five conditions, or the object's alone: angle, speed, spin", choices=("five", "object")
    )
    rest_slack: float = setting(
        1.0, "times the speeds at which an object is at rest, for success_needs object", low=1.0, high=100.0
    )


@dataclass(frozen=True)
class Outcome:
    """What a control step led to, arrays (...): ``angle`` rad left to the goal, ``success``, ``fallen``, ``on_table``.

    ``tips`` (..., G, 3) and the object's ``position`` (..., 3) in m, world; joint rates ``dq`` rad/s and servo
    ``torque`` N m (..., dof); ``before``, the angle left a step earlier; the smoothed ``action`` (..., dof); the
    object's ``offset`` in m over the table from where it began.
    """

    angle: Array
    success: NDArray[np.bool_]
    fallen: NDArray[np.bool_]
    on_table: NDArray[np.bool_]
    tips: Array
    position: Array
    dq: Array
    torque: Array
    before: Array
    action: Array
    offset: Array


def reward_terms(outcome: Outcome, config: RewardConfig) -> dict[str, Array]:
    """Each term (...), weighted and scaled; the reward is their sum."""
    apart = outcome.tips - outcome.position[..., None, :]
    if config.tip_distance_form == "mean":
        distance = np.maximum(norms(apart) - config.tip_free, 0.0).mean(axis=-1)
    else:
        distance = np.einsum("...gi,...gi->...", apart, apart)
    power = np.abs(outcome.dq * outcome.torque).sum(axis=-1)
    terms = {
        "success": config.success * outcome.success,
        "rotation": config.rotation / (outcome.angle + config.rotation_eps),
        "tip_distance": config.tip_distance * distance,
        "energy": config.energy * np.minimum(power, config.energy_clip),
        "fall": config.fall * outcome.fallen,
        "table_contact": config.table_contact * outcome.on_table,
        "penultimate": config.penultimate * (outcome.tips[..., 2] > HIGH_TIP).sum(axis=-1),
        "progress": config.progress * (outcome.before - outcome.angle),
        "action": config.action * np.einsum("...i,...i->...", outcome.action, outcome.action),
        "offset": config.offset * np.maximum(outcome.offset - config.offset_free, 0.0),
    }
    return {name: np.asarray(config.scale * term, dtype=np.float64) for name, term in terms.items()}


def servo_torque(target: Array, q: Array, dq: Array, stiffness: Array, damping: Array, effort: Array) -> Array:
    """The servos' torque (..., dof) in N m by their law, cut to ``effort``: no sensor, which would lag by a step."""
    return np.asarray(np.clip(stiffness * (target - q) - damping * dq, -effort, effort))
