"""HandSpec: a robot hand as data. Joints, limits, gains, servo ids and signs, links and their collision primitives."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError

Array = NDArray[np.float64]
Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]


@dataclass(frozen=True)
class Primitive:
    """A collision solid in its link's frame.

    ``size`` in metres: box half extents x y z; capsule and cylinder radius, half length along local z (the capsule's
    caps not counted); sphere radius.
    """

    kind: Literal["box", "capsule", "cylinder", "sphere"]
    size: tuple[float, ...]
    position: Vec3
    quaternion: Quat = (1.0, 0.0, 0.0, 0.0)

    @property
    def volume(self) -> float:
        """Volume, m^3."""
        if self.kind == "box":
            return 8.0 * self.size[0] * self.size[1] * self.size[2]
        ball = 4.0 / 3.0 * math.pi * self.size[0] ** 3
        if self.kind == "sphere":
            return ball
        return 2.0 * math.pi * self.size[0] ** 2 * self.size[1] + (ball if self.kind == "capsule" else 0.0)


@dataclass(frozen=True)
class Joint:
    """A revolute joint and the servo that moves it.

    Angles in rad, ``velocity_limit`` rad/s, ``effort_limit`` N m, ``stiffness`` N m/rad, ``damping`` N m s/rad;
    ``axis`` is a unit vector in the child link's frame. The servo turns by ``sign`` times the joint angle from
    ``servo_offset`` rad, counted from the middle of its turn (180 degrees, pulse 2048).
    """

    name: str
    axis: Vec3
    lower: float
    upper: float
    home: float
    velocity_limit: float
    effort_limit: float
    stiffness: float
    damping: float
    servo_id: int
    sign: int = 1
    servo_offset: float = 0.0


@dataclass(frozen=True)
class Link:
    """A rigid body. ``position`` and ``quaternion`` place its frame in its parent's at joint angle zero.

    ``parent`` and ``joint`` name a link listed before it and the joint that turns it; both are None for the base.
    """

    name: str
    parent: str | None
    joint: str | None
    position: Vec3
    quaternion: Quat
    mass: float
    primitives: tuple[Primitive, ...]


@dataclass(frozen=True)
class Tip:
    """The contact point of a finger: ``position`` (m) in the frame of ``link``, and the pad's ``radius`` (m)."""

    name: str
    link: str
    position: Vec3
    radius: float


@dataclass(frozen=True)
class HandSpec:
    """A hand. ``links[0]`` is the base and its frame is ``hand_base``, +z towards where it holds an object.

    ``mount_position`` and ``mount_quaternion`` place ``hand_base`` in ``world``; ``policy_speed`` (rad/s) and
    ``control_rate_hz`` are those of the action map. ``palm_contact`` names the links that meet the palm.
    """

    name: str
    joints: tuple[Joint, ...]
    links: tuple[Link, ...]
    tips: tuple[Tip, ...]
    mount_position: Vec3
    mount_quaternion: Quat
    policy_speed: float
    control_rate_hz: float
    # Not in the text of a spec, which names caches of start states: those of hands without it stay what they were.
    palm_contact: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def palm_up(self) -> bool:
        """Whether what the hand holds lies on it, rather than under it on a table."""
        _, x, y, _ = self.mount_quaternion
        return 1.0 - 2.0 * (x * x + y * y) > 0.0

    @property
    def dof(self) -> int:
        """Number of joints."""
        return len(self.joints)

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in the order of every joint array."""
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def link_names(self) -> tuple[str, ...]:
        """Link names in the order of every link array."""
        return tuple(link.name for link in self.links)

    @cached_property
    def lower(self) -> Array:
        """Lower position limits, rad, (dof,)."""
        return np.array([joint.lower for joint in self.joints])

    @cached_property
    def upper(self) -> Array:
        """Upper position limits, rad, (dof,)."""
        return np.array([joint.upper for joint in self.joints])

    @cached_property
    def home(self) -> Array:
        """The posture to start from, rad, (dof,)."""
        return np.array([joint.home for joint in self.joints])

    @cached_property
    def velocity_limit(self) -> Array:
        """Velocity limits, rad/s, (dof,)."""
        return np.array([joint.velocity_limit for joint in self.joints])

    @cached_property
    def effort_limit(self) -> Array:
        """Torque limits, N m, (dof,)."""
        return np.array([joint.effort_limit for joint in self.joints])


def _check(spec: HandSpec) -> None:
    """Refuse a spec that contradicts itself: doubled names or ids, limits reversed, what a name means not there."""
    where = f"hand {spec.name}"
    for kind, values in (
        ("joint name", [j.name for j in spec.joints]),
        ("link name", [link.name for link in spec.links]),
        ("servo id", [str(j.servo_id) for j in spec.joints]),
    ):
        doubled = sorted({v for v in values if values.count(v) > 1})
        if doubled:
            raise InputError(f"doubled {kind}: {', '.join(doubled)}", where=where, right="each used once")
    for joint in spec.joints:
        if not joint.lower <= joint.home <= joint.upper:
            raise InputError(f"{joint.name}: home is outside its limits", where=where, right="lower <= home <= upper")
        if joint.sign not in (-1, 1):
            raise InputError(f"{joint.name}: sign is {joint.sign}", where=where, right="1 or -1")
        if abs(math.hypot(*joint.axis) - 1.0) > 1e-6:
            raise InputError(f"{joint.name}: axis {joint.axis} is no unit vector", where=where, right="length 1")
    seen: set[str] = set()
    for link in spec.links:
        if (link.parent is None) != (not seen) or (link.parent is not None and link.parent not in seen):
            raise InputError(f"{link.name}: its parent is not a link listed before it", where=where, right="base first")
        if (link.parent is None) != (link.joint is None):
            raise InputError(
                f"{link.name}: parent or joint is missing", where=where, right="both, or none for the base"
            )
        seen.add(link.name)
    for tip in spec.tips:
        if tip.link not in seen:
            raise InputError(f"{tip.name}: its link {tip.link} does not exist", where=where, right="a link of the hand")
    for name in spec.palm_contact:
        if name not in seen:
            raise InputError(f"palm_contact: no link {name}", where=where, right="links of the hand")
    moved = [link.joint for link in spec.links if link.joint is not None]
    if sorted(moved) != sorted(j.name for j in spec.joints):
        raise InputError("joints and links do not match", where=where, right="each joint turns exactly one link")
