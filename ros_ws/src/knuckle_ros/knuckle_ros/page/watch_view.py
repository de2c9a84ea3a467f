"""What the watch sees, in the scene: boxes and names of strangers, ellipsoids of forecasts, the zone's outline."""

from __future__ import annotations

from typing import Any

import numpy as np
import viser

from knuckle.hardware.spec.hand_spec import Array
from knuckle_ros.page import palette
from knuckle_ros.page.watch_marks import ELLIPSOIDS, MOST_THINGS, ZONE_M, Mark

OUTLINE_POINTS = 64
UP = np.array([0.0, 0.0, 1.0])


class WatchView:
    """A few boxes and ellipsoids that are made once and moved; those without a thing are hidden.

    ``zone_m`` is the radius of the zone as it was shown last.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._slots: list[tuple[Any, Any, list[Any]]] = []
        self._zone: tuple[float, ...] | None = None
        self.zone_m = ZONE_M

    def show(self, drawn: list[Mark], threatened: bool) -> None:
        """The strangers now, in the colour of a warning where one of them is why the hand holds."""
        while len(self._slots) < min(len(drawn), MOST_THINGS):
            self._slots.append(self._slot(len(self._slots)))
        with self._server.atomic():
            for k, (box, name, ahead) in enumerate(self._slots):
                mark = drawn[k] if k < len(drawn) else None
                box.visible = name.visible = mark is not None
                for j, ball in enumerate(ahead):
                    ball.visible = mark is not None and j < len(mark.ahead)
                if mark is None:
                    continue
                box.position, box.scale = mark.centre, _three(mark.size)
                box.color = palette.THREAT if threatened else palette.STRANGER
                name.position, name.text = mark.centre + 0.02 * UP + 0.5 * mark.size * UP, mark.name
                for ball, seen in zip(ahead, mark.ahead, strict=False):
                    ball.position, ball.wxyz, ball.scale = seen.mean, seen.quaternion, _three(seen.axes)

    def show_zone(self, centre: Array, radius: float) -> None:
        """The outline of a zone that is a ball, where it is widest and on the table; (3,) m and m."""
        said = (*(float(v) for v in centre), radius)
        if said == self._zone:
            return
        self._zone, self.zone_m = said, radius
        rings = []
        for height in {float(centre[2]), 0.001}:
            across = radius * radius - (height - centre[2]) ** 2
            if across > 0.0:
                rings.append(_ring(centre[:2], height, across**0.5))
        points = np.concatenate(rings)
        self._server.scene.add_line_segments(
            "/zone", points, np.array(palette.ZONE), thickness=1.5, thickness_units="screen"
        )

    def _slot(self, k: int) -> tuple[Any, Any, list[Any]]:
        scene = self._server.scene
        box = scene.add_box(f"/watch/{k}/box", color=palette.STRANGER, wireframe=True, visible=False)
        name = scene.add_label(f"/watch/{k}/name", "", visible=False)
        ahead = [
            scene.add_icosphere(
                f"/watch/{k}/ahead{j}",
                color=palette.FORECAST,
                subdivisions=2,
                opacity=0.16 - 0.02 * j,
                cast_shadow=False,
                visible=False,
            )
            for j in range(ELLIPSOIDS)
        ]
        return box, name, ahead


def _three(values: Array) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _ring(centre: Array, height: float, radius: float) -> Array:
    """Segments (n, 2, 3) of a level circle."""
    angle = np.linspace(0.0, 2.0 * np.pi, OUTLINE_POINTS + 1)
    x, y = centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)
    points = np.stack([x, y, np.full_like(angle, height)], axis=1)
    return np.stack([points[:-1], points[1:]], axis=1)
