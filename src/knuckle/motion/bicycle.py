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
        P = check_motion("Bicycle", 4, start, control, variance, start_covariance, dt_s)
        (a, d), dt_L = control.unbind(-1), dt_s / self.length_m
        s, s_after = accumulate(start[..., 3], a * dt_s)
        th, th_after = accumulate(start[..., 2], s * d.tan() * dt_L)
        x = accumulate(start[..., 0], s * th.cos() * dt_s)[1]
        y = accumulate(start[..., 1], s * th.sin() * dt_s)[1]
        mean, states = torch.stack([x, y], -1), torch.stack([x, y, th_after, s_after], -1)
        if form == "marginal":
            return Forecast(mean, two_by_two(*self._marginal(P, s, th, d, variance, dt_s)), states)
        if form == "full":
            # A step's steering noise is independent of the speed before it: E[s^2], as in the paper's form.
            at = self._turning(P, s, th, d, variance, dt_s, of_first_order=False)
            return Forecast(mean, two_by_two(*self._full(P, at, d, dt_s)), states)
        at = self._turning(P, s, th, d, variance, dt_s, of_first_order=True)
        shift, bend = second_order(at, d, variance, dt_s, self.length_m)
        return Forecast(mean + shift, two_by_two(*self._full(P, at, d, dt_s)) + bend, states)

    def _marginal(
        self, P: Tensor, s: Tensor, th: Tensor, d: Tensor, variance: Tensor, dt: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        (Va, Vd), dt_L = variance.unbind(-1), dt / self.length_m
        tan2, sec4 = d.tan() ** 2, d.cos() ** -4
        Vs, _ = accumulate(P[..., 3, 3], Va * dt**2)
        Vth, _ = accumulate(P[..., 2, 2], dt_L**2 * (Vs * tan2 + (s**2 + Vs) * sec4 * Vd))
        xx, _, yy = velocity_covariance(s, th, Vs, Vth)
        Vx, Vy = accumulate(P[..., 0, 0], xx * dt**2)[1], accumulate(P[..., 1, 1], yy * dt**2)[1]
        return Vx, torch.zeros_like(Vx), Vy

    def _turning(
        self, P: Tensor, s: Tensor, th: Tensor, d: Tensor, variance: Tensor, dt: float, *, of_first_order: bool
    ) -> Turning:
        """The lower right of P' = F P F^T + G Q G^T; one step adds T_s s to th, and G's s^2 is s^2 or E[s^2]."""
        (Va, Vd), dt_L = variance.unbind(-1), dt / self.length_m
        T_s = d.tan() * dt_L
        Vs, _ = accumulate(P[..., 3, 3], Va * dt**2)
        Cths, _ = accumulate(P[..., 2, 3], T_s * Vs)
        s2 = s**2 if of_first_order else s**2 + Vs
        steering = (dt_L / d.cos() ** 2) ** 2 * s2 * Vd
        Vth, _ = accumulate(P[..., 2, 2], 2 * T_s * Cths + T_s**2 * Vs + steering)
        return Turning(s, th, Vs, Cths, Vth)

    def _full(self, P: Tensor, at: Turning, d: Tensor, dt: float) -> tuple[Tensor, Tensor, Tensor]:
        """The rest of P', entry by entry: one step adds X_th th + X_s s to x, Y_th th + Y_s s to y."""
        T_s = d.tan() * (dt / self.length_m)
        X_s, Y_s = at.th.cos() * dt, at.th.sin() * dt
        X_th, Y_th = -at.s * Y_s, at.s * X_s
        # What one step adds to x and y is correlated with s and th before it by these.
        x_s, x_th = X_s * at.Vs + X_th * at.Cths, X_s * at.Cths + X_th * at.Vth
        y_s, y_th = Y_s * at.Vs + Y_th * at.Cths, Y_s * at.Cths + Y_th * at.Vth
        Cxs, _ = accumulate(P[..., 0, 3], x_s)
        Cys, _ = accumulate(P[..., 1, 3], y_s)
        Cxth, _ = accumulate(P[..., 0, 2], T_s * (Cxs + x_s) + x_th)
        Cyth, _ = accumulate(P[..., 1, 2], T_s * (Cys + y_s) + y_th)
        x_with_x, x_with_y = X_s * Cxs + X_th * Cxth, Y_s * Cxs + Y_th * Cxth
        y_with_x, y_with_y = X_s * Cys + X_th * Cyth, Y_s * Cys + Y_th * Cyth
        Vx = accumulate(P[..., 0, 0], 2 * x_with_x + X_s * x_s + X_th * x_th)[1]
        Vy = accumulate(P[..., 1, 1], 2 * y_with_y + Y_s * y_s + Y_th * y_th)[1]
        Cxy = accumulate(P[..., 0, 1], x_with_y + y_with_x + Y_s * x_s + Y_th * x_th)[1]
        return Vx, Cxy, Vy
