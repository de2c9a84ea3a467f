"""What each hand's servos are set to: model, mode, gains, current, baud rate.

D'Claw: position mode with the gains of Visual Dexterity (P 200, D 10); its paper does not name the servo, ROBEL's
D'Claw has the XM430-W210. LEAP: current-based position mode, P 600 and D 200, three quarters of that on the side joints
(ids 0, 4, 8), current 350 mA with the light hand's XL330 and 550 mA with the full one's XC330.
"""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.errors import InputError
from knuckle.hardware.spec.dynamixel_table import (
    CURRENT_BASED_POSITION_MODE,
    POSITION_MODE,
    XC330_M288,
    XL330_M288,
    XM430_W210,
    ServoModel,
)
from knuckle.hardware.spec.hand_spec import HandSpec

LEAP_SIDE_IDS = (0, 4, 8)
LEAP_CURRENT = {XC330_M288.number: 550, XL330_M288.number: 350}


@dataclass(frozen=True)
class Gains:
    """Position gains in the servo's own units."""

    p: int
    i: int
    d: int


@dataclass(frozen=True)
class DriveProfile:
    """How the servos of a hand are driven.

    ``gains`` by servo id; ``current`` caps each servo's current (register units; None where the mode has no current
    control); ``models`` are the servo models that the hand is built with, the first one as published.
    """

    models: tuple[ServoModel, ...]
    mode: int
    gains: dict[int, Gains]
    current: dict[int, int] | None
    """By model number."""
    baud: int

    @property
    def current_based(self) -> bool:
        """Whether a goal current bounds the torque."""
        return self.mode == CURRENT_BASED_POSITION_MODE


def drive_profile(spec: HandSpec) -> DriveProfile:
    """The profile of ``spec``; InputError for a hand that nobody has built on Dynamixel servos."""
    ids = [joint.servo_id for joint in spec.joints]
    if spec.name.startswith("dclaw"):
        return DriveProfile((XM430_W210,), POSITION_MODE, {id: Gains(200, 0, 10) for id in ids}, None, 1_000_000)
    if spec.name.startswith("leap"):
        gains = {id: Gains(450, 0, 150) if id in LEAP_SIDE_IDS else Gains(600, 0, 200) for id in ids}
        models = (XC330_M288, XL330_M288)
        return DriveProfile(models, CURRENT_BASED_POSITION_MODE, gains, LEAP_CURRENT, 4_000_000)
    raise InputError(f"no servo settings for {spec.name}", where="hand", right="a dclaw or leap hand")
