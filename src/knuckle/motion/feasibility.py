"""What a bicycle would have had to do to move as positions say, and whether it could have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from knuckle.core.config import setting
from knuckle.core.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a road vehicle can do."""

    length_m: float = setting(2.8, "Between the axles", low=0.1, high=20.0, unit="m")
    acceleration_mps2: float = setting(8.0, "Largest acceleration, either sign", low=0.1, high=50.0, unit="m/s^2")
    steering_rad: float = setting(0.6, "Largest steering, either side", low=0.01, high=1.5, unit="rad")
    standing_mps: float = setting(0.5, "Below this speed a heading says nothing", low=0.0, high=5.0, unit="m/s")


def implied_controls(positions: Tensor, dt_s: float, length_m: float) -> tuple[Tensor, Tensor, Tensor]:
    """Speeds (..., T - 1), accelerations and steering (..., T - 2) of the bicycle that goes through (..., T, 2).

    Explicit Euler read backwards: a step from one position to the next is speed and heading before it, and the next
    differs by acceleration and steering. Where it stands, steering is that of a heading without meaning. Raises
    InputError for fewer than three positions.
    """
    if positions.dim() < 2 or positions.shape[-2] < 3 or positions.shape[-1] != 2:
        what = f"positions of shape {tuple(positions.shape)}"
        raise InputError(what, where="implied controls", right="(..., T, 2), T of at least 3")
    x, y = positions.diff(dim=-2).unbind(-1)
    distance, heading = torch.hypot(x, y), torch.atan2(y, x)
    turned = torch.remainder(heading.diff(dim=-1) + math.pi, 2 * math.pi) - math.pi
    speed = distance / dt_s
    return speed, speed.diff(dim=-1) / dt_s, torch.atan2(length_m * turned, distance[..., :-1])


def infeasible(positions: Tensor, dt_s: float, limits: Limits, slack: float = 1e-3) -> Tensor:
    """Whether a track (..., T, 2) asks more of a vehicle than its limits (1 + ``slack``) in any step: (...)."""
    speed, acceleration, steering = implied_controls(positions, dt_s, limits.length_m)
    moves = torch.minimum(speed[..., :-1], speed[..., 1:]) > limits.standing_mps
    too_hard = acceleration.abs() > limits.acceleration_mps2 * (1 + slack)
    too_far = moves & (steering.abs() > limits.steering_rad * (1 + slack))
    return (too_hard | too_far).any(-1)
