"""The learners by name, and one of them made from text settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from knuckle.core.config import describe, parse_text, validate
from knuckle.core.errors import unknown_name
from knuckle.policy.offline.bc import Bc, BcConfig
from knuckle.policy.offline.cql import Cql, CqlConfig
from knuckle.policy.offline.iql import Iql, IqlConfig
from knuckle.policy.offline.learner import Learner
from knuckle.policy.offline.odice import Odice, OdiceConfig
from knuckle.policy.offline.td3_bc import Td3Bc, Td3BcConfig


@dataclass(frozen=True)
class Kind:
    """A learner's class, its settings, and what differs from their defaults under this name."""

    make: Any
    config: Any
    changes: Mapping[str, Any] = field(default_factory=dict)


LEARNERS: dict[str, Kind] = {
    "odice": Kind(Odice, OdiceConfig),
    "odice-semi": Kind(Odice, OdiceConfig, {"gradient": "semi"}),
    "odice-true": Kind(Odice, OdiceConfig, {"gradient": "true"}),
    "odice-imitation": Kind(
        Odice,
        OdiceConfig,
        {"imitation": True, "lam": 0.4, "norm": False, "squash": True, "rate": 1e-4, "weight_decay": 1e-5},
    ),
    "bc": Kind(Bc, BcConfig),
    "bc-10": Kind(Bc, BcConfig, {"best_share": 0.1}),
    "iql": Kind(Iql, IqlConfig),
    "td3-bc": Kind(Td3Bc, Td3BcConfig),
    "cql": Kind(Cql, CqlConfig),
}
"""Learners by name. ``odice-imitation`` has the released settings for one expert trajectory (decay: of Hopper)."""


def settings_of(name: str, changes: Mapping[str, str], *, where: str = "--set") -> Any:
    """The settings of the learner ``name`` with ``changes`` as text; InputError for what is not known or in range."""
    if name not in LEARNERS:
        raise unknown_name("learner", name, LEARNERS, where="--learner")
    kind = LEARNERS[name]
    known = {spec.name: spec for spec in describe(kind.config)}
    values = dict(kind.changes)
    for key, text in changes.items():
        if key not in known:
            raise unknown_name("setting", key, known, where=where)
        values[key] = parse_text(known[key], text, where=f"{where} {key}")
    return validate(replace(kind.config(), **values), where=where)


def make_learner(
    name: str, settings: Any, columns: tuple[int, int], rng: np.random.Generator, dtype: torch.dtype = torch.float32
) -> Learner:
    """The learner ``name`` with ``settings`` (`settings_of`) for so many columns of observations and of actions."""
    learner: Learner = LEARNERS[name].make(settings, columns, rng, dtype)
    return learner
