"""How warm a virtual servo's winding gets, and when its load has lasted too long: two first-order lags.

    dT/dt = (T_room + R u^2 - T) / tau_T      u = torque / stall torque
    dL/dt = (|u| - L) / tau_L                 overload where L > threshold

The constants are no model's measured ones: they give the order of a small geared servo (stalled at full current it
reaches 80 degrees Celsius in about a minute, and its overload protection acts after a few seconds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from knuckle.core.config import setting


@dataclass(frozen=True)
class HeatConfig:
    """Constants of the two lags."""

    room: float = setting(25.0, "temperature of the room", low=-20.0, high=60.0, unit="degC")
    rise: float = setting(90.0, "rise above the room when stalled for ever", low=0.0, high=500.0, unit="K")
    heat_s: float = setting(70.0, "time constant of the temperature", low=0.1, high=3600.0, unit="s")
    load_s: float = setting(2.0, "time constant of the load", low=0.01, high=60.0, unit="s")
    overload: float = setting(0.85, "filtered share of the stall torque that is an overload", low=0.05, high=2.0)


@dataclass
class Heat:
    """The state of one servo: ``temperature`` degrees Celsius, ``load`` as a share of the stall torque."""

    config: HeatConfig = field(default_factory=HeatConfig)
    temperature: float = math.nan
    load: float = 0.0

    def __post_init__(self) -> None:
        if math.isnan(self.temperature):
            self.temperature = self.config.room

    @property
    def overloaded(self) -> bool:
        """Whether the load has been too high for too long."""
        return self.load > self.config.overload

    def advance(self, dt_s: float, share: float) -> None:
        """Let ``dt_s`` pass under ``share`` of the stall torque (0 with torque off)."""
        config = self.config
        goal = config.room + config.rise * share * share
        self.temperature += (goal - self.temperature) * -math.expm1(-dt_s / config.heat_s)
        self.load += (abs(share) - self.load) * -math.expm1(-dt_s / config.load_s)
