"""What a guarded hand says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.hand_spec import Array


@dataclass(frozen=True)
class SafetyStatus:
    """A snapshot. Counters are since start; times are ns of the hand's clock."""

    state: State
    torque: bool
    """False where servos are limp (RELEASED, or STOPPED and released)."""
    holder: str
    """Who holds the lease; empty where nobody does."""
    reason: str
    """Why the state was entered, one line."""
    since_ns: int
    """When it was entered; 0 at start."""
    changes: int
    """How often the state changed: publish when it differs."""
    latched: bool
    """True while a stop is latched in the driver."""
    locked: bool
    """True while a servo was released, silent, rebooted or failed and nobody has acknowledged it."""
    problem: str
    """What is wrong now with joints, device, watchdog, latch file or punctuality, one line; empty where nothing is."""
    effort_limit: Array
    """Torque that each joint may have now, (dof,), N m."""
    sent: int
    clamped: int
    """Commands that were changed before they were sent."""
    refused: int
    expired: int
    """Commands whose validity ended with no newer one."""
    miss_share: float
    """Those of the last 10 s, as a share of the commands due."""
    bad_states: int
    """Joint states that were not used."""
    command_age_s: float
    """Time since the last command was accepted, s; NaN before the first."""
