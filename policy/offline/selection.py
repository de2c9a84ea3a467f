"""Choosing how selective a learner is (O-DICE's lambda, IQL's expectile) from held-out data alone.

The more selective it is, the more of its policy comes from the best steps, until hardly any are left to learn from and
the policy is that of noise. So it is the most selective choice at which weights on held-out steps still have an
effective sample size of a tenth of them. How near the policy's answers are to held-out actions is no measure: whoever
does what was done is nearest, and the least selective choice always wins.
"""

from __future__ import annotations

from collections.abc import Mapping

from knuckle.core.errors import InputError
from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.iql import Iql
from knuckle.policy.offline.learner import Rows, effective_share
from knuckle.policy.offline.odice import Odice
from knuckle.policy.offline.transitions import Transitions

LEAST_SHARE = 0.1


def held_out_share(fit: Fit, held: Transitions) -> float:
    """The effective share of the weights that the policy of ``fit`` would be given on the steps of ``held``.

    InputError for a learner without weights.
    """
    if not isinstance(fit.learner, (Odice, Iql)):
        raise InputError(f"{fit.name} weighs nothing", where="selection", right="O-DICE or IQL")
    return effective_share(fit.learner.policy_weights(Rows(held, fit.dtype).all))


def most_selective(shares: Mapping[str, float]) -> str:
    """The last of the choices, which are in the order of how selective they are, with `LEAST_SHARE` or more; else the
    first."""
    enough = [choice for choice, share in shares.items() if share >= LEAST_SHARE]
    return enough[-1] if enough else next(iter(shares))
