"""What was identified: a JSON file bound to its hand, and the HandSpec with these numbers in it.

hand = with_identified(hand_spec("dclaw3"), load_identified(Path("sysid_dclaw3_f0.json")))
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import write_text
from knuckle.hardware.identification.servo_fit import PARAMETERS, Fit
from knuckle.hardware.spec.hand_spec import HandSpec, Joint
from knuckle.hardware.spec.tip_kinematics import TipKinematics

SCHEMA = 1
MAX_BYTES = 1 << 16
WELL_KNOWN = 0.02
"""A number whose standard error is a larger share of it is not taken up: the motion hardly shows it."""


@dataclass(frozen=True)
class ServoNumbers:
    """One joint: N m/rad, N m s/rad and rad/s, each with its standard error as a share of it; what is left, rad.

    ``time_constant_error`` is that of damping over stiffness.
    """

    joint: str
    stiffness: float
    damping: float
    velocity_limit: float
    stiffness_error: float
    damping_error: float
    velocity_limit_error: float
    time_constant_error: float
    residual_rad: float

    def known(self, name: str) -> bool:
        """Whether the motion shows the number called ``name``."""
        return bool(getattr(self, f"{name}_error") <= WELL_KNOWN)


@dataclass(frozen=True)
class Identified:
    """The joints of finger number ``finger`` of ``hand``, from the palm outwards, and the ``delay_s`` of commands.

    ``record_sha256`` is that of the record they were found in; ``simulations`` and ``seed`` of the search.
    """

    hand: str
    finger: int
    delay_s: float
    servos: tuple[ServoNumbers, ...]
    record_sha256: str
    simulations: int
    seed: int
    schema: int = SCHEMA


def identified(hand: HandSpec, finger: int, fit: Fit, *, record_sha256: str, seed: int) -> Identified:
    """What ``fit`` says of finger number ``finger`` of ``hand``."""
    servos = []
    for k, name in enumerate(fit.names):
        values = {parameter: float(getattr(fit, parameter)[k]) for parameter in PARAMETERS}
        # JSON has no infinity: an error of a million times the number says as much.
        values |= {f"{p}_error": float(min(e, 1e6)) for p, e in zip(PARAMETERS, fit.standard_error[k], strict=True)}
        constant, left = float(min(fit.time_constant_error[k], 1e6)), float(fit.residual_rad[k])
        servos.append(ServoNumbers(joint=name, time_constant_error=constant, residual_rad=left, **values))
    return Identified(hand.name, finger, fit.delay_s, tuple(servos), record_sha256, fit.simulations, seed)


def with_identified(hand: HandSpec, found: Identified, *, all_fingers: bool = True) -> HandSpec:
    """``hand`` with the numbers of ``found`` that the motion showed; the others stay the hand's own.

    Where damping over stiffness alone was shown, as of a light last link, the stiffness stays and the damping follows.
    One finger stands for all that are built alike, as in Visual Dexterity: fingers whose joints have the same numbers
    now. InputError where ``found`` is of another hand.
    """
    _require_fit(hand, found, where="identified")
    chains = TipKinematics(hand).joints
    own = chains[found.finger]
    joints = list(hand.joints)
    for finger, chain in enumerate(chains):
        alike = all(_numbers(hand, a) == _numbers(hand, b) for a, b in zip(chain, own, strict=True))
        if finger != found.finger and not (all_fingers and alike):
            continue
        for k, servo in zip(chain, found.servos, strict=True):
            joints[k] = _with(joints[k], servo)
    return replace(hand, joints=tuple(joints))


def _with(joint: Joint, servo: ServoNumbers) -> Joint:
    """``joint`` with what is known of ``servo``."""
    known = {name: getattr(servo, name) for name in PARAMETERS if servo.known(name)}
    if not {"stiffness", "damping"} <= known.keys():
        known.pop("stiffness", None)
        known.pop("damping", None)
        if servo.known("time_constant"):
            known["damping"] = joint.stiffness * servo.damping / servo.stiffness
    return replace(joint, **known)


def save_identified(found: Identified, path: Path) -> None:
    """Write the file whole or not at all; RunError where it cannot be written."""
    try:
        write_text(path, json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        what = f"the result cannot be written ({error.strerror})"
        raise RunError(what, where=str(path), right="a file in a folder of yours") from error


def load_identified(path: Path) -> Identified:
    """The file at ``path``; InputError in one line where it is none, or a number in it cannot be one of a servo."""
    where, right = str(path), "what knuckle calibrate sysid writes"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("it is larger than 64 KiB", where=where, right=right)
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"it cannot be read ({error})", where=where, right=right) from error
    try:
        return _from_json(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"it is not whole ({error})", where=where, right=right) from error


def _from_json(raw: Any) -> Identified:
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA or set(raw) != {f.name for f in fields(Identified)}:
        raise ValueError(f"not of schema {SCHEMA}")
    servos = tuple(ServoNumbers(**entry) for entry in raw["servos"])
    for servo in servos:
        numbers = [getattr(servo, f.name) for f in fields(ServoNumbers) if f.name != "joint"]
        if not isinstance(servo.joint, str) or not all(_positive(number) for number in numbers):
            raise ValueError(f"servo {servo.joint}")
    if type(raw["finger"]) is not int or not _positive(raw["delay_s"]):
        raise ValueError("finger or delay_s")
    return Identified(**{**raw, "servos": servos})


def _positive(number: Any) -> bool:
    return type(number) in (int, float) and math.isfinite(number) and number >= 0.0


def _numbers(hand: HandSpec, joint: np.intp) -> tuple[float, ...]:
    return tuple(float(getattr(hand.joints[joint], name)) for name in PARAMETERS)


def _require_fit(hand: HandSpec, found: Identified, *, where: str) -> None:
    if found.hand != hand.name:
        raise InputError(f"it is of the hand {found.hand}, not of {hand.name}", where=where, right=hand.name)
    fingers = TipKinematics(hand).joints
    own = fingers[found.finger] if 0 <= found.finger < len(fingers) else []
    if [servo.joint for servo in found.servos] != [hand.joint_names[k] for k in own]:
        names = ", ".join(servo.joint for servo in found.servos)
        raise InputError(f"finger {found.finger} has not the joints {names}", where=where, right=hand.name)
