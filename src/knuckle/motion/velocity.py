"""F1 of Deep Stochastic Kinematic Models (Zheng et al. 2024, arXiv 2406.01431): Gaussian velocity components.

x' = x + vx dt, y' = y + vy dt, each step's velocity independent of the others, so that the variance grows with the
number of steps and both forms are the same but for the covariance of the start.
"""

from __future__ import annotations

import torch
from torch import Tensor

from knuckle.motion.forecast import Forecast, Form, accumulate, check_form, check_motion, covariance_or_zero


class Velocity:
    """State (x, y) in m; controls (vx, vy) in m/s."""

    name = "velocity"
    states = ("x", "y")
    controls = ("velocity_x", "velocity_y")

    def step(self, state: Tensor, control: Tensor, dt_s: float) -> Tensor:
        """One step of the motion itself: state (..., 2), control (..., 2) to the next state."""
        return state + control * dt_s

    def forecast(
        self,
        start: Tensor,
        control: Tensor,
        variance: Tensor,
        dt_s: float,
        *,
        form: Form = "full",
        start_covariance: Tensor | None = None,
    ) -> Forecast:
        """Positions after each step from start (..., 2), control means and variances (..., T, 2).

        ``start_covariance`` (..., 2, 2) is zero where None; "marginal" reads its diagonal. Raises InputError for
        shapes that do not fit.
        """
        check_form("Velocity", form)
        V = check_motion("Velocity", 2, start, control, variance, start_covariance, dt_s)
        vx, vy = control.unbind(-1)
        x, y = (accumulate(start[..., i], v * dt_s)[1] for i, v in enumerate((vx, vy)))
        Vx, Vy = (accumulate(V[..., i], variance[..., i] * dt_s**2)[1] for i in range(2))
        Cxy = None
        if start_covariance is not None and form != "marginal":
            Cxy = start_covariance[..., 0, 1, None].expand_as(Vx)
        mean = torch.stack([x, y], -1)
        return Forecast(mean, covariance_or_zero(Vx, Cxy, Vy), mean)
