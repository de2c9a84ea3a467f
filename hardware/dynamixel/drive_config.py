"""Every number of the servo loop, with its range."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class DriveConfig:
    """How the servo loop runs and when it gives up."""

    rate_hz: float = setting(100.0, "cycles of the servo loop", low=20.0, high=1000.0, unit="Hz")
    answer_s: float = setting(
        0.006, "wait this long for a servo to begin its answer, retries apart", low=0.001, high=1.0, unit="s"
    )
    watchdog_ms: int = setting(
        200, "servos stop by themselves when the bus is silent for this long", low=20, high=2540, unit="ms"
    )
    lost_cycles: int = setting(3, "cycles in a row without an answer until a servo counts as silent", low=1, high=20)
    warn_misses: int = setting(5, "missed packets within a second that are worth a warning", low=1, high=1000)
    ramp_s: float = setting(0.5, "torque rises over this time when it goes on", low=0.0, high=5.0, unit="s")
    release_s: float = setting(0.3, "torque falls over this time before it goes off", low=0.0, high=5.0, unit="s")
    ramp_floor: float = setting(0.1, "share of the torque at the low end of both ramps", low=0.0, high=1.0)
    probe_cycles: int = setting(25, "cycles between two looks whether a lost servo is back", low=1, high=10_000)
    outside_rad: float = setting(
        0.3, "a joint that reads farther beyond its limits than this is not homed", low=0.0, high=3.2, unit="rad"
    )
