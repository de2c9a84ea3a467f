"""F2 of Deep Stochastic Kinematic Models (Zheng et al. 2024, arXiv 2406.01431): Gaussian acceleration components.

x' = x + vx dt, vx' = vx + ax dt (explicit Euler), the same for y. The paper adds Var(v) dt^2 to Var(x) at each step;
the velocities of two steps share all accelerations before both, so that the true variance grows with the cube of the
number of steps, not its square.
"""

from __future__ import annotations

import torch
from torch import Tensor

from knuckle.motion.carried_covariance import carry, entries
from knuckle.motion.forecast import Forecast, Form, accumulate, check_form, check_motion, covariance_or_zero


class Acceleration:
    """State (x, y, vx, vy) in m and m/s; controls (ax, ay) in m/s^2."""

    name = "acceleration"
    states = ("x", "y", "velocity_x", "velocity_y")
    controls = ("acceleration_x", "acceleration_y")

    def step(self, state: Tensor, control: Tensor, dt_s: float) -> Tensor:
        """One step of the motion itself: state (..., 4), control (..., 2) to the next state."""
        position, velocity = state[..., :2], state[..., 2:]
        return torch.cat([position + velocity * dt_s, velocity + control * dt_s], -1)

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
        """Positions after each step from start (..., 4), control means and variances (..., T, 2).

        ``start_covariance`` (..., 4, 4) is zero where None; "marginal" reads its diagonal. Raises InputError for
        shapes that do not fit.
        """
        check_form("Acceleration", form)
        V = check_motion("Acceleration", 4, start, control, variance, start_covariance, dt_s)
        vx, vx_after = accumulate(start[..., 2], control[..., 0] * dt_s)
        vy, vy_after = accumulate(start[..., 3], control[..., 1] * dt_s)
        x = accumulate(start[..., 0], vx * dt_s)[1]
        y = accumulate(start[..., 1], vy * dt_s)[1]
        Qx, Qy = (variance * dt_s**2).unbind(-1)
        if form == "marginal":
            Vx, Vy = (
                accumulate(V[..., i], accumulate(V[..., 2 + i], Q)[0] * dt_s**2)[1] for i, Q in enumerate((Qx, Qy))
            )
            covariance = covariance_or_zero(Vx, None, Vy)
        else:
            dt = torch.full_like(vx, dt_s)
            _, P = carry(4, entries(start_covariance), {(0, 2): dt, (1, 3): dt}, {(2, 2): Qx, (3, 3): Qy}, vx)
            covariance = covariance_or_zero(P[0, 0], P.get((0, 1)), P[1, 1])
        position = torch.stack([x, y], -1)
        return Forecast(position, covariance, torch.cat([position, torch.stack([vx_after, vy_after], -1)], -1))
