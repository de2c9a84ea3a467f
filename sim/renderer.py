"""Which renderer there is: EGL where it works, else ray casting, with the reason; lack of OpenGL is never an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import DeviceError, unknown_name
from knuckle.hardware.spec.contracts import Intrinsics
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.depth_egl import EglRenderer
from knuckle.sim.depth_rays import RayRenderer
from knuckle.sim.intruder import Ball
from knuckle.sim.scene import Scene

SOURCES = ("auto", "egl", "rays")


class Renderer(Protocol):
    """Draws states of scenes. Safe to call from any thread."""

    def depth(self, scene: Scene, state: Array) -> NDArray[np.float32]:
        """Distance along the optical axis of the depth camera, m (height, width)."""
        ...

    def colour(self, scene: Scene, state: Array, camera: str, ball: Ball | None = None) -> NDArray[np.uint8]:
        """Red green blue (height, width, 3) as a camera of the scene sees it, and with it ``ball``."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True)
class ChosenRenderer:
    """A renderer, its ``source`` (``egl`` or ``rays``) and one line that says why it was chosen."""

    renderer: Renderer
    source: str
    reason: str


def choose_renderer(source: str, intrinsics: Intrinsics, *, samples: int = 0) -> ChosenRenderer:
    """The renderer called ``source``; ``auto`` falls back from EGL to rays.

    Raises InputError for another name, DeviceError where EGL was asked for by name and cannot be had.
    """
    if source not in SOURCES:
        raise unknown_name("depth source", source, SOURCES)
    if source == "rays":
        return ChosenRenderer(RayRenderer(intrinsics), "rays", "as asked")
    try:
        renderer = EglRenderer(intrinsics, samples)
    except DeviceError as error:
        if source == "egl":
            raise
        return ChosenRenderer(RayRenderer(intrinsics), "rays", str(error))
    return ChosenRenderer(renderer, "egl", "as asked" if source == "egl" else "EGL works here")
