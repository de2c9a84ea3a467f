"""The LEAP hand (right): sixteen joints, index, middle and ring finger and a thumb of four each.

Joint frames, limits and link masses follow the LEAP hand's MJCF of MuJoCo Playground (Apache-2.0) and MuJoCo Menagerie
(MIT), and are checked against it; collision primitives are ours, rounded to boxes and one capsule a fingertip. Where
the MJCF and the hand's own URDF (LEAP_Hand_Sim, MIT) differ in a limit (th_axl, th_mcp) the narrower one holds. Servo
ids, zero (the servo at 180 degrees) and the weaker side joints (0.75 of the gains on ids 0, 4 and 8) are those the hand
is wired and driven with. Names are Menagerie's: if, mf, rf, th; the joints of a finger in the order of its links, in
which the servo of the side joint (rot, the lower id) comes second.

hand_base lies on the palm, below where an object rests: x along the straight fingers, z out of the palm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from knuckle.hardware.spec.hand_spec import HandSpec, Joint, Link, Primitive, Quat, Tip, Vec3

# Where hand_base lies in the MJCF's palm frame (x along the fingers, z into the back of the hand), turned about x.
ORIGIN: Vec3 = (-0.025, -0.0378, -0.0345)
AXIS: Vec3 = (0.0, 0.0, -1.0)
TIP_RADIUS = 0.012

# The stiffness and damping of the Playground's model, which agree with the servo's law at the gains of its driver:
# kP 600 turns the full voltage, 0.9 N m, on at 0.29 rad. Its torque limit is that of 600 mA, a little above the caps
# the hand is driven with (350 mA with its small servos, 550 mA with its large ones). Velocity: the URDF's.
STIFFNESS = 3.0
DAMPING = 0.2
SIDE_SHARE = 0.75
EFFORT_LIMIT = 0.2196
VELOCITY_LIMIT = 8.48

# Palm up: 20 degrees down towards the fingers, so that what lies on the palm leans on them, and so high that an object
# that falls off falls further than the 0.15 m at which it counts as dropped.
UP_HEIGHT = 0.24
UP_TILT = math.radians(20.0)
DOWN_HEIGHT = 0.17


@dataclass(frozen=True)
class _Turn:
    """One joint and the link it moves: names, limits and home in rad, the link's frame in its parent's, mass in kg."""

    joint: str
    link: str
    limits: tuple[float, float]
    home: float
    servo: int
    position: Vec3
    quaternion: Quat
    mass: float
    primitives: tuple[Primitive, ...]


HALF: float = math.sqrt(0.5)
_KNUCKLES: dict[str, Vec3] = {
    "if": (-0.0070, 0.0230, -0.0187),
    "mf": (-0.0071, -0.0224, -0.0187),
    "rf": (-0.0071, -0.0678, -0.0187),
}
_THUMB_ROOT: Vec3 = (-0.0693, -0.0012, -0.0216)


def leap(palm: Literal["up", "down"] = "up") -> HandSpec:
    """The LEAP hand, its palm ``up`` with the object lying in it, or ``down`` over the table."""
    links = [Link("palm", None, None, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), 0.237, _palm())]
    joints: list[Joint] = []
    tips: list[Tip] = []
    for number, finger in enumerate(("if", "mf", "rf", "th")):
        parent = "palm"
        turns = _thumb() if finger == "th" else _finger(finger, 4 * number)
        for turn in turns:
            links.append(
                Link(turn.link, parent, turn.joint, turn.position, turn.quaternion, turn.mass, turn.primitives)
            )
            joints.append(_joint(turn))
            parent = turn.link
        tips.append(
            Tip(f"{finger}_tip", parent, (0.0, -0.048, -0.015) if finger == "th" else (0.0, -0.038, 0.015), TIP_RADIUS)
        )
    up = palm == "up"
    return HandSpec(
        name="leap" if up else "leap_down",
        joints=tuple(joints),
        links=tuple(links),
        tips=tuple(tips),
        mount_position=(0.0, 0.0, UP_HEIGHT if up else DOWN_HEIGHT),
        mount_quaternion=(math.cos(UP_TILT / 2), 0.0, math.sin(UP_TILT / 2), 0.0) if up else (0.0, 0.0, 1.0, 0.0),
        policy_speed=3.5,
        control_rate_hz=12.0,
        palm_contact=tuple(tip.link for tip in tips),
    )


def _joint(turn: _Turn) -> Joint:
    share = SIDE_SHARE if turn.joint.endswith("_rot") else 1.0
    return Joint(
        name=turn.joint,
        axis=AXIS,
        lower=turn.limits[0],
        upper=turn.limits[1],
        home=turn.home,
        velocity_limit=VELOCITY_LIMIT,
        effort_limit=EFFORT_LIMIT,
        stiffness=share * STIFFNESS,
        damping=share * DAMPING,
        servo_id=turn.servo,
        # The servo at 180 degrees, the middle of its turn, from which a HandSpec counts.
        servo_offset=0.0,
    )


def _from_palm(position: Vec3, quaternion: Quat) -> tuple[Vec3, Quat]:
    """A pose in the MJCF's palm frame as one in hand_base: moved to its origin, and half a turn about x."""
    x, y, z = (a - b for a, b in zip(position, ORIGIN, strict=True))
    w, i, j, k = quaternion
    return (x, -y, -z), (-i, w, -k, j)


def _finger(name: str, first_servo: int) -> list[_Turn]:
    """Index, middle or ring finger: knuckle, sideways, middle and last joint."""
    root, turned = _from_palm(_KNUCKLES[name], (0.5, 0.5, 0.5, -0.5))
    knuckle = (
        Primitive("box", (0.010, 0.010, 0.016), (0.0, 0.011, 0.0147)),
        Primitive("box", (0.014, 0.020, 0.010), (-0.027, 0.042, 0.0147)),
    )
    servo = (Primitive("box", (0.017, 0.013, 0.011), (0.0075, 0.0, -0.011)),)
    middle = (
        Primitive("box", (0.009, 0.010, 0.015), (0.0, -0.012, 0.015)),
        Primitive("box", (0.017, 0.011, 0.013), (0.0075, -0.035, 0.015)),
    )
    last = (
        Primitive("capsule", (TIP_RADIUS, 0.009), (0.0, -0.029, 0.015), (HALF, HALF, 0.0, 0.0)),
        Primitive("box", (0.009, 0.010, 0.015), (0.0, -0.010, 0.015)),
    )
    side, forward = first_servo, first_servo + 1
    across: Quat = (0.5, -0.5, -0.5, 0.5)
    back: Quat = (0.5, 0.5, -0.5, 0.5)
    straight: Quat = (1.0, 0.0, 0.0, 0.0)
    return [
        _Turn(f"{name}_mcp", f"{name}_bs", (-0.314, 2.230), 0.7, forward, root, turned, 0.044, knuckle),
        _Turn(f"{name}_rot", f"{name}_px", (-1.047, 1.047), 0.0, side, (-0.0122, 0.0381, 0.0145), across, 0.032, servo),
        _Turn(
            f"{name}_pip",
            f"{name}_md",
            (-0.506, 1.885),
            0.7,
            first_servo + 2,
            (0.015, 0.0143, -0.013),
            back,
            0.037,
            middle,
        ),
        _Turn(
            f"{name}_dip",
            f"{name}_ds",
            (-0.366, 2.042),
            0.4,
            first_servo + 3,
            (0.0, -0.0361, 0.0002),
            straight,
            0.016,
            last,
        ),
    ]


def _thumb() -> list[_Turn]:
    root, turned = _from_palm(_THUMB_ROOT, (HALF, 0.0, HALF, 0.0))
    servo = (Primitive("box", (0.017, 0.013, 0.011), (-0.0075, 0.0, -0.011)),)
    bracket = (Primitive("box", (0.008, 0.006, 0.010), (0.0, 0.006, -0.010)),)
    middle = (Primitive("box", (0.010, 0.020, 0.012), (0.0, 0.0150, -0.014)),)
    last = (
        Primitive("capsule", (TIP_RADIUS, 0.010), (0.0, -0.038, -0.015), (HALF, HALF, 0.0, 0.0)),
        Primitive("box", (0.010, 0.020, 0.012), (0.0, -0.0100, -0.015)),
    )
    back: Quat = (0.5, 0.5, -0.5, 0.5)
    return [
        _Turn("th_cmc", "th_mp", (-0.349, 2.094), 0.6, 12, root, turned, 0.032, servo),
        _Turn("th_axl", "th_bs", (-0.349, 2.094), 0.5, 13, (0.0, 0.0143, -0.013), back, 0.003, bracket),
        _Turn(
            "th_mcp", "th_px", (-0.470, 1.900), 0.5, 14, (0.0, 0.0145, -0.017), (HALF, -HALF, 0.0, 0.0), 0.038, middle
        ),
        _Turn("th_ipl", "th_ds", (-1.340, 1.880), 0.3, 15, (0.0, 0.0466, 0.0002), (0.0, 0.0, 0.0, 1.0), 0.049, last),
    ]


def _palm() -> tuple[Primitive, ...]:
    """Three knuckle servos, the plate that carries them, and the body behind it with the servo of the thumb."""
    boxes: list[tuple[Vec3, Vec3, Quat]] = [
        ((0.011, 0.013, 0.017), (-0.009, y, -0.011), (1.0, 0.0, 0.0, 0.0)) for y in (0.008, -0.037, -0.082)
    ]
    boxes += [
        ((0.010, 0.060, 0.015), (-0.030, -0.035, -0.003), (1.0, 0.0, 0.0, 0.0)),
        ((0.012, 0.058, 0.023), (-0.048, -0.033, -0.0115), (1.0, 0.0, 0.0, 0.0)),
        ((0.022, 0.026, 0.023), (-0.078, -0.053, -0.0115), (1.0, 0.0, 0.0, 0.0)),
        ((0.022, 0.028, 0.002), (-0.078, -0.003, 0.010), (1.0, 0.0, 0.0, 0.0)),
    ]
    placed = [(size, *_from_palm(position, quaternion)) for size, position, quaternion in boxes]
    return tuple(Primitive("box", size, position, quaternion) for size, position, quaternion in placed)
