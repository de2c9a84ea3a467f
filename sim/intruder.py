"""Something that comes into the camera's view from outside: a ball on a straight way to the hand, a pause, and back.

It is a picture, not a body: cameras draw it over the scene, and the physics knows nothing of it. A world with an
intruder is therefore the same to the bit as one without, and no model of a batch has another size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.config import setting, validate
from knuckle.hardware.spec.contracts import Extrinsics, Intrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import base_to_world
from knuckle.hardware.spec.mounts import camera_extrinsics, workplace_height

ASIDE_RAD = math.radians(28.0), math.radians(45.0)
"""How far a way lies from the line of sight over the hand, to either side: past the fingers, and within the view."""


@dataclass(frozen=True)
class IntruderConfig:
    """The ball and its way, in the world frame; distances are from the hand's axis."""

    radius: float = setting(0.04, "radius of the ball", low=0.01, high=0.2, unit="m")
    speed: float = setting(0.35, "speed of the ball", low=0.01, high=5.0, unit="m/s")
    begin: float = setting(0.8, "where the way begins", low=0.1, high=1.0, unit="m")
    end: float = setting(0.21, "where it ends; fingers reach 0.17 m", low=0.0, high=1.0, unit="m")
    pause_s: float = setting(1.5, "how long the ball stays there", low=0.0, high=60.0, unit="s")
    height: float = setting(0.08, "height over the table or the palm", low=0.0, high=1.0, unit="m")


@dataclass(frozen=True)
class Ball:
    """What a colour picture shows of it: centre (3,) and radius in m, world, and red, green, blue from 0 to 1."""

    centre: Array
    radius: float
    colour: tuple[float, float, float] = (0.80, 0.93, 0.20)


class Intruder:
    """One visit, sent at ``sent_ns``, from a side that ``rng`` draws. The same stamps give the same places."""

    def __init__(
        self,
        hand: HandSpec,
        sent_ns: int,
        rng: np.random.Generator,
        config: IntruderConfig = IntruderConfig(),
    ) -> None:
        self.config = validate(config, where="intruder")
        self._sent_ns = sent_ns
        self._way_s = abs(config.begin - config.end) / config.speed
        axis, eye = np.array(hand.mount_position), base_to_world(hand, camera_extrinsics(hand).position)
        ahead = math.atan2(axis[1] - eye[1], axis[0] - eye[0])
        angle = ahead + float(rng.uniform(*ASIDE_RAD)) * (1.0 if rng.random() < 0.5 else -1.0)
        self._outward = np.array([math.cos(angle), math.sin(angle), 0.0])
        self._foot = np.array([axis[0], axis[1], workplace_height(hand) + config.height])

    @property
    def seconds(self) -> float:
        """How long the visit lasts."""
        return 2.0 * self._way_s + self.config.pause_s

    def position(self, stamp_ns: int) -> Array | None:
        """The ball's centre (3,) in m, world, at ``stamp_ns``; None before the visit and after it."""
        t = (stamp_ns - self._sent_ns) * 1e-9
        if not 0.0 <= t <= self.seconds:
            return None
        gone = min(t, self._way_s, self.seconds - t) / self._way_s if self._way_s > 0.0 else 1.0
        distance = self.config.begin + gone * (self.config.end - self.config.begin)
        return np.asarray(self._foot + distance * self._outward)

    def ball(self, stamp_ns: int) -> Ball | None:
        """What there is to see of it at ``stamp_ns``; None where it is not there."""
        place = self.position(stamp_ns)
        return None if place is None else Ball(place, self.config.radius)


def draw_ball(
    depth: NDArray[np.float32], centre: Array, radius: float, intrinsics: Intrinsics, extrinsics: Extrinsics
) -> NDArray[np.float32]:
    """``depth`` (height, width) in m with a ball in front of what is behind it; ``centre`` (3,) is in hand_base.

    Exact: of each pixel's ray the nearer point on the sphere, as depth along the optical axis. 0 is nothing measured
    and counts as far. A ball that the camera is in, or that is behind it, is not drawn.
    """
    seen = rotations.rotate(
        rotations.conjugate(np.array(extrinsics.quaternion)), centre - np.array(extrinsics.position)
    )
    if seen[2] <= radius:
        return depth
    u = (np.arange(intrinsics.width) - intrinsics.cx) / intrinsics.fx
    v = ((np.arange(intrinsics.height) - intrinsics.cy) / intrinsics.fy)[:, None]
    squared = u * u + v * v + 1.0
    along = u * seen[0] + v * seen[1] + seen[2]
    inside = along * along - squared * (float(seen @ seen) - radius * radius)
    with np.errstate(invalid="ignore"):
        ball = (along - np.sqrt(inside)) / squared
    front = (inside > 0.0) & ((depth <= 0.0) | (ball < depth))
    return np.where(front, ball, depth).astype(np.float32)
