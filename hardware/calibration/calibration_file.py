"""The calibration of one hand: offset and sign of each joint, in a JSON file that names the hand and its servos.

    servo horn = offset + sign * joint        rad, horn 0 at the middle of the servo's turn

A file is used only for the hand, the ids and the servo models it was made with.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import InputError
from knuckle.core.figures import write_text
from knuckle.hardware.spec.dynamixel_table import MODELS, RAD_PER_PULSE
from knuckle.hardware.spec.hand_spec import Array, HandSpec

SCHEMA = 1
MAX_BYTES = 1 << 16
HALF_TURN = math.pi - RAD_PER_PULSE


@dataclass(frozen=True)
class ServoZero:
    """One joint's servo: id, model number, ``sign`` (1 or -1), and the horn angle ``offset`` (rad) at joint zero."""

    joint: str
    id: int
    model: int
    sign: int
    offset: float


@dataclass(frozen=True)
class Calibration:
    """``hand`` is the spec's name; ``servos`` are in joint order; ``method`` says how it was made."""

    hand: str
    method: str
    servos: tuple[ServoZero, ...]
    schema: int = SCHEMA

    @property
    def sign(self) -> Array:
        """Signs, (dof,)."""
        return np.array([servo.sign for servo in self.servos], dtype=np.float64)

    @property
    def offset(self) -> Array:
        """Offsets, rad, (dof,)."""
        return np.array([servo.offset for servo in self.servos])


def nominal(spec: HandSpec, model: int) -> Calibration:
    """The calibration that ``spec`` itself states: right for a virtual hand, and the place to start from for a real."""
    zeros = tuple(ServoZero(j.name, j.servo_id, model, j.sign, j.servo_offset) for j in spec.joints)
    return Calibration(spec.name, "nominal", zeros)


def default_path(hand: str) -> Path:
    """Where the calibration of ``hand`` lies unless another place is named: the user's configuration folder."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "knuckle" / f"calibration_{hand}.json"


def save(calibration: Calibration, path: Path) -> None:
    """Write the file whole or not at all."""
    write_text(path, json.dumps(asdict(calibration), indent=2, allow_nan=False) + "\n")


def load(path: Path, spec: HandSpec, models: Mapping[int, int]) -> Calibration:
    """The calibration at ``path``, for ``spec`` with servos of ``models`` (number by id).

    Raises InputError in one line: no file, cut short, not this schema, another hand, other ids or models, a value that
    is no number, a joint that would leave its servo's turn.
    """
    where, right = str(path), f"knuckle calibrate home --hand {spec.name} makes it"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("the calibration is larger than 64 KiB", where=where, right=right)
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("there is no calibration", where=where, right=right) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the calibration cannot be read ({error})", where=where, right=right) from error
    calibration = _from_json(raw, where, right)
    if calibration.hand != spec.name:
        raise InputError(f"it is of the hand {calibration.hand}, not of {spec.name}", where=where, right=right)
    require_fit(calibration, spec, where=where)
    for servo in calibration.servos:
        if models.get(servo.id) != servo.model:
            now, then = _model(models.get(servo.id)), _model(servo.model)
            what = f"servo {servo.id} ({servo.joint}) is {now}; it was {then} when this was made"
            raise InputError(what, where=where, right=right)
    return calibration


def require_fit(calibration: Calibration, spec: HandSpec, *, where: str) -> None:
    """InputError where joints or ids are not those of ``spec``, or a joint's range leaves its servo's turn."""
    right = f"knuckle calibrate home --hand {spec.name} makes it anew"
    made = [(servo.joint, servo.id) for servo in calibration.servos]
    wanted = [(joint.name, joint.servo_id) for joint in spec.joints]
    if made != wanted:
        other = next((f"{a} as id {b}" for a, b in made if (a, b) not in wanted), f"{len(made)} servos")
        raise InputError(f"it has {other}; the {spec.name} has not", where=where, right=right)
    for servo, joint in zip(calibration.servos, spec.joints, strict=True):
        reach = max(abs(servo.offset + servo.sign * joint.lower), abs(servo.offset + servo.sign * joint.upper))
        if reach > HALF_TURN:
            what = f"{joint.name} would turn its servo to {math.degrees(reach):.0f} degrees from its middle"
            raise InputError(what, where=where, right="under 180: mount the horn so that the middle is the joint's")


def _from_json(raw: Any, where: str, right: str) -> Calibration:
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        got = raw.get("schema") if isinstance(raw, dict) else type(raw).__name__
        raise InputError(f"schema {got!r} is not {SCHEMA}", where=where, right=right)
    try:
        if set(raw) != set(Calibration.__dataclass_fields__):
            raise ValueError(f"keys {sorted(raw)}")
        servos = []
        for entry in raw["servos"]:
            zero = ServoZero(**entry)
            numbers = (zero.id, zero.model, zero.sign)
            if not all(type(n) is int for n in numbers) or zero.sign not in (-1, 1) or not isinstance(zero.joint, str):
                raise ValueError(f"servo {entry}")
            if type(zero.offset) not in (int, float) or not math.isfinite(zero.offset):
                raise ValueError(f"{zero.joint}: offset {zero.offset}")
            servos.append(zero)
        return Calibration(str(raw["hand"]), str(raw["method"]), tuple(servos))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the calibration is not whole ({error})", where=where, right=right) from error


def _model(number: int | None) -> str:
    if number is None:
        return "missing"
    return MODELS[number].name if number in MODELS else f"model {number}"
