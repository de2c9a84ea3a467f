"""F3 of Deep Stochastic Kinematic Models (Zheng et al. 2024, arXiv 2406.01431): Gaussian speed and heading.

x' = x + s cos(th) dt, y' = y + s sin(th) dt, with cos(th) ~ cos(m) - sin(m) (th - m) about the mean heading m. Each
step's speed and heading are independent of the others'. The paper keeps Var(x) and Var(y); the covariance of the two,
without which every ellipse lies along the axes of the map, is added in the full form.
"""

from __future__ import annotations

import torch
from torch import Tensor

from knuckle.motion.forecast import Forecast, Form, accumulate, check_form, check_motion, covariance_or_zero


class Heading:
    """State (x, y) in m; controls (speed, heading) in m/s and rad, heading from x to y."""

    name = "heading"
    states = ("x", "y")
    controls = ("speed", "heading")

    def step(self, state: Tensor, control: Tensor, dt_s: float) -> Tensor:
        """One step of the motion itself: state (..., 2), control (..., 2) to the next state."""
        s, th = control.unbind(-1)
        return state + torch.stack([s * th.cos(), s * th.sin()], -1) * dt_s

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
        check_form("Heading", form)
        V = check_motion("Heading", 2, start, control, variance, start_covariance, dt_s)
        (s, th), (Vs, Vth) = control.unbind(-1), variance.unbind(-1)
        x = accumulate(start[..., 0], s * th.cos() * dt_s)[1]
        y = accumulate(start[..., 1], s * th.sin() * dt_s)[1]
        xx, xy, yy = (dt_s**2 * v for v in velocity_covariance(s, th, Vs, Vth))
        Vx, Vy = accumulate(V[..., 0], xx)[1], accumulate(V[..., 1], yy)[1]
        Cxy = None
        if form != "marginal":
            Cxy = accumulate(None if start_covariance is None else start_covariance[..., 0, 1], xy)[1]
        mean = torch.stack([x, y], -1)
        return Forecast(mean, covariance_or_zero(Vx, Cxy, Vy), mean)


def velocity_covariance(s: Tensor, th: Tensor, Vs: Tensor, Vth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Var(s cos th), Cov(s cos th, s sin th), Var(s sin th) to first order in each of two independent Gaussians.

    (s + e)(cos m - sin m f) has three parts that are not correlated: e cos m, -s sin m f and -e f sin m.
    """
    c, n = th.cos(), th.sin()
    sideways = (s**2 + Vs) * Vth
    return Vs * c**2 + sideways * n**2, (Vs - sideways) * c * n, Vs * n**2 + sideways * c**2
