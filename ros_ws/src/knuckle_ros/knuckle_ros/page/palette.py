"""The colours of the page, written once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.perception.labels import HAND, OBJECT, TABLE

Rgb = tuple[int, int, int]

PALM: Rgb = (74, 82, 96)
LINK: Rgb = (176, 184, 196)
TIP: Rgb = (236, 148, 84)
SKY_HIGH: Rgb = (34, 39, 48)
SKY_LOW: Rgb = (18, 20, 25)
TABLE_TOP: Rgb = (44, 49, 58)
GRID: Rgb = (70, 77, 89)
GOAL: Rgb = (112, 214, 158)
CAMERA: Rgb = (130, 170, 220)
UNKNOWN_OBJECT: Rgb = (200, 160, 90)
STRANGER: Rgb = (240, 179, 87)
THREAT: Rgb = (239, 100, 100)
FORECAST: Rgb = (240, 140, 110)
ZONE: Rgb = (150, 110, 110)

OK = "#5cc98b"
WARN = "#f0b357"
ERROR = "#ef6464"
STALE = "#7d8796"
ACCENT = "#7fb0ff"
TEXT = "#e6e9ee"
FAINT = "#98a2b3"

_POINT_OBJECT: Rgb = (255, 196, 86)
_POINT_TABLE: Rgb = (92, 103, 120)
_POINT_HAND: tuple[Rgb, ...] = ((122, 130, 142), (96, 165, 250), (167, 139, 250), (45, 212, 191), (244, 114, 182))


def label_colours(links_per_finger: int) -> NDArray[np.uint8]:
    """The colour (256, 3) of each label: one for the object, the table, the palm and each finger."""
    colours = np.empty((256, 3), dtype=np.uint8)
    colours[OBJECT], colours[TABLE] = _POINT_OBJECT, _POINT_TABLE
    for link in range(256 - HAND):
        finger = 0 if link == 0 else 1 + (link - 1) // links_per_finger
        colours[HAND + link] = _POINT_HAND[min(finger, len(_POINT_HAND) - 1)]
    return colours
