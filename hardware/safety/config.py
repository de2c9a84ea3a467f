"""Every number of the safety layer, with its range."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class Config:
    """What the safety layer allows. The defaults let every output of the action map at its rate pass unaltered.

    ``step_scale`` multiplies the action map's own step (policy speed over control rate): 5% above it is room for
    rounding. ``slew_scale`` multiplies the fastest a target of the action map can move between two commands, a full
    reversal on a joint that itself moves at its limit: 2 * policy speed + velocity limit; 25% above it is room for
    commands that answer joint states of a slower grid. ``silence_s`` is 0.25 s less one driver cycle of 10 ms, so
    that HOLD is reached by 250 ms.
    """

    step_scale: float = setting(
        1.05, "farthest a target may lie from the measured posture, in action steps", low=0.05, high=2.0
    )
    slew_scale: float = setting(
        1.25, "fastest a target may move, in full reversals of the action map", low=0.05, high=2.0
    )
    max_age_s: float = setting(
        0.25, "a command that answers a joint state older than this is refused", low=0.01, high=1.0, unit="s"
    )
    max_future_s: float = setting(
        0.02, "stamps may lie this far in the future (threads race)", low=0.0, high=0.1, unit="s"
    )
    max_validity_s: float = setting(
        0.2, "a command is valid no longer than this after its stamp", low=0.01, high=1.0, unit="s"
    )
    silence_s: float = setting(
        0.24, "HOLD when no command was accepted for this long, whatever its validity", low=0.01, high=1.0, unit="s"
    )
    first_command_s: float = setting(
        2.0, "HOLD when no first command comes within this time of arming", low=0.05, high=30.0, unit="s"
    )
    state_age_s: float = setting(0.1, "a joint state older than this is not used", low=0.005, high=1.0, unit="s")
    bad_cycles: int = setting(2, "driver cycles for which the last good joint state stands in", low=0, high=10)
    outside_rad: float = setting(
        0.5, "a joint measured farther than this beyond its limits is a bad reading", low=0.0, high=3.2, unit="rad"
    )
