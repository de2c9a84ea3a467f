"""The hands that knuckle knows, by name."""

from __future__ import annotations

from collections.abc import Callable

from knuckle.core.errors import unknown_name
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.leap import leap

HANDS: dict[str, Callable[[], HandSpec]] = {
    "dclaw3": lambda: dclaw(3),
    "dclaw4": lambda: dclaw(4),
    "leap": lambda: leap("up"),
    "leap_down": lambda: leap("down"),
}


def hand_spec(name: str, *, where: str = "") -> HandSpec:
    """The HandSpec called ``name``; InputError lists the known ones."""
    if name not in HANDS:
        raise unknown_name("hand", name, HANDS, where=where)
    return HANDS[name]()
