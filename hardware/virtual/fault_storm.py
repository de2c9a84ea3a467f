"""Random faults from a seed, one after the other, each over before the next begins: what a soak is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.virtual.faults import KINDS, Fault, ScriptedFault

PASSING = ("silent", "intermittent", "garbage", "slow", "delayed", "frozen", "stuck", "off", "reboot", "unplug")
"""Kinds that leave nothing behind which only time or cooling mends."""


def fault_storm(
    rng: np.random.Generator,
    servos: Sequence[int],
    seconds: float,
    *,
    kinds: Sequence[str] = PASSING,
    lasting_s: tuple[float, float] = (0.05, 1.5),
    calm_s: tuple[float, float] = (1.0, 4.0),
) -> tuple[ScriptedFault, ...]:
    """A script of at most ``seconds``: faults of ``kinds`` at ``servos`` (ids) or at the bus, drawn from ``rng``.

    Each lasts a time within ``lasting_s`` and is followed by a calm within ``calm_s``. Amounts are the kinds' own.
    Raises InputError for an unknown kind, or without servos.
    """
    unknown = next((name for name in kinds if name not in KINDS), None)
    if unknown is not None:
        raise unknown_name("fault", unknown, KINDS)
    if not servos or not kinds:
        raise InputError("a storm without servos or kinds", right="at least one of each")
    script: list[ScriptedFault] = []
    at_s = float(rng.uniform(*calm_s))
    while True:
        name = kinds[int(rng.integers(len(kinds)))]
        kind = KINDS[name]
        everywhere = "servo" not in kind.targets or ("bus" in kind.targets and rng.random() < 0.1)
        servo = None if everywhere else int(servos[int(rng.integers(len(servos)))])
        lasting = None if kind.momentary else round(float(rng.uniform(*lasting_s)), 3)
        end_s = at_s + (lasting or 0.0)
        if end_s > seconds:
            return tuple(script)
        amount = 0.0 if kind.amount is None else kind.amount[0]
        script.append(ScriptedFault(round(at_s, 3), Fault(name, servo, amount, lasting)))
        at_s = end_s + float(rng.uniform(*calm_s))
