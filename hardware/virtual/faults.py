"""What can go wrong with a servo or its bus, as data; and the lines that say so: `servo:3 silent for 2 s`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from knuckle.core.errors import InputError, unknown_name

BUS = "bus"


@dataclass(frozen=True)
class FaultKind:
    """One kind: what it does, its ``amount`` where it has one (default, low, high, unit), whom it can befall.

    ``momentary`` ones happen once; the others last until their time is over or they are cleared.
    """

    help: str
    amount: tuple[float, float, float, str] | None = None
    targets: Collection[str] = ("servo", BUS)
    momentary: bool = False


KINDS: dict[str, FaultKind] = {
    "off": FaultKind("no power: no answer, no torque; afterwards as after a power-up"),
    "silent": FaultKind("hears and does everything, answers nothing"),
    "intermittent": FaultKind("leaves a share of its answers out", (0.5, 0.0, 1.0, "")),
    "garbage": FaultKind("a share of its answers comes with flipped bits", (1.0, 0.0, 1.0, "")),
    "slow": FaultKind("each answer comes late", (20.0, 0.0, 10_000.0, "ms")),
    "delayed": FaultKind("its readings are old", (100.0, 1.0, 10_000.0, "ms")),
    "frozen": FaultKind("its readings stay as they are now"),
    "wrong": FaultKind("its position reads wrong by an angle, its velocity is noise", (0.5, -3.2, 3.2, "rad")),
    "noisy": FaultKind("its position reads with noise of this standard deviation", (0.02, 0.0, 1.0, "rad")),
    "stuck": FaultKind("the joint is jammed: it stands still and the motor pushes"),
    "reboot": FaultKind("restarts: deaf for a while, then torque off and RAM at its defaults", (100.0, 0.0, 5e3, "ms")),
    "warm": FaultKind("its temperature is held at a value", (60.0, -5.0, 120.0, "degC")),
    "overheat": FaultKind("hotter than its limit by some degrees", (5.0, 0.0, 60.0, "K")),
    "overload": FaultKind("its overload protection acts", momentary=True),
    "undervoltage": FaultKind("the supply is below the limit by some volts", (1.0, 0.0, 10.0, "V")),
    "duplicate": FaultKind("a second servo has its id and answers at the same time", targets=("servo",)),
    "unplug": FaultKind("the port hangs up and is gone; afterwards it is there again", targets=(BUS,)),
}
"""Kinds by name."""


@dataclass(frozen=True)
class Fault:
    """A fault of ``kind`` at servo id ``servo`` (None: the whole bus), for ``duration_s`` (None: until cleared)."""

    kind: str
    servo: int | None
    amount: float
    duration_s: float | None

    def __str__(self) -> str:
        target = BUS if self.servo is None else f"servo:{self.servo}"
        unit = KINDS[self.kind].amount
        by = f" by {self.amount:g} {unit[3]}".rstrip() if unit is not None else ""
        lasting = "" if self.duration_s is None else f" for {self.duration_s:g} s"
        return f"{target} {self.kind}{by}{lasting}"


@dataclass(frozen=True)
class ScriptedFault:
    """A fault that begins ``at_s`` seconds after its script was begun."""

    at_s: float
    fault: Fault


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_FAULT = re.compile(
    rf"(?P<target>\S+)\s+(?P<kind>\S+)"
    rf"(?:\s+by\s+(?P<amount>{_NUMBER})\s*(?P<unit>[A-Za-z%]*))?"
    rf"(?:\s+for\s+(?P<time>{_NUMBER})\s*(?P<time_unit>ms|s))?"
)
_AT = re.compile(rf"at\s+(?P<time>{_NUMBER})\s*(?P<unit>ms|s)\s+(?P<fault>.*)")
RIGHT = "TARGET KIND [by AMOUNT] [for TIME], as 'servo:3 silent for 2 s'"


def parse_fault(text: str, *, where: str = "fault") -> Fault:
    """The fault that a line says; InputError, naming what is known, for one that says none."""
    match = _FAULT.fullmatch(text.strip())
    if match is None:
        raise InputError(f"'{text}' is no fault", where=where, right=RIGHT)
    servo = _target(match["target"], where)
    if match["kind"] not in KINDS:
        raise unknown_name("fault", match["kind"], KINDS, where=where)
    kind = KINDS[match["kind"]]
    if (BUS if servo is None else "servo") not in kind.targets:
        raise InputError(f"{match['kind']} cannot befall {match['target']}", where=where, right=_other(servo))
    amount = _amount(match["kind"], kind, match["amount"], match["unit"], where)
    duration = None
    if match["time"] is not None:
        duration = _seconds(match["time"], match["time_unit"])
        if kind.momentary or duration <= 0.0:
            what = "happens once" if kind.momentary else f"cannot last {duration:g} s"
            raise InputError(
                f"{match['kind']} {what}", where=where, right="no 'for'" if kind.momentary else "above 0 s"
            )
    return Fault(match["kind"], servo, amount, duration)


def parse_script(text: str, *, where: str = "fault script") -> tuple[ScriptedFault, ...]:
    """The faults of a script, earliest first: a line each, `at 1.0 s servo:3 silent for 2 s`; # begins a comment."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        place = f"{where}:{number}"
        match = _AT.fullmatch(said)
        if match is None or _seconds(match["time"], match["unit"]) < 0.0:
            raise InputError(f"'{said}' has no time", where=place, right=f"at TIME s {RIGHT}")
        found.append(ScriptedFault(_seconds(match["time"], match["unit"]), parse_fault(match["fault"], where=place)))
    return tuple(sorted(found, key=lambda scripted: scripted.at_s))


def _target(text: str, where: str) -> int | None:
    if text == BUS:
        return None
    head, colon, id = text.partition(":")
    if head == "servo" and colon and id.isdecimal() and int(id) <= 252:
        return int(id)
    raise InputError(f"'{text}' is no target", where=where, right="servo:ID (0 to 252), or bus")


def _amount(name: str, kind: FaultKind, text: str | None, unit: str | None, where: str) -> float:
    if kind.amount is None:
        if text is not None:
            raise InputError(f"{name} takes no amount", where=where, right="no 'by'")
        return 0.0
    default, low, high, known = kind.amount
    if text is None:
        return default
    amount = float(text)
    if not low <= amount <= high or unit not in ("", known):
        raise InputError(f"'{text} {unit}'", where=where, right=f"{name} by {low:g} to {high:g} {known}".rstrip())
    return amount


def _seconds(text: str, unit: str) -> float:
    return float(text) * (1e-3 if unit == "ms" else 1.0)


def _other(servo: int | None) -> str:
    return "a target servo:ID" if servo is None else "the target bus"
