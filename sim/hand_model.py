"""The hand in MuJoCo, built in code from its HandSpec: bodies, collision, servos, fingertip sites and sensors.

Each servo is a position actuator with the identified stiffness and damping and the effort limit. A share of the damping
is passive, so that a released hand sinks as a geared servo does; the two shares add up to the identified value. The
velocity limit is hard (the joint rate is cut, as in the engine the gains were identified with): `cut_joint_rates`.
Every geometry carries its finger's bit: a finger meets the object, the table and the other fingers, never itself; those
of its links that the hand names meet the palm too.
"""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array, HandSpec, Link, Primitive
from knuckle.sim.engine import mujoco

TABLE_BIT = 1
OBJECT_BIT = 2
PALM_BIT = 4
FIRST_FINGER_BIT = 8

PASSIVE_DAMPING_SHARE = 0.2
# Reflected rotor inertia, kg m^2: keeps light links well conditioned against stiff contacts at 1/60 s.
ARMATURE = 1e-3
LINK_FRICTION = (0.5, 0.005, 1e-4)
TIP_FRICTION = (1.0, 0.01, 1e-4)
LINK_COLOUR = (0.23, 0.25, 0.29, 1.0)
TIP_COLOUR = (0.93, 0.93, 0.90, 1.0)

GEOM_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}


def add_hand(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    """Add ``hand`` at its mount to ``spec``. Bodies, joints, actuators and tip sites carry the HandSpec's names.

    One frame-position sensor ``<tip name>`` a fingertip: its centre in the world, m.
    """
    spec.compiler.degree = False
    bodies: dict[str, mujoco.MjsBody] = {}
    fingers = _finger_of(hand)
    for link in hand.links:
        if link.parent is None:
            body = spec.worldbody.add_body(name=link.name, pos=hand.mount_position, quat=hand.mount_quaternion)
        else:
            body = bodies[link.parent].add_body(name=link.name, pos=link.position, quat=link.quaternion)
        bodies[link.name] = body
        _add_geoms(body, hand, link, fingers[link.name], len(set(fingers.values())) - 1)
        if link.joint is not None:
            _add_servo(spec, body, hand, link.joint)
    for tip in hand.tips:
        bodies[tip.link].add_site(name=tip.name, pos=tip.position, size=[0.5 * tip.radius] * 3, group=4)
    for tip in hand.tips:
        spec.add_sensor(
            name=tip.name, type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=tip.name
        )


def cut_joint_rates(rates: Array, hand: HandSpec) -> None:
    """Cut joint rates (dof,) in place to the servos' velocity limits: what the execution world does after each step.

    The planner leaves it out: under the action map no joint reaches its limit by its servo.
    """
    np.clip(rates, -hand.velocity_limit, hand.velocity_limit, out=rates)


def padded_size(primitive: Primitive) -> list[float]:
    """The primitive's size in the three numbers that MuJoCo wants."""
    return [*primitive.size, 0.0, 0.0][:3]


def _finger_of(hand: HandSpec) -> dict[str, int]:
    """The number, from 0, of the finger each link belongs to; -1 for the palm."""
    finger: dict[str, int] = {}
    count = 0
    for link in hand.links:
        if link.parent is None:
            finger[link.name] = -1
        elif finger[link.parent] < 0:
            finger[link.name], count = count, count + 1
        else:
            finger[link.name] = finger[link.parent]
    return finger


def _add_geoms(body: mujoco.MjsBody, hand: HandSpec, link: Link, finger: int, fingers: int) -> None:
    tip_of = {tip.link: tip for tip in hand.tips}
    total = sum(p.volume for p in link.primitives)
    for k, primitive in enumerate(link.primitives):
        pad = link.name in tip_of and primitive.kind in ("capsule", "sphere")
        body.add_geom(
            name=f"{link.name}_{k}",
            type=GEOM_TYPES[primitive.kind],
            size=padded_size(primitive),
            pos=primitive.position,
            quat=primitive.quaternion,
            mass=link.mass * primitive.volume / total,
            friction=TIP_FRICTION if pad else LINK_FRICTION,
            condim=4 if pad else 3,
            rgba=TIP_COLOUR if pad else LINK_COLOUR,
            contype=PALM_BIT if finger < 0 else FIRST_FINGER_BIT << finger,
            conaffinity=_affinity(finger, fingers) | (PALM_BIT if link.name in hand.palm_contact else 0),
        )


def _affinity(finger: int, fingers: int) -> int:
    """What a finger's geometry collides with; the palm (-1) meets the object, and what meets the palm."""
    if finger < 0:
        return OBJECT_BIT
    others = sum(FIRST_FINGER_BIT << k for k in range(fingers) if k != finger)
    return TABLE_BIT | OBJECT_BIT | others


def _add_servo(spec: mujoco.MjSpec, body: mujoco.MjsBody, hand: HandSpec, name: str) -> None:
    joint = hand.joints[hand.joint_names.index(name)]
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=joint.axis,
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        range=[joint.lower, joint.upper],
        damping=[PASSIVE_DAMPING_SHARE * joint.damping, 0.0, 0.0],
        armature=ARMATURE,
    )
    servo = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
    servo.set_to_position(kp=joint.stiffness, kv=(1.0 - PASSIVE_DAMPING_SHARE) * joint.damping)
    servo.ctrllimited = mujoco.mjtLimited.mjLIMITED_TRUE
    servo.ctrlrange = [joint.lower, joint.upper]
    servo.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
    servo.forcerange = [-joint.effort_limit, joint.effort_limit]
