from __future__ import annotations

import numpy as np
import pytest
import torch

from knuckle.core.errors import InputError
from knuckle.motion.array_forecast import forecast_arrays
from knuckle.motion.bicycle import Bicycle

START = np.array([0.0, 0, 0.3, 8])
CONTROL = np.tile([0.2, 0.05], (3, 6, 1))
VARIANCE = np.full((3, 6, 2), 0.01)


def test_arrays_give_what_tensors_give() -> None:
    mean, covariance = forecast_arrays("bicycle", START, CONTROL.tolist(), VARIANCE, 0.1, form="curved")
    tensors = (torch.from_numpy(a) for a in (START, CONTROL, VARIANCE))
    forecast = Bicycle().forecast(*tensors, 0.1, form="curved")
    assert mean.shape == (3, 6, 2) and covariance.shape == (3, 6, 2, 2)
    np.testing.assert_array_equal(mean, forecast.mean.numpy())
    np.testing.assert_array_equal(covariance, forecast.covariance.numpy())


@pytest.mark.parametrize("key", ["start", "control", "variance"])
def test_what_is_not_finite_is_named(key: str) -> None:
    given = {"start": START.copy(), "control": CONTROL.copy(), "variance": VARIANCE.copy()}
    given[key].flat[1] = np.nan
    with pytest.raises(InputError, match=f"bicycle: the {key} holds a value that is not finite"):
        forecast_arrays("bicycle", **given, dt_s=0.1)


def test_values_without_a_meaning_are_refused() -> None:
    with pytest.raises(InputError, match=r"a variance of -0.01"):
        forecast_arrays("bicycle", START, CONTROL, -VARIANCE, 0.1)
    with pytest.raises(InputError, match=r"steering of 1.6 rad"):
        forecast_arrays("bicycle", START, np.tile([0.0, -1.6], (3, 6, 1)), VARIANCE, 0.1)
    with pytest.raises(InputError, match=r"both \(\.\.\., steps, 2\)"):
        forecast_arrays("velocity", START[:2], CONTROL[..., :1], VARIANCE[..., :1], 0.1)
    with pytest.raises(InputError, match="unknown formulation 'bike'"):
        forecast_arrays("bike", START, CONTROL, VARIANCE, 0.1)
