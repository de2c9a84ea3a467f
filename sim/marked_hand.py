"""A hand with a printed plate on a fingertip, alone, as a depth camera and the colour camera beside it see it.

What a camera's calibration is rehearsed with. Nothing moves by itself: the joint angles are an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.contracts import Extrinsics, Intrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.sim.depth_egl import EglRenderer
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import add_hand
from knuckle.sim.objects import object_shape
from knuckle.sim.scene import DEPTH_CAMERA, Scene, vertical_fov_deg

EYE = "eye"
THICKNESS_M = 0.001
EDGE_SAMPLES = 4


@dataclass(frozen=True)
class Plate:
    """A square plate on ``link``: what is printed on it (n, n), grey, ``side`` m, its middle and its orientation there.

    On the plate x is right, y up, z out of it, as it is read.
    """

    link: str
    image: NDArray[np.uint8]
    side: float
    position: Array
    quaternion: Array


@dataclass(frozen=True)
class Eye:
    """A camera: its optical frame's pose in hand_base, and its pinhole."""

    place: Extrinsics
    pinhole: Intrinsics


class MarkedHand:
    """``hand`` with ``plate``, drawn by OpenGL as ``depth`` and ``colour`` see it. DeviceError without EGL."""

    def __init__(self, hand: HandSpec, plate: Plate, *, depth: Eye, colour: Eye) -> None:
        spec = mujoco.MjSpec()
        spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.55] * 3, [0.35] * 3
        spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
        spec.visual.global_.offwidth = max(depth.pinhole.width, colour.pinhole.width)
        spec.visual.global_.offheight = max(depth.pinhole.height, colour.pinhole.height)
        spec.stat.extent = 0.6
        add_hand(spec, hand)
        _add_plate(spec, plate)
        for name, eye in ((DEPTH_CAMERA, depth), (EYE, colour)):
            _add_eye(spec.body(hand.links[0].name), name, eye)
        # A scene has an object, if only by name.
        self._scene = Scene(spec.compile(), hand, object_shape("duck"))
        self._depth = EglRenderer(depth.pinhole)
        self._colour = EglRenderer(colour.pinhole, EDGE_SAMPLES)

    def depth(self, q: Array) -> NDArray[np.float32]:
        """Distance along the optical axis in m (height, width) at joint angles ``q`` (dof,)."""
        return self._depth.depth(self._scene, self._state(q))

    def colour(self, q: Array) -> NDArray[np.uint8]:
        """Red green blue (height, width, 3) at joint angles ``q`` (dof,)."""
        return self._colour.colour(self._scene, self._state(q), EYE)

    def close(self) -> None:
        """Free the renderers."""
        self._depth.close()
        self._colour.close()

    def _state(self, q: Array) -> Array:
        state = np.zeros(self._scene.nstate)
        state[1 : 1 + self._scene.model.nq][self._scene.joint_q] = q
        return state


def _add_eye(body: Any, name: str, eye: Eye) -> None:
    """A camera on ``body``. MuJoCo looks along -z with y up."""
    turned = rotations.multiply(np.array(eye.place.quaternion), np.array([0.0, 1.0, 0.0, 0.0]))
    body.add_camera(name=name, pos=eye.place.position, quat=turned, fovy=vertical_fov_deg(eye.pinhole))


def _add_plate(spec: mujoco.MjSpec, plate: Plate) -> None:
    """A thin box that meets nothing, weighs nothing and shows the image on its front."""
    texture: Any = spec.add_texture(name="printed", type=mujoco.mjtTexture.mjTEXTURE_2D)
    texture.height, texture.width, texture.nchannel = *plate.image.shape, 3
    texture.data = np.repeat(plate.image[..., None], 3, axis=2).tobytes()
    material: Any = spec.add_material(name="printed", emission=0.3, specular=0.0, shininess=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "printed"
    half = 0.5 * plate.side
    front = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
    vertices = np.concatenate([front, front - [0.0, 0.0, THICKNESS_M]])
    faces = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4]]
    faces += [[1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]] + [[0, 0]] * 4, dtype=float)
    mesh: Any = spec.add_mesh(name="plate", uservert=vertices.ravel(), userface=np.ravel(faces))
    mesh.usertexcoord = uv.ravel()
    geom: Any = spec.body(plate.link).add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="plate", material="printed")
    geom.contype = geom.conaffinity = 0
    geom.mass = 0.0
    geom.pos, geom.quat = plate.position, plate.quaternion
