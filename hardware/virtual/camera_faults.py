"""What can go wrong with a virtual camera, by name, as `knuckle fault camera NAME` takes it."""

from __future__ import annotations

from knuckle.core.errors import unknown_name

CAMERA_FAULTS: dict[str, str] = {
    "unplug": "the camera is gone, and not found again",
    "freeze": "the same image again and again, with new stamps and counts",
    "late": "every frame comes 0.3 s after its exposure",
    "zero": "nothing is measured in any pixel",
    "intrinsics": "the camera comes back with another focal length",
    "encoding": "the camera comes back with depth in another format",
    "hang": "a call of the library never returns",
}
"""Name to what then happens."""

REOPENING = frozenset({"intrinsics", "encoding"})
"""Faults of which a device can only be opened with or without."""

LATE_NS = 300_000_000


def check_fault(name: str) -> str:
    """``name`` itself; InputError where it is no fault of a camera."""
    if name not in CAMERA_FAULTS:
        raise unknown_name("camera fault", name, CAMERA_FAULTS, where="fault")
    return name
