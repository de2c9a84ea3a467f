"""Where KITTI's car was: poses of its inertial unit from oxts, as KITTI's development kit defines them.

The position is Mercator's at the scale of the first latitude, the turn yaw, then pitch, then roll about the car's own
z, y and x:

    x = s r lon,    y = s r ln tan(pi / 4 + lat / 2),    z = alt,    s = cos lat_0,    r = 6378137 m

with angles in rad, x to the east and y to the north. Poses are given relative to the first position, so that numbers
stay small; axes stay those of the map.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.motion.tracks.number_lines import read_numbers

Array = NDArray[np.float64]
RADIUS_M = 6378137.0
COLUMNS = 30


def read_poses(path: Path) -> Array:
    """Poses (n, 4, 4) of the inertial unit in the world, a line of oxts each.

    Raises InputError naming the line for one that has other than 30 numbers, one that is not finite, or angles that
    are none.
    """
    rows = read_numbers(path, COLUMNS, "30 numbers of KITTI's oxts")
    lat, lon, alt, roll, pitch, yaw = rows[:, :6].T
    wild = (np.abs(lat) >= 90.0) | (np.abs(lon) > 180.0) | (np.abs(rows[:, 3:6]) > 2 * math.pi).any(1)
    if wild.any():
        line = int(np.flatnonzero(wild)[0]) + 1
        what = f"latitude, longitude, height, roll, pitch, yaw of {rows[line - 1, :6].round(3).tolist()}"
        raise InputError(what, where=f"{path}:{line}", right="degrees, degrees, m, rad, rad, rad")
    return poses(lat, lon, alt, roll, pitch, yaw)


def poses(lat: Array, lon: Array, alt: Array, roll: Array, pitch: Array, yaw: Array) -> Array:
    """Poses (n, 4, 4) from latitudes and longitudes in degrees, heights in m and angles in rad, (n,) each."""
    scale = math.cos(math.radians(lat[0])) * RADIUS_M
    x = scale * np.radians(lon)
    y = scale * np.log(np.tan(math.pi / 4 + np.radians(lat) / 2))
    out = np.zeros((len(lat), 4, 4))
    out[:, :3, :3] = _turn(yaw, 2) @ _turn(pitch, 1) @ _turn(roll, 0)
    out[:, :3, 3] = np.stack([x - x[0], y - y[0], alt - alt[0]], -1)
    out[:, 3, 3] = 1.0
    return out


def _turn(angle: Array, axis: int) -> Array:
    """Rotations (n, 3, 3) by ``angle`` (n,) about x, y or z."""
    out = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1.0
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -np.sin(angle)
    return out
