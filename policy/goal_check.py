"""What any goal must satisfy, whoever is to reach it."""

from __future__ import annotations

import math

from knuckle.core import rotations
from knuckle.core.errors import InputError, unknown_name
from knuckle.policy.contract import Goal
from knuckle.sim.objects import OBJECTS


def check_goal(goal: Goal) -> None:
    """InputError for an unknown object, a quaternion that is no rotation, or a bound that is not positive."""
    rotations.require_unit(goal.quaternion, where="goal orientation")
    if goal.object_name not in OBJECTS:
        raise unknown_name("object", goal.object_name, OBJECTS, where="goal object")
    for name, value in (("tolerance", goal.tolerance_rad), ("time limit", goal.time_limit_s)):
        if not (math.isfinite(value) and value > 0.0):
            raise InputError(f"{value} is not positive", where=f"goal {name}", right="above 0")
    if not goal.table_s >= 0.0:
        raise InputError(f"{goal.table_s} s", where="goal table time", right="0 or more, or infinity: it stays")
