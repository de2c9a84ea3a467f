"""What the page draws of tracks and forecasts: a box for each thing, and ellipsoids of where it is likely to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from knuckle_msgs.msg import Forecasts, Tracks

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array
from knuckle_ros.thing_messages import forecast_of

MOST_THINGS = 4
ELLIPSOIDS = 5
SMALLEST_M = 0.002
ZONE_M = 0.25
"""Without a word from the zone: its usual radius. What is less certain than the zone is large is not drawn."""
FAR_M = 100.0
UNKNOWN = "where it goes is not known yet"


@dataclass(frozen=True)
class Ellipsoid:
    """One standard deviation about ``mean`` (3,) m: half ``axes`` (3,) m, turned by ``quaternion`` w x y z."""

    mean: Array
    axes: Array
    quaternion: Array


@dataclass(frozen=True)
class Mark:
    """One thing: its name, box (``centre`` (3,) and ``size`` (3,) m, world), and where its likeliest mode leads.

    ``ahead`` ends where that is known no better than the zone is large; where nothing is left, the name says so.
    """

    name: str
    centre: Array
    size: Array
    ahead: list[Ellipsoid]


def marks(tracks: Tracks | None, forecasts: Forecasts | None, zone_m: float = ZONE_M) -> list[Mark]:
    """The first few things of ``tracks`` with what ``forecasts`` says of them; what is no number is not drawn.

    ``zone_m`` is the size of the zone: an ellipsoid with a larger deviation would fill the view and say nothing.
    """
    if tracks is None or tracks.header.frame_id != "world":
        return []
    told = {one.track_id: one for one in forecasts.forecasts} if forecasts is not None else {}
    drawn: list[Mark] = []
    for track in tracks.tracks:
        p, s = track.pose.pose.position, track.size
        numbers = np.array([p.x, p.y, p.z, s.x, s.y, s.z])
        if len(drawn) == MOST_THINGS or not np.isfinite(numbers).all() or np.abs(numbers).max() > FAR_M:
            continue
        name, ahead = f"{track.label[:32]} {track.id}", list[Ellipsoid]()
        if track.id in told:
            _, weight, mean, covariance = forecast_of(told[track.id])
            if len(weight):
                ahead = _along(mean[int(np.argmax(weight))], covariance[int(np.argmax(weight))], zone_m)
                name = name if ahead else f"{name}: {UNKNOWN}"
        drawn.append(Mark(name, numbers[:3], np.maximum(numbers[3:], SMALLEST_M), ahead))
    return drawn


def _along(mean: Array, covariance: Array, zone_m: float) -> list[Ellipsoid]:
    """Some moments of one mode, evenly spread, the last among them, as long as they are known well enough."""
    if not len(mean):
        return []
    chosen = np.unique(np.linspace(len(mean) - 1, 0, ELLIPSOIDS, endpoint=False).round().astype(int))
    usable = [k for k in chosen if _usable(mean[k], covariance[k])]
    return [seen for seen in (ellipsoid(mean[k], covariance[k]) for k in usable) if seen.axes.max() <= zone_m]


def _usable(mean: Array, covariance: Array) -> bool:
    return bool(np.isfinite(mean).all() and np.isfinite(covariance).all() and np.abs(mean).max() < FAR_M)


def ellipsoid(mean: Array, covariance: Array) -> Ellipsoid:
    """One standard deviation of a Gaussian in space."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    if np.linalg.det(vectors) < 0.0:
        vectors[:, 0] = -vectors[:, 0]
    axes = np.maximum(np.sqrt(np.maximum(values, 0.0)), SMALLEST_M)
    return Ellipsoid(mean, axes, rotations.from_matrix(vectors))
