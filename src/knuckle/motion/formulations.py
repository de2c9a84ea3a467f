"""The four formulations by name, and what each of them is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from knuckle.core.errors import unknown_name
from knuckle.motion.acceleration import Acceleration
from knuckle.motion.bicycle import Bicycle
from knuckle.motion.forecast import Forecast, Form
from knuckle.motion.heading import Heading
from knuckle.motion.velocity import Velocity


class Formulation(Protocol):
    """Kinematics under two Gaussian controls a step: names in order, one exact step, and the forecast.

    ``states`` begin with x and y in m, in a frame that does not move with the body.
    """

    @property
    def name(self) -> str:
        """The name it is registered by."""

    @property
    def states(self) -> tuple[str, ...]:
        """What the state holds, in order."""

    @property
    def controls(self) -> tuple[str, ...]:
        """The two controls, in order."""

    def step(self, state: Tensor, control: Tensor, dt_s: float) -> Tensor:
        """One step without noise of its own: state (..., n) and control (..., 2) to the next state."""

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
        """Positions after each step from start (..., n), control means and variances (..., T, 2)."""


FORMULATIONS: dict[str, Callable[[], Formulation]] = {
    "velocity": Velocity,
    "acceleration": Acceleration,
    "heading": Heading,
    "bicycle": Bicycle,
}
"""F1 to F4 of the paper."""


def make_formulation(name: str) -> Formulation:
    """The formulation registered as ``name``; raises InputError with the names that are known."""
    if name not in FORMULATIONS:
        raise unknown_name("formulation", name, FORMULATIONS, where="motion")
    return FORMULATIONS[name]()
