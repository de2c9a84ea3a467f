"""A zone round the hand, and whether something will be in it: the probability that a forecast gives for each moment.

A position in the zone counts for a whole thing: the zone is widened by half of the thing's largest extent. The
probability is that of a fixed set of places, spread as a normal distribution is (Roberts' additive sequence through the
inverse normal distribution), so that it holds for every shape and covariance and the same forecast gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from knuckle.core.config import setting, validate
from knuckle.hardware.spec.hand_spec import Array

PLACES = 512
_PLASTIC_3 = 1.2207440846057596  # the real root of x^4 = x + 1, on which Roberts' sequence in three dimensions stands


@dataclass(frozen=True)
class ZoneConfig:
    """The zone, in the world frame, and when a forecast is believed. Its centre is over or under the hand's base."""

    shape: str = setting("ball", "shape of the zone", choices=("ball", "box"))
    radius: float = setting(0.25, "radius of the ball", low=0.01, high=5.0, unit="m")
    half_x: float = setting(0.25, "half of the box along x", low=0.01, high=5.0, unit="m")
    half_y: float = setting(0.25, "half of the box along y", low=0.01, high=5.0, unit="m")
    half_z: float = setting(0.20, "half of the box along z", low=0.01, high=5.0, unit="m")
    centre_x: float = setting(0.0, "centre, from the hand's base", low=-5.0, high=5.0, unit="m")
    centre_y: float = setting(0.0, "centre, from the hand's base", low=-5.0, high=5.0, unit="m")
    centre_z: float = setting(0.12, "centre, from the hand's base towards where it holds things", low=-5.0, high=5.0)
    within_s: float = setting(0.8, "a forecast that enters within this time is a threat", low=0.0, high=30.0, unit="s")
    probability: float = setting(0.4, "from this probability on", low=0.01, high=0.999)


@dataclass(frozen=True)
class Entry:
    """Something is in the zone (``after_s`` 0) or will be, with a probability; ``nearest_m`` is now, from its edge."""

    track: int
    label: str
    after_s: float
    probability: float
    nearest_m: float

    def __str__(self) -> str:
        name = f"{self.label} {self.track}"
        if self.after_s == 0.0:
            return f"{name} is in the zone"
        return f"{name} will be in the zone in {self.after_s:.1f} s (probability {self.probability:.2f})"


class Zone:
    """The zone about a ``centre`` (3,) in m. Raises ConfigError for settings out of range."""

    def __init__(self, centre: Array, config: ZoneConfig = ZoneConfig()) -> None:
        self.config = validate(config, where="zone")
        self.centre = np.asarray(centre, dtype=np.float64)
        self._half = np.array([config.half_x, config.half_y, config.half_z])

    def distance(self, points: Array) -> Array:
        """How far (...) in m ``points`` (..., 3) are from the zone's edge, negative inside."""
        p = points - self.centre
        if self.config.shape == "ball":
            return np.asarray(np.linalg.norm(p, axis=-1) - self.config.radius)
        d = np.abs(p) - self._half
        outside = np.linalg.norm(np.maximum(d, 0.0), axis=-1)
        return np.asarray(outside + np.minimum(d.max(axis=-1), 0.0))

    def probability(self, mean: Array, covariance: Array, reach_m: float) -> Array:
        """How probable (...) it is that a thing of half extent ``reach_m`` touches the zone.

        Its centre is Gaussian with ``mean`` (..., 3) in m and ``covariance`` (..., 3, 3) in m^2.
        """
        near = np.zeros(mean.shape[:-1])
        deviation = np.sqrt(np.maximum(np.trace(covariance, axis1=-2, axis2=-1), 0.0))
        # Beyond six deviations nothing is left to ask for.
        close = self.distance(mean) - reach_m < 6.0 * deviation + 1e-9
        if close.any():
            root = _root(covariance[close])
            places = mean[close][..., None, :] + np.einsum("...ij,kj->...ki", root, _normal_places())
            near[close] = (self.distance(places) <= reach_m).mean(axis=-1)
        return near

    def entry(
        self,
        track: int,
        label: str,
        now: Array,
        times_s: Array,
        weight: Array,
        mean: Array,
        covariance: Array,
        reach_m: float,
    ) -> Entry | None:
        """The first moment at which a thing is in the zone with the set probability; None where it never is.

        ``now`` (3,) is where it is; ``times_s`` (S,), ``weight`` (K,) of the modes, ``mean`` (K, S, 3) and
        ``covariance`` (K, S, 3, 3) are its forecast.
        """
        nearest = float(self.distance(now)) - reach_m
        if nearest <= 0.0:
            return Entry(track, label, 0.0, 1.0, nearest)
        soon = times_s <= self.config.within_s + 1e-9
        if not soon.any():
            return None
        inside = weight @ self.probability(mean[:, soon], covariance[:, soon], reach_m)
        enough = np.flatnonzero(inside >= self.config.probability)
        if not len(enough):
            return None
        k = int(enough[0])
        return Entry(track, label, float(times_s[soon][k]), float(inside[k]), nearest)


def _root(covariance: Array) -> Array:
    """A matrix square root (..., 3, 3) of covariances that may be flat, or by rounding a little less than that."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])


@lru_cache(maxsize=1)
def _normal_places() -> Array:
    """Places (512, 3) that are spread as a standard normal distribution in space."""
    steps = np.array([1.0 / _PLASTIC_3, 1.0 / _PLASTIC_3**2, 1.0 / _PLASTIC_3**3])
    uniform = (0.5 + np.arange(1, PLACES + 1)[:, None] * steps) % 1.0
    places = ndtri(uniform)
    return np.asarray((places - places.mean(axis=0)) / places.std(axis=0))
