"""How large rewards are for a learner, and where the chi-square dual of O-DICE is flat and learns nothing from them.

The Pearson dual f*(d) = d w - (w - 1)^2 with w = max(d/2 + 1, 0) is -1 for every d below -2: its gradient there is 0.
d = r + gamma V(s') - V(s) is about r while values are still about 0, so that a reward below -2 teaches the value
nothing until values have moved by themselves, and a large scale of rewards makes more of them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, unknown_name

FLAT_BELOW = -2.0
RULES = ("none", "return_range", "minus_one", "minus_three")
WARN_SHARE = 0.05
"""The share of flat residuals from which on it is said."""

Floats = NDArray[np.float32]


def scaled_rewards(rewards: Sequence[Floats], rule: str, *, where: str) -> tuple[list[Floats], float]:
    """The rewards (T,) of each episode by ``rule``, and the factor.

    ``none``; ``return_range``: times 1000 / (best return - worst return), as D4RL's MuJoCo tasks are learned;
    ``minus_three``: -3 where the reward is 0 and else as it is, as AntMaze is learned by O-DICE (factor 1);
    ``minus_one``: 1 less, so that a step costs 1 and a goal nothing, as AntMaze is learned by IQL (factor 1).
    InputError for another rule, or for a range of returns that is 0.
    """
    if rule == "none":
        return list(rewards), 1.0
    if rule == "minus_one":
        return [r - np.float32(1.0) for r in rewards], 1.0
    if rule == "minus_three":
        return [np.where(r == 0, np.float32(-3.0), r).astype(np.float32) for r in rewards], 1.0
    if rule != "return_range":
        raise unknown_name("rule for rewards", rule, RULES, where=where)
    returns = np.array([r.sum(dtype=np.float64) for r in rewards])
    span = float(returns.max() - returns.min())
    if not span > 0.0:
        what = f"all {len(returns)} episodes return {returns[0]:g}, which no range can be made of"
        raise InputError(what, where=where, right="rule none, or episodes that differ")
    factor = 1000.0 / span
    return [(r * np.float32(factor)).astype(np.float32) for r in rewards], factor


def flat_share(residuals: NDArray[Any]) -> float:
    """The share of ``residuals`` d (any shape), rewards where values are 0, at which the chi-square dual is flat."""
    return float((np.asarray(residuals) < FLAT_BELOW).mean())


def flat_warning(residuals: NDArray[Any], *, what: str = "scaled rewards") -> str:
    """One line where the chi-square dual is flat at too many of ``residuals``, called ``what``; else empty."""
    share = flat_share(residuals)
    if share < WARN_SHARE:
        return ""
    return (
        f"{share:.0%} of the {what} lie below {FLAT_BELOW:g}, where the chi-square dual of O-DICE is flat: "
        "those steps teach the value nothing at first; scale rewards down, shift them up, or use reverse KL"
    )
