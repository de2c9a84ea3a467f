"""How the closed-form forecaster sees the things that move: how far it looks, and how they may move."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class ForecasterConfig:
    """The defaults suit hands and small things within an arm's reach, seen 10 to 30 times a second."""

    horizon_s: float = setting(1.0, "How far it looks ahead", low=0.02, high=30.0, unit="s")
    step_s: float = setting(0.1, "Between two times of a forecast", low=0.01, high=2.0, unit="s")
    noise_m: float = setting(0.005, "Error of a position as it is given", low=1e-5, high=10.0, unit="m")
    wander_mps: float = setting(
        0.4, "Standard deviation of what a velocity changes by in a second", low=1e-4, high=100.0, unit="m/s"
    )
    speed_mps: float = setting(
        0.5, "Speed along each axis before anything is known of it", low=1e-3, high=100.0, unit="m/s"
    )
    turn_radps: float = setting(1.0, "Turning rate of the two modes that turn", low=1e-3, high=10.0, unit="rad/s")
    stopping_s: float = setting(0.4, "Time in which the mode that stops loses 63% of its speed", low=0.02, high=30.0)
    straight_share: float = setting(0.55, "Probability of going straight on, of no evidence", low=0.01, high=0.97)
    stop_share: float = setting(0.25, "Probability of stopping, of no evidence", low=0.01, high=0.97)
    memory_s: float = setting(0.5, "Evidence for a mode is forgotten with this time", low=0.02, high=30.0, unit="s")


WORKSPACE = ForecasterConfig()
"""Hands and small things within an arm's reach."""

TRAFFIC = ForecasterConfig(
    horizon_s=3.0,
    noise_m=0.15,
    wander_mps=1.0,
    speed_mps=10.0,
    turn_radps=0.3,
    stopping_s=3.0,
    straight_share=0.6,
    stop_share=0.2,
    memory_s=1.0,
)
"""Vehicles seen from a vehicle."""
