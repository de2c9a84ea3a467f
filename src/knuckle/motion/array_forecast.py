"""Forecasts of arrays for nodes and evaluations: values are looked at here, at the door, and gradients are not kept."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from knuckle.core.errors import InputError
from knuckle.motion.forecast import Form
from knuckle.motion.formulations import make_formulation

Array = NDArray[np.float64]


def forecast_arrays(
    name: str, start: ArrayLike, control: ArrayLike, variance: ArrayLike, dt_s: float, *, form: Form = "full"
) -> tuple[Array, Array]:
    """Means (..., T, 2) in m and covariances (..., T, 2, 2) in m^2 by the formulation ``name``, in float64.

    ``start`` (..., n), ``control`` and ``variance`` (..., T, 2), in the formulation's order and units. Raises
    InputError for shapes that do not fit, a value that is not finite, a negative variance, or a bicycle's steering at
    or beyond a right angle.
    """
    formulation = make_formulation(name)
    given = {"start": start, "control": control, "variance": variance}
    arrays = {key: np.asarray(value, dtype=np.float64) for key, value in given.items()}
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"the {key} holds a value that is not finite", where=name, right="finite numbers")
    if (arrays["variance"] < 0).any():
        raise InputError(f"a variance of {arrays['variance'].min():.3g}", where=name, right="0 or above")
    inputs = [torch.from_numpy(array) for array in arrays.values()]
    with torch.inference_mode():
        forecast = formulation.forecast(inputs[0], inputs[1], inputs[2], dt_s, form=form)
    if "steering" in formulation.controls:
        steered = np.abs(arrays["control"][..., formulation.controls.index("steering")]).max()
        if steered >= math.pi / 2:
            raise InputError(f"steering of {steered:.3g} rad", where=name, right="below a right angle to either side")
    return forecast.mean.numpy(), forecast.covariance.numpy()
