"""F2 of Deep Stochastic Kinematic Models (Zheng et al. 2024, arXiv 2406.01431): Gaussian acceleration components.

x' = x + vx dt, vx' = vx + ax dt (explicit Euler), the same for y. The paper adds Var(v) dt^2 to Var(x) at each step;
the velocities of two steps share all accelerations before both, so that the true variance grows with the cube of the
number of steps, not its square.
"""

from __future__ import annotations

import torch
from torch import Tensor

from knuckle.motion.forecast import Forecast, Form, accumulate, check_form, check_motion, two_by_two


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
        P = check_motion("Acceleration", 4, start, control, variance, start_covariance, dt_s)
        mean, speed, V = [], [], []
        for i in range(2):
            v, v_after = accumulate(start[..., 2 + i], control[..., i] * dt_s)
            mean.append(accumulate(start[..., i], v * dt_s)[1])
            speed.append(v_after)
            Vv, _ = accumulate(P[..., 2 + i, 2 + i], variance[..., i] * dt_s**2)
            grown = Vv * dt_s**2
            if form != "marginal":
                Cxv, _ = accumulate(P[..., i, 2 + i], Vv * dt_s)
                grown = grown + 2 * Cxv * dt_s
            V.append(accumulate(P[..., i, i], grown)[1])
        Cxy = self._across(P, V[0], dt_s) if form != "marginal" else torch.zeros_like(V[0])
        position = torch.stack(mean, -1)
        return Forecast(position, two_by_two(V[0], Cxy, V[1]), torch.cat([position, torch.stack(speed, -1)], -1))

    def _across(self, P: Tensor, like: Tensor, dt_s: float) -> Tensor:
        """Cov(x, y): the controls add nothing to it, it comes from the start alone."""
        t = torch.arange(1, like.shape[-1] + 1, dtype=like.dtype, device=like.device) * dt_s
        Cxy, Cxvy, Cvxy, Cvv = (P[..., i, j, None] for i, j in ((0, 1), (0, 3), (2, 1), (2, 3)))
        across: Tensor = Cxy + (Cxvy + Cvxy) * t + Cvv * t**2
        return across.expand_as(like)
