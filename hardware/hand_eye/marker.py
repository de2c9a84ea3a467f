"""The ArUco marker on a fingertip: what it is, and where its corners are in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting
from knuckle.core.errors import DeviceError
from knuckle.hardware.spec.hand_spec import Array


@dataclass(frozen=True)
class MarkerConfig:
    """A square marker of OpenCV's dictionary 4x4_50 with its white border, on a stiff plate on a fingertip."""

    marker_id: int = setting(0, "number of the marker in dictionary 4x4_50", low=0, high=49)
    marker_side: float = setting(0.024, "side of its black square", low=0.005, high=0.2, unit="m")


def corners_of(side: float) -> Array:
    """The corners (4, 3) in the marker's frame, m: from the upper left clockwise; x right, y up, z out of it."""
    h = 0.5 * side
    return np.array([[-h, h, 0.0], [h, h, 0.0], [h, -h, 0.0], [-h, -h, 0.0]])


class MarkerFinder:
    """Finds the marker of ``config``. DeviceError where OpenCV is not installed."""

    def __init__(self, config: MarkerConfig) -> None:
        self._id = config.marker_id
        cv2 = opencv()
        parameters = cv2.aruco.DetectorParameters()
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
        parameters.cornerRefinementWinSize = 4
        dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
        self._detector = cv2.aruco.ArucoDetector(dictionary, parameters)

    def find(self, pixels: NDArray[np.uint8]) -> Array | None:
        """Its corners (4, 2) in pixels of an image (height, width, 3), red green blue; None where it is not seen once.

        Pixel centres are at integer coordinates.
        """
        grey = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        corners, ids, _ = self._detector.detectMarkers(grey)
        mine = [] if ids is None else [k for k, found in enumerate(ids.reshape(-1)) if int(found) == self._id]
        if len(mine) != 1:
            return None
        return np.asarray(corners[mine[0]], dtype=np.float64).reshape(4, 2)


def marker_image(config: MarkerConfig, cells: int = 8, pixels_a_cell: int = 16) -> NDArray[np.uint8]:
    """The marker with a white border of a cell about its six, (side, side) grey, to be printed or rendered."""
    cv2 = opencv()
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    inner = cv2.aruco.generateImageMarker(dictionary, config.marker_id, (cells - 2) * pixels_a_cell)
    return np.pad(np.asarray(inner, dtype=np.uint8), pixels_a_cell, constant_values=255)


def opencv() -> Any:
    """The module cv2; DeviceError where it is missing."""
    try:
        import cv2
    except ModuleNotFoundError:
        right = "pip install 'knuckle[calibrate]'"
        raise DeviceError("OpenCV is not installed", where="knuckle calibrate camera", right=right) from None
    return cv2
