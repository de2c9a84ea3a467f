"""Every number of the safety layer, with its range."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting, validate
from knuckle.core.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """What the safety layer allows. The defaults let every output of the action map at its rate pass unaltered.

    ``step_scale`` multiplies the action map's own step (policy speed over control rate): 5% above it is room for
    rounding. ``slew_scale`` multiplies the fastest a target of the action map can move between two commands, a full
    reversal on a joint that itself moves at its limit: 2 * policy speed + velocity limit; 25% above it is room for
    commands that answer joint states of a slower grid. ``gain_scale`` multiplies the fastest that this speed can
    change, from one way to the other in one control cycle. ``silence_s`` is 0.25 s less one driver cycle of 10 ms, so
    that HOLD is reached by 250 ms; the last ``ramp_s`` of it is the deceleration.

    A servo is derated from ``warm_c`` on, evenly down to ``floor`` at ``hot_c``, where it is released: 10 degrees
    below the 80 at which Dynamixel X servos shut down by themselves.
    """

    step_scale: float = setting(
        1.05, "farthest a target may lie from the measured posture, in action steps", low=0.05, high=2.0
    )
    slew_scale: float = setting(
        1.25, "fastest a target may move, in full reversals of the action map", low=0.05, high=2.0
    )
    gain_scale: float = setting(
        1.25, "fastest a target may gain speed, in full reversals of the action map", low=0.05, high=4.0
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
    ramp_s: float = setting(0.06, "deceleration before HOLD after silence", low=0.01, high=0.2, unit="s")
    first_command_s: float = setting(
        2.0, "HOLD when no first command comes within this time of arming", low=0.05, high=30.0, unit="s"
    )
    state_age_s: float = setting(0.1, "a joint state older than this is not used", low=0.005, high=1.0, unit="s")
    bad_cycles: int = setting(2, "driver cycles for which the last good joint state stands in", low=0, high=10)
    outside_rad: float = setting(
        0.5, "a joint measured farther than this beyond its limits is a bad reading", low=0.0, high=3.2, unit="rad"
    )
    warm_c: float = setting(60.0, "servos are derated from here on", low=30.0, high=90.0, unit="degrees Celsius")
    hot_c: float = setting(70.0, "a servo this hot is released", low=31.0, high=95.0, unit="degrees Celsius")
    floor: float = setting(0.4, "share of its torque that a derated servo keeps at least", low=0.05, high=1.0)
    strain: float = setting(0.9, "a servo strains above this share of its torque", low=0.1, high=1.0)
    excess: float = setting(0.25, "a servo disobeys where it pushes this share above what it may", low=0.05, high=1.0)
    strain_s: float = setting(
        1.0, "strain leads to derating, disobedience to release, after", low=0.1, high=30.0, unit="s"
    )
    miss_window_s: float = setting(10.0, "over this time late commands are counted", low=1.0, high=600.0, unit="s")
    miss_share: float = setting(0.01, "more late commands than this share is a problem", low=0.0, high=1.0)


def checked(config: Config) -> Config:
    """``config``; ConfigError where a setting is out of its range, or contradicts another."""
    validate(config, where="safety")
    if config.warm_c >= config.hot_c:
        raise ConfigError(f"{config.warm_c:g} is not below hot_c", where="safety.warm_c", right=f"< {config.hot_c:g}")
    if config.ramp_s >= config.silence_s:
        raise ConfigError(
            f"{config.ramp_s:g} is not below silence_s", where="safety.ramp_s", right=f"< {config.silence_s:g}"
        )
    return config
