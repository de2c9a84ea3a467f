"""A network's numbers as the Gaussian controls of each formulation, in the body's frame.

Every mode begins as a constant acceleration of its own (``ANCHORS``), the same for all heads. Numbers of a network are
around 0 and 1, and scaled here to what vehicles do. The bicycle's acceleration and steering are bounded, and its speed
does not fall below zero, so that its mean motion is feasible whatever the network says.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ANCHORS = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (-2.5, 0.0), (0.0, 1.0), (0.0, -1.0))
"""Accelerations of the modes along and across, in m/s^2."""
SPREAD = 3.0
"""Standard deviation that a step's acceleration, velocity or speed begins with, in its own unit."""
HEADING_SPREAD_RAD = 0.3
SLOWEST_MPS = 3.0
"""Below this speed a sideways acceleration asks for no more steering than at it."""
ACCELERATION_MPS2, STEERING_RAD = 7.5, 0.58
"""Bounds within those of knuckle.motion.feasibility, for its positions are rounded and its speeds are of distances."""
LOG_LOW, LOG_HIGH = -5.0, 2.5


@dataclass(frozen=True)
class Controls:
    """Start states (N, K, n) with their variances (N, K, n), control means and variances (N, K, T, 2)."""

    start: Tensor
    start_variance: Tensor
    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Said:
    """What a network says of N bodies: ``mean`` and ``log_spread`` (N, K, T, 2); of the start ``velocity`` (N, 2)
    in m/s, the deviation of its position (N,) in m and of its velocity (N,) in m/s."""

    mean: Tensor
    log_spread: Tensor
    velocity: Tensor
    position_sigma: Tensor
    velocity_sigma: Tensor


def controls_of(name: str, said: Said, dt_s: float, length_m: float) -> Controls:
    """What the formulation ``name`` is given."""
    K, T = said.mean.shape[1:3]
    anchors = said.mean.new_tensor(ANCHORS)[:K, None, :]
    t = dt_s * torch.arange(T, dtype=said.mean.dtype, device=said.mean.device)[:, None]
    spread = said.log_spread.clamp(LOG_LOW, LOG_HIGH).exp()
    v, zero = said.velocity, torch.zeros_like(said.position_sigma)
    place = torch.stack([said.position_sigma, said.position_sigma], -1) ** 2
    moving = torch.stack([said.velocity_sigma, said.velocity_sigma], -1) ** 2
    if name == "acceleration":
        start = torch.stack([zero, zero, v[:, 0], v[:, 1]], -1)
        variance = torch.cat([place, moving], -1)
        return Controls(_modes(start, K), _modes(variance, K), anchors + said.mean, (SPREAD * spread) ** 2)
    origin, place = _modes(torch.stack([zero, zero], -1), K), _modes(place, K)
    velocity = v[:, None, None, :] + anchors * t + said.mean
    if name == "velocity":
        return Controls(origin, place, velocity, (SPREAD * spread) ** 2)
    speed = v[:, 0].clamp(min=0.0)
    if name == "heading":
        slow = speed.clamp(min=SLOWEST_MPS)[:, None, None]
        turned = velocity[..., 1] / slow
        scale = spread.new_tensor([SPREAD, HEADING_SPREAD_RAD])
        return Controls(origin, place, torch.stack([velocity[..., 0], turned], -1), (scale * spread) ** 2)
    return _bicycle(said, anchors, spread, dt_s, length_m)


def _bicycle(said: Said, anchors: Tensor, spread: Tensor, dt: float, length: float) -> Controls:
    v, K = said.velocity, said.mean.shape[1]
    speed = v[:, 0].clamp(min=0.0)
    slow = speed.clamp(min=SLOWEST_MPS)
    wished = anchors + said.mean
    bounded = ACCELERATION_MPS2 * torch.tanh(wished[..., 0] / ACCELERATION_MPS2)
    # Cut at zero, speeds change by no more than they would: the cut is a contraction.
    speeds = torch.cat([_modes(speed, K)[..., None], (speed[:, None, None] + bounded.cumsum(-1) * dt).relu()], -1)
    acceleration = (speeds[..., 1:] - speeds[..., :-1]) / dt
    per_turn = (length / slow**2)[:, None, None]
    steering = STEERING_RAD * torch.tanh(wished[..., 1] * per_turn / STEERING_RAD)
    steering_spread = (SPREAD * per_turn * spread[..., 1]).clamp(max=0.3)
    variance = torch.stack([(SPREAD * spread[..., 0]) ** 2, steering_spread**2], -1)
    zero = torch.zeros_like(speed)
    start = torch.stack([zero, zero, v[:, 1] / slow, speed], -1)
    place, moving = said.position_sigma**2, said.velocity_sigma**2
    start_variance = _modes(torch.stack([place, place, moving / slow**2, moving], -1), K)
    return Controls(_modes(start, K), start_variance, torch.stack([acceleration, steering], -1), variance)


def _modes(values: Tensor, K: int) -> Tensor:
    """(N, ...) as (N, K, ...); by adding, for expansion to a shape is a dozen calls in an exported graph."""
    return values[:, None] + values.new_zeros(K, *values.shape[1:])
