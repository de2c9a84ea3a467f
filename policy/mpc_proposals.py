"""Candidate plans: knot postures around the last plan, with noise of several sizes and a few plain ideas."""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.mpc_config import MpcConfig

# How a finger is lifted, by its number of joints, rad: a D'Claw's knees go out, a LEAP's root opens.
LIFTED = {3: (0.0, 0.3, 0.0), 4: (-0.4, 0.0, 0.0, 0.0)}


def knot_weights(config: MpcConfig) -> Array:
    """Linear interpolation (horizon, knots): row t gives the posture of control step t from the knots."""
    at = np.linspace(0.0, config.knots - 1.0, config.horizon)
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(config.knots)[None, :])))


def shifted(plan: Array, config: MpcConfig) -> Array:
    """The plan (knots, dof) one control step later, its last knot repeated."""
    step = (config.knots - 1.0) / (config.horizon - 1.0)
    at = np.minimum(np.arange(config.knots) + step, config.knots - 1.0)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, config.knots - 1)
    part = (at - low)[:, None]
    return np.asarray((1.0 - part) * plan[low] + part * plan[high])


def proposals(
    plan: Array, q: Array, spec: HandSpec, config: MpcConfig, rng: np.random.Generator, share: float = 1.0
) -> Array:
    """Candidates (samples, knots, dof) in rad within limits. The first is the plan itself, unperturbed.

    Noise sizes climb a geometric ladder, ``share`` of the configured ones; every second candidate moves a random subset
    of fingers only. The last ones are plain ideas: freeze where the hand is, and lift one finger.
    """
    fingers = len(spec.tips)
    each = spec.dof // fingers
    n = config.samples
    sigma = share * np.geomspace(max(config.sigma_low, 1e-6), max(config.sigma_high, 1e-6), n)
    noise = rng.standard_normal((n, config.knots, spec.dof)) * sigma[:, None, None]
    subset = rng.random((n, fingers)) < 0.5
    subset[np.arange(n), rng.integers(fingers, size=n)] = True
    moved = np.repeat(subset, each, axis=1)
    moved[::2] = True
    candidates = plan[None] + noise * moved[:, None, :]
    candidates[0] = plan
    candidates[-1] = q
    for finger in range(min(fingers, n - 2)):
        joints = slice(each * finger, each * (finger + 1))
        candidates[-2 - finger] = plan
        candidates[-2 - finger, :, joints] = spec.home[joints] + np.array(LIFTED[each])
    return np.clip(candidates, spec.lower, spec.upper)


def elite_mean(candidates: Array, costs: Array, config: MpcConfig) -> Array:
    """The softmax-weighted mean (knots, dof) of the cheapest candidates."""
    best = np.argsort(costs)[: config.elite]
    c = costs[best]
    spread = max(float(c[-1] - c[0]), 1e-9)
    weight = np.exp(-(c - c[0]) / (config.temperature * spread))
    return np.asarray(np.einsum("e,ekd->kd", weight / weight.sum(), candidates[best]))
