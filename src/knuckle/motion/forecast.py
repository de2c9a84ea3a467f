"""What every formulation gives: positions to come with their covariance, and the running sums that they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from knuckle.core.errors import InputError, unknown_name

Form = Literal["marginal", "full", "curved"]
"""How variances are carried.

"marginal" is the paper's: each step adds the variances of its own quantities as if they were independent of the steps
before. "full" carries the covariances between position and the rest of the state too, P' = F P F^T + G Q G^T.
"curved" adds what is of second order in the noise (knuckle.motion.curvature); only the bicycle has such terms that one
step leaves to the next, and for the others it is the full form.
"""


@dataclass(frozen=True)
class Forecast:
    """Gaussian positions after each of T steps, for any leading shape (tracks, modes).

    ``mean`` (..., T, 2) in m, ``covariance`` (..., T, 2, 2) in m^2, and ``states`` (..., T, n), the whole
    state after each step, in the formulation's order and units: the motion without noise, the mean controls carried
    through the kinematics, so that it is feasible where they are. ``mean`` is its first two columns but in the
    curved form, where it is shifted to the expected position.
    """

    mean: Tensor
    covariance: Tensor
    states: Tensor


def accumulate(start: Tensor | None, increments: Tensor) -> tuple[Tensor, Tensor]:
    """A running sum from ``start`` (...), zero where None, over ``increments`` (..., T): before and after each step.

    The transition matrices of all four formulations are unit triangular, so that every mean, and every covariance
    (knuckle.motion.carried_covariance), is such a sum of what was summed before it: no loop over the steps.
    """
    # A small network's forecast costs as much as it makes calls, and an expansion is many in an exported graph: one
    # sum, and two views of it.
    if start is None:
        summed = torch.nn.functional.pad(increments, (1, 0)).cumsum(-1)
        return summed[..., :-1], summed[..., 1:]
    first = start[..., None]
    if first.shape[:-1] != increments.shape[:-1]:
        first, increments = first + torch.zeros_like(increments[..., :1]), increments + torch.zeros_like(first)
    summed = torch.cat([first, increments], -1).cumsum(-1)
    return summed[..., :-1], summed[..., 1:]


def two_by_two(xx: Tensor, xy: Tensor, yy: Tensor) -> Tensor:
    """Symmetric matrices (..., 2, 2) from their three entries (...)."""
    return torch.stack([torch.stack([xx, xy], -1), torch.stack([xy, yy], -1)], -2)


def covariance_or_zero(xx: Tensor, xy: Tensor | None, yy: Tensor) -> Tensor:
    """As two_by_two, with no entry off the diagonal where None."""
    return two_by_two(xx, torch.zeros_like(xx) if xy is None else xy, yy)


def check_motion(
    where: str, states: int, start: Tensor, control: Tensor, variance: Tensor, covariance: Tensor | None, dt_s: float
) -> Tensor:
    """The variances of the start (..., states), zero where ``covariance`` is None.

    Values are not looked at, for this runs in every training step. Raises InputError where a shape does not fit
    ``states`` and two controls, where the leading shapes of start and control cannot be broadcast, or dt_s is not above
    zero.
    """
    if not 0 < dt_s < float("inf"):
        raise InputError(f"a step of {dt_s} s", where=where, right="a step above 0 s")
    if control.dim() < 2 or control.shape[-1] != 2 or control.shape[-2] == 0 or variance.shape != control.shape:
        what = f"controls of shape {tuple(control.shape)}, variances of shape {tuple(variance.shape)}"
        raise InputError(what, where=where, right="both (..., steps, 2)")
    if start.dim() < 1 or start.shape[-1] != states or not _broadcast(start.shape[:-1], control.shape[:-2]):
        what = f"a start of shape {tuple(start.shape)} with controls of shape {tuple(control.shape)}"
        raise InputError(what, where=where, right=f"(..., {states}) and (..., steps, 2)")
    if covariance is None:
        return start.new_zeros(start.shape)
    if covariance.shape[-2:] != (states, states) or not _broadcast(covariance.shape[:-2], control.shape[:-2]):
        what = f"a covariance of the start of shape {tuple(covariance.shape)}"
        raise InputError(what, where=where, right=f"(..., {states}, {states})")
    return covariance.diagonal(dim1=-2, dim2=-1)


def check_form(where: str, form: str) -> None:
    """Raise InputError where ``form`` is none of Form."""
    if form not in get_args(Form):
        raise unknown_name("form", form, get_args(Form), where=where)


def _broadcast(one: torch.Size, other: torch.Size) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(one), reversed(other), strict=False))
