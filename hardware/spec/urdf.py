"""A hand or an object as URDF, for viewers and planners that want one: links, primitives, joints, limits, inertia."""

from __future__ import annotations

import math
from xml.etree import ElementTree as Xml

import numpy as np

from knuckle.core import rotations
from knuckle.hardware.spec.hand_spec import Array, HandSpec, Joint, Link, Primitive
from knuckle.hardware.spec.object_shape import ObjectShape


def urdf(spec: HandSpec) -> str:
    """URDF of ``spec``; its root link is ``hand_base``. URDF has no capsule: it becomes a cylinder and two spheres.

    Masses are the spec's, spread evenly over each link's primitives.
    """
    robot = Xml.Element("robot", name=spec.name)
    names = {link.name: link.name for link in spec.links} | {spec.links[0].name: "hand_base"}
    joints = {joint.name: joint for joint in spec.joints}
    for link in spec.links:
        robot.append(_link(link, names[link.name]))
        if link.parent is not None and link.joint is not None:
            robot.append(_joint(joints[link.joint], link, names[link.parent], names[link.name]))
    return _written(robot)


def object_urdf(thing: ObjectShape) -> str:
    """URDF of ``thing``: one free link, ``object``, whose frame is the object's; mass and capsules as in `urdf`."""
    robot = Xml.Element("robot", name=thing.name)
    material = Xml.SubElement(robot, "material", name="paint")
    Xml.SubElement(material, "color", rgba=_text([*thing.colour, 1.0]))
    body = Link("object", None, None, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), thing.mass, thing.primitives)
    link = _link(body, body.name)
    for visual in link.findall("visual"):
        Xml.SubElement(visual, "material", name="paint")
    robot.append(link)
    return _written(robot)


def _written(robot: Xml.Element) -> str:
    Xml.indent(robot)
    return Xml.tostring(robot, encoding="unicode")


def _link(link: Link, name: str) -> Xml.Element:
    element = Xml.Element("link", name=name)
    centre, inertia = _inertia(link)
    inertial = Xml.SubElement(element, "inertial")
    Xml.SubElement(inertial, "origin", xyz=_text(centre), rpy="0 0 0")
    Xml.SubElement(inertial, "mass", value=f"{link.mass:.9g}")
    values = {f"i{'xyz'[i]}{'xyz'[j]}": f"{inertia[i, j]:.9g}" for i in range(3) for j in range(i, 3)}
    Xml.SubElement(inertial, "inertia", values)
    for primitive in link.primitives:
        for part in _parts(primitive):
            for kind in ("visual", "collision"):
                element.append(_solid(kind, part))
    return element


def _joint(joint: Joint, link: Link, parent: str, child: str) -> Xml.Element:
    element = Xml.Element("joint", name=joint.name, type="revolute")
    element.append(_origin(np.array(link.position), np.array(link.quaternion)))
    Xml.SubElement(element, "parent", link=parent)
    Xml.SubElement(element, "child", link=child)
    Xml.SubElement(element, "axis", xyz=_text(joint.axis))
    bounds = {"lower": joint.lower, "upper": joint.upper}
    bounds |= {"effort": joint.effort_limit, "velocity": joint.velocity_limit}
    Xml.SubElement(element, "limit", {key: f"{value:.9g}" for key, value in bounds.items()})
    return element


def _solid(kind: str, primitive: Primitive) -> Xml.Element:
    element = Xml.Element(kind)
    element.append(_origin(np.array(primitive.position), np.array(primitive.quaternion)))
    geometry = Xml.SubElement(element, "geometry")
    size = primitive.size
    if primitive.kind == "box":
        Xml.SubElement(geometry, "box", size=_text([2.0 * half for half in size]))
    elif primitive.kind == "cylinder":
        Xml.SubElement(geometry, "cylinder", radius=f"{size[0]:.9g}", length=f"{2.0 * size[1]:.9g}")
    else:
        Xml.SubElement(geometry, "sphere", radius=f"{size[0]:.9g}")
    return element


def _parts(primitive: Primitive) -> list[Primitive]:
    """The primitive in solids that URDF has."""
    if primitive.kind != "capsule":
        return [primitive]
    radius, half = primitive.size
    centre, q = np.array(primitive.position), np.array(primitive.quaternion)
    ends = [centre + sign * rotations.rotate(q, np.array([0.0, 0.0, half])) for sign in (-1.0, 1.0)]
    caps = [Primitive("sphere", (radius,), (float(e[0]), float(e[1]), float(e[2]))) for e in ends]
    return [Primitive("cylinder", primitive.size, primitive.position, primitive.quaternion), *caps]


def _inertia(link: Link) -> tuple[Array, Array]:
    """Centre of mass (3,) and inertia (3, 3) about it, in the link's axes, of evenly spread mass."""
    volumes = np.array([primitive.volume for primitive in link.primitives])
    masses = link.mass * volumes / volumes.sum()
    places = np.array([primitive.position for primitive in link.primitives])
    centre = masses @ places / link.mass
    total = np.zeros((3, 3))
    for mass, place, primitive in zip(masses, places, link.primitives, strict=True):
        turn, arm = rotations.to_matrix(np.array(primitive.quaternion)), place - centre
        total += turn @ np.diag(mass * _unit_inertia(primitive)) @ turn.T
        total += mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return centre, total


def _unit_inertia(primitive: Primitive) -> Array:
    """Principal moments of one kilogram, m^2."""
    if primitive.kind == "box":
        a, b, c = (half**2 for half in primitive.size)
        return np.array([b + c, a + c, a + b]) / 3.0
    r = primitive.size[0]
    if primitive.kind == "sphere":
        return np.full(3, 0.4 * r**2)
    half = primitive.size[1]
    shaft = np.array([r**2 / 4.0 + half**2 / 3.0, r**2 / 4.0 + half**2 / 3.0, r**2 / 2.0])
    if primitive.kind == "cylinder":
        return shaft
    # A capsule's caps are the halves of one ball, moved apart by the shaft: their centres lie 3 r / 8 beyond its ends.
    across = 0.4 * r**2 + half**2 + 0.75 * half * r
    share = 4.0 * r / (4.0 * r + 6.0 * half)
    return np.asarray((1.0 - share) * shaft + share * np.array([across, across, 0.4 * r**2]))


def _origin(position: Array, quaternion: Array) -> Xml.Element:
    """URDF's origin: roll, pitch and yaw about fixed axes."""
    m = rotations.to_matrix(quaternion)
    pitch = math.asin(max(-1.0, min(1.0, -float(m[2, 0]))))
    if abs(m[2, 0]) < 1.0 - 1e-9:
        roll, yaw = math.atan2(m[2, 1], m[2, 2]), math.atan2(m[1, 0], m[0, 0])
    else:
        # Roll and yaw turn about the same axis there: all of it is given to yaw.
        roll, yaw = 0.0, math.atan2(-m[0, 1], m[1, 1])
    return Xml.Element("origin", xyz=_text(position), rpy=_text([roll, pitch, yaw]))


def _text(values: Array | tuple[float, ...] | list[float]) -> str:
    return " ".join(f"{float(value):.12g}" for value in values)
