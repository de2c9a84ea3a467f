"""Whether a value has had the steps to settle, and whether a policy has anything to clone: what to say where not.

A value learns from a target that follows it by the share tau a step. So it moves a step's reward by about tau for each
step of learning, and what is to be learned is a horizon of 1 / (1 - gamma (1 - p)) rewards, with p the share of steps
after which the task ends: it is two thirds of its way (1 - 1/e) after about horizon / tau steps, whatever the rate and
the scale of rewards. Before
that all values still fall (or rise) together, and the last step of an episode, after which nothing is worth anything,
has the largest residual only because of it: O-DICE then clones last steps and little else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from knuckle.policy.offline.learner import Figures
from knuckle.policy.offline.transitions import Transitions

STARVED_SHARE, ZERO_SHARE = 0.1, 0.5
"""A policy has little to learn from below the first effective share of its weights, or above the second of zeros."""


def steps_to_settle(settings: Any, transitions: Transitions) -> int:
    """About how many steps of learning the value of a learner with ``settings`` needs on ``transitions``; 0 for one
    without a target that follows."""
    tau = float(getattr(settings, "tau", 0.0))
    if tau == 0.0 or getattr(settings, "gradient", "") == "true":
        return 0
    going_on = float(settings.gamma) * (1.0 - float(transitions.terminated.mean()))
    horizon = 1.0 / max(1.0 - going_on, 1e-9)
    return round(horizon / tau * int(getattr(settings, "policy_every", 1)))


def settling_note(settings: Any, transitions: Transitions, steps: int) -> str:
    """One line where ``steps`` of learning are fewer than `steps_to_settle`; else empty."""
    wanted = steps_to_settle(settings, transitions)
    if steps >= wanted:
        return ""
    right = settings.tau * wanted / steps
    larger = f", or tau {right:.2g}" if right <= 0.5 else ""
    return (
        f"the value is two thirds of its way after about {wanted} steps at tau {settings.tau:g} and these are {steps}: "
        f"until then its weights say little; take some times as many{larger}"
    )


def starving_note(figures: Mapping[str, float] | Figures) -> str:
    """One line where the last ``figures`` of a learner that weighs its rows say that hardly any count; else empty."""
    share, zero = figures.get("weight_effective_share", 1.0), figures.get("weight_zero_share", 0.0)
    if share >= STARVED_SHARE and zero <= ZERO_SHARE:
        return ""
    return (
        f"{zero:.0%} of the rows weigh nothing in the policy and the effective share of the weights is {share:.2f}: "
        "a lower lam (beta for iql), weight=exact (odice), smaller rewards or more steps let more of them count"
    )
