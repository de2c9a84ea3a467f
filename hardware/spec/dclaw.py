"""The D'Claw: three fingers of three joints each, hanging palm down.

Lengths, masses and collision boxes follow the D'Claw URDF that ManiSkill ships and ROBEL's model (both Apache-2.0,
Copyright 2019 The ROBEL Authors), made symmetric about the palm's axis and reduced to primitives. Gains, velocity
and effort limits, home posture and control rate are those of Visual Dexterity (Chen et al. 2023; its released
configuration), and so is the mount but for its height. The sign of the flexion joints is ours: positive opens the
finger, so that the home posture (0, 0.8, -1.1) stands knees out and tips in. Limits: ROBEL's for abduction, the common
+-1.57 for flexion.
"""

from __future__ import annotations

import math

from knuckle.hardware.spec.hand_spec import HandSpec, Joint, Link, Primitive, Quat, Tip, Vec3

BASE_RADIUS = 0.060
BASE_HEIGHT = 0.0138
LINK_LENGTH = 0.0685
TIP_LENGTH = 0.083
TIP_RADIUS = 0.010

# Of hand_base over the table. The paper's hand, with fingertips of its own, hangs at 0.25 m; ours would end 16 mm above
# the table even with straight fingers, and could not take hold of anything flat.
MOUNT_HEIGHT = 0.22

STIFFNESS = (2.7724128689655174, 3.558619503448275, 3.558619503448275)
DAMPING = (0.273946924137931, 0.382384248275862, 0.382384248275862)
VELOCITY_LIMIT = (6.55172413793103, 7.758620689655173, 7.758620689655173)
EFFORT_LIMIT = 2.6
HOME = (0.0, 0.8, -1.1)
LIMITS = ((-0.45, 1.35), (-1.57, 1.57), (-1.57, 1.57))
# Abduction swings about the (inward) radial axis, both flexions about the tangential one; finger frame: x out, z along.
AXES: tuple[Vec3, Vec3, Vec3] = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.0))


def dclaw(fingers: int = 3) -> HandSpec:
    """The D'Claw with ``fingers`` fingers evenly spaced about the palm's axis (3 as published)."""
    joints: list[Joint] = []
    links = [Link("base_link", None, None, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), 0.237, _palm(fingers))]
    tips: list[Tip] = []
    for finger in range(1, fingers + 1):
        azimuth = _azimuth(finger, fingers)
        joints += [_joint(finger, k) for k in range(3)]
        links += _finger_links(finger, azimuth)
        pad = (0.0, 0.0, TIP_LENGTH - TIP_RADIUS)
        tips.append(Tip(f"link_f{finger}_head", f"link_f{finger}_3", pad, TIP_RADIUS))
    return HandSpec(
        name=f"dclaw{fingers}",
        joints=tuple(joints),
        links=tuple(links),
        tips=tuple(tips),
        mount_position=(0.0, 0.0, MOUNT_HEIGHT),
        mount_quaternion=(0.0, 0.0, 1.0, 0.0),
        policy_speed=3.5,
        control_rate_hz=12.0,
    )


def _azimuth(finger: int, fingers: int) -> float:
    """Direction of a finger about the base's z, rad: 150, 30 and -90 degrees for three, as in the URDF."""
    return math.radians(150.0) - 2.0 * math.pi * (finger - 1) / fingers


def _joint(finger: int, k: int) -> Joint:
    return Joint(
        name=f"joint_f{finger}_{k}",
        axis=AXES[k],
        lower=LIMITS[k][0],
        upper=LIMITS[k][1],
        home=HOME[k],
        velocity_limit=VELOCITY_LIMIT[k],
        effort_limit=EFFORT_LIMIT,
        stiffness=STIFFNESS[k],
        damping=DAMPING[k],
        servo_id=10 * finger + k,
    )


def _finger_links(finger: int, azimuth: float) -> list[Link]:
    about_z: Quat = (math.cos(azimuth / 2), 0.0, 0.0, math.sin(azimuth / 2))
    root: Vec3 = (BASE_RADIUS * math.cos(azimuth), BASE_RADIUS * math.sin(azimuth), BASE_HEIGHT)
    along: Vec3 = (0.0, 0.0, LINK_LENGTH)
    straight: Quat = (1.0, 0.0, 0.0, 0.0)
    name = f"link_f{finger}_"
    proximal = (
        Primitive("box", (0.015, 0.019, 0.029), (0.0, 0.0, 0.050)),
        Primitive("box", (0.023, 0.012, 0.015), (0.0, 0.0, 0.013)),
    )
    middle = (
        Primitive("box", (0.015, 0.018, 0.029), (0.0, 0.0, 0.050)),
        Primitive("box", (0.012, 0.023, 0.015), (0.0, 0.0, 0.013)),
    )
    half = (TIP_LENGTH - TIP_RADIUS - 0.033) / 2
    distal = (
        Primitive("capsule", (TIP_RADIUS, half), (0.0, 0.0, 0.033 + half)),
        Primitive("box", (0.012, 0.023, 0.0175), (0.0, 0.0, 0.0155)),
    )
    return [
        Link(f"{name}1", "base_link", f"joint_f{finger}_0", root, about_z, 0.0501, proximal),
        Link(f"{name}2", f"{name}1", f"joint_f{finger}_1", along, straight, 0.0501, middle),
        Link(f"{name}3", f"{name}2", f"joint_f{finger}_2", along, straight, 0.0260, distal),
    ]


def _palm(fingers: int) -> tuple[Primitive, ...]:
    """The palm disc and one servo box at each finger's root."""
    disc = Primitive("cylinder", (0.080, 0.0055), (0.0, 0.0, -0.0035))
    boxes = []
    for finger in range(1, fingers + 1):
        a = _azimuth(finger, fingers)
        place = (0.059 * math.cos(a), 0.059 * math.sin(a), 0.013)
        boxes.append(Primitive("box", (0.020, 0.025, 0.013), place, (math.cos(a / 2), 0.0, 0.0, math.sin(a / 2))))
    return (disc, *boxes)
