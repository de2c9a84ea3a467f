"""F4 of Deep Stochastic Kinematic Models (Zheng et al. 2024, arXiv 2406.01431): Gaussian acceleration and steering.

The bicycle with one length L, by explicit Euler:

    x' = x + s cos(th) dt    y' = y + s sin(th) dt    th' = th + s tan(d) dt / L    s' = s + a dt

linearised about the mean: tan d ~ tan m + sec^2(m) (d - m), cos and sin as in F3. The marginal form is the paper's: it
gives each step's speed and heading to F3 as if they were independent of those before. Driving straight on, its standard
deviation after n steps is sqrt((2 n - 1) / 3) times too small, 2.5 times after 1 s at 10 Hz and 7.3 times after 8 s,
because a heading that is wrong stays wrong. The full form carries the 4 x 4 covariance of (x, y, th, s), each entry a
running sum of others; the curved form adds second-order terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.motion.carried_covariance import carry, entries
from knuckle.motion.curvature import Turning, second_order
from knuckle.motion.forecast import Forecast, Form, accumulate, check_form, check_motion, two_by_two
from knuckle.motion.heading import velocity_covariance


class Bicycle:
    """State (x, y, heading, speed) in m, rad, m/s; controls (acceleration, steering) in m/s^2, rad.

    ``length_m`` is the paper's one length L, between the axles. Raises InputError where it is not above zero.
    """

    name = "bicycle"
    states = ("x", "y", "heading", "speed")
    controls = ("acceleration", "steering")

    def __init__(self, length_m: float = 2.8) -> None:
        if not 0 < length_m < float("inf"):
            raise InputError(f"a length of {length_m} m", where="Bicycle", right="a length above 0 m")
        self.length_m = length_m

    def step(self, state: Tensor, control: Tensor, dt_s: float) -> Tensor:
        """One step of the motion itself: state (..., 4), control (..., 2) to the next state."""
        x, y, th, s = state.unbind(-1)
        a, d = control.unbind(-1)
        turned = s * d.tan() * (dt_s / self.length_m)
        return torch.stack([x + s * th.cos() * dt_s, y + s * th.sin() * dt_s, th + turned, s + a * dt_s], -1)

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
        shapes that do not fit. Steering at or beyond a right angle means nothing, and is not looked for.
        """
        check_form("Bicycle", form)
        V = check_motion("Bicycle", 4, start, control, variance, start_covariance, dt_s)
        d, dt_L = control[..., 1], dt_s / self.length_m
        s, th, states = self._mean(start, control, dt_s)
        mean = states[..., :2]
        if form == "marginal":
            return Forecast(mean, two_by_two(*self._marginal(V, s, th, d, variance, dt_s)), states)
        # A step's steering noise is independent of the speed before it, so that G has E[s^2], as in the paper's form;
        # the curved form has the part beyond s^2 among its own.
        s2 = s**2 if form == "curved" else s**2 + accumulate(V[..., 3], variance[..., 0] * dt_s**2)[0]
        turn_of_s, turn_of_d = d.tan() * dt_L, dt_L / d.cos() ** 2
        x_of_s, y_of_s = th.cos() * dt_s, th.sin() * dt_s
        F = {(0, 2): -s * y_of_s, (0, 3): x_of_s, (1, 2): s * x_of_s, (1, 3): y_of_s, (2, 3): turn_of_s}
        GQG = {(2, 2): turn_of_d**2 * s2 * variance[..., 1], (3, 3): variance[..., 0] * dt_s**2}
        before, P = carry(4, entries(start_covariance), F, GQG, s)
        covariance = two_by_two(P[0, 0], P[0, 1], P[1, 1])
        if form == "full":
            return Forecast(mean, covariance, states)
        at = Turning(s, th, before[3, 3], before[2, 3], before[2, 2])
        shift, bend = second_order(at, d, variance, dt_s, self.length_m)
        return Forecast(mean + shift, covariance + bend, states)

    def motion(self, start: Tensor, control: Tensor, dt_s: float) -> Tensor:
        """The states (..., T, 4) after each step without noise: the mean of the first-order forms, and nothing else."""
        return self._mean(start, control, dt_s)[2]

    def _mean(self, start: Tensor, control: Tensor, dt: float) -> tuple[Tensor, Tensor, Tensor]:
        """Speed and heading (..., T) before each step, and the states (..., T, 4) after it."""
        a, d = control.unbind(-1)
        s, s_after = accumulate(start[..., 3], a * dt)
        th, th_after = accumulate(start[..., 2], s * d.tan() * (dt / self.length_m))
        x = accumulate(start[..., 0], s * th.cos() * dt)[1]
        y = accumulate(start[..., 1], s * th.sin() * dt)[1]
        return s, th, torch.stack([x, y, th_after, s_after], -1)

    def _marginal(
        self, V: Tensor, s: Tensor, th: Tensor, d: Tensor, variance: Tensor, dt: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        (Va, Vd), dt_L = variance.unbind(-1), dt / self.length_m
        tan2, sec4 = d.tan() ** 2, d.cos() ** -4
        Vs, _ = accumulate(V[..., 3], Va * dt**2)
        Vth, _ = accumulate(V[..., 2], dt_L**2 * (Vs * tan2 + (s**2 + Vs) * sec4 * Vd))
        xx, _, yy = velocity_covariance(s, th, Vs, Vth)
        Vx, Vy = accumulate(V[..., 0], xx * dt**2)[1], accumulate(V[..., 1], yy * dt**2)[1]
        return Vx, torch.zeros_like(Vx), Vy
