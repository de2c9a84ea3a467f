"""Whether a learned estimate is one that its model can stand for: finite, and no worse than knowing nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knuckle.sensors.hiss.model_card import SensorCard
from knuckle.sensors.hiss.state_estimate import StateEstimate

FARTHEST = 20.0
"""How many deviations of the training targets an estimate may be from their mean."""
WIDEST = 5.0
"""How many of them its own deviation may be: at 1 the model knows nothing."""


def trouble(estimate: StateEstimate, card: SensorCard) -> str:
    """Why the estimate must not be used, in a few words; empty where nothing speaks against it."""
    if not (np.isfinite(estimate.mean).all() and np.isfinite(estimate.covariance).all()):
        return "the model's estimate is not finite"
    if (np.abs(estimate.mean - card.targets.mean) > FARTHEST * card.targets.scale).any():
        return "the model's estimate is far from all that it was trained on"
    if (np.sqrt(np.diagonal(estimate.covariance)) > WIDEST * card.targets.scale).any():
        return "the model's covariance has grown beyond use"
    return ""


def kept(estimate: StateEstimate, card: SensorCard) -> StateEstimate:
    """The estimate itself where nothing is wrong; else the classical one beside it, or what training's targets are.

    The latter is not valid: it says where the targets lie, not where they are now. ``reason`` says what happened.
    """
    reason = trouble(estimate, card)
    if not reason:
        return estimate
    if estimate.classical is not None:
        mean, covariance = estimate.classical
        return replace(estimate, mean=mean, covariance=covariance, reason=f"{reason}: classical instead")
    covariance = np.diag(np.square(card.targets.scale))
    return replace(estimate, mean=card.targets.mean, covariance=covariance, valid=False, reason=reason)
