"""The scene: table (top at z = 0, or taken away), hand at its mount, one object; and the layout of its states.

Three settings of one model: execution (1/120 s) is what happens, the planner's (1/60 s, 10 solver iterations) is what a
planner can afford, and the coarse one has softer friction and a looser solver than that. All objects give one size
signature for one hand, so that their models can be mixed in a batch: `mujoco.rollout` would read wild memory otherwise.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core import rotations
from knuckle.core.errors import RunError
from knuckle.hardware.spec.contracts import Intrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.mounts import camera_extrinsics, pinhole, workplace_height
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import GEOM_TYPES, OBJECT_BIT, TABLE_BIT, add_hand, padded_size
from knuckle.sim.objects import PARTS, object_shape

EXECUTION_DT_S = 1.0 / 120.0
PLANNER_DT_S = 1.0 / 60.0
IMPRATIO = 10.0
COARSE_IMPRATIO = 1.0
"""Of the coarse setting, MuJoCo's own default: what is gripped creeps, and a physics step costs two thirds. Half a
second of postures ends 0.04 rad from where the planner's ends, in the median
(docs/experiments/2026-11-27-chunks.md)."""
COARSE_TOLERANCE = 1e-4
"""Of the coarse setting, for MuJoCo's 1e-8: a Newton iteration less, 7% of a step."""
OBJECT_BODY = "object"
OBJECT_JOINT = "object"
TABLE_GEOM = "table"
TABLE_CONTACT = "table_contact"
DEPTH_CAMERA = "depth"
VIDEO_CAMERA = "video"
STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS.value

# A bit that nothing answers: a geometry without any bit would be left out of the bounding volumes and their number.
GRAIN_BIT = 1 << 20
# How the contact sensor sums up several contacts: their net force, in the world frame (mjModel's documentation).
NET_FORCE = 3
TABLE_HALF_SIDE = 0.45
# Where a removed table goes: out of every camera's sight.
TABLE_AWAY_M = -10.0
TABLE_FRICTION = (0.5, 0.005, 1e-4)
# Sliding, twisting and rolling. Round parts resist rolling a little, or a truck would roll off on its wheels.
OBJECT_FRICTION = (0.5, 0.005, 2e-3)


@dataclass(frozen=True)
class Scene:
    """A compiled scene. States are MuJoCo's full-physics vectors (..., nstate): time, positions, velocities.

    Frame of all poses and velocities: ``world``. Quaternions w x y z. Arrays carry any leading axes.
    """

    model: mujoco.MjModel
    hand: HandSpec
    thing: ObjectShape

    @property
    def nstate(self) -> int:
        """Length of a state vector."""
        return 1 + int(self.model.nq + self.model.nv)

    @property
    def dt_s(self) -> float:
        """The physics step, s."""
        return float(self.model.opt.timestep)

    @cached_property
    def joint_q(self) -> slice:
        """Where the hand's joint angles lie in ``qpos``, in the HandSpec's order."""
        return _block(self.model.jnt_qposadr, self._joint_ids)

    @cached_property
    def joint_v(self) -> slice:
        """Where the hand's joint rates lie in ``qvel``."""
        return _block(self.model.jnt_dofadr, self._joint_ids)

    @cached_property
    def object_q(self) -> slice:
        """Where the object's position and quaternion (7 numbers) lie in ``qpos``."""
        start = int(self.model.jnt_qposadr[self.model.joint(OBJECT_JOINT).id])
        return slice(start, start + 7)

    @cached_property
    def object_v(self) -> slice:
        """Where the object's 6 velocities lie in ``qvel``: linear in world, then angular in the object's frame."""
        start = int(self.model.jnt_dofadr[self.model.joint(OBJECT_JOINT).id])
        return slice(start, start + 6)

    def new_data(self) -> mujoco.MjData:
        """A simulation state: hand at home with its targets there, object at the origin of its joint."""
        data = mujoco.MjData(self.model)
        data.qpos[self.joint_q] = self.hand.home
        data.ctrl[:] = self.hand.home
        return data

    def physics_state(
        self,
        q: ArrayLike,
        dq: ArrayLike,
        position: ArrayLike,
        quaternion: ArrayLike,
        velocity: ArrayLike,
        spin: ArrayLike,
    ) -> Array:
        """The state vector (nstate,) of joints ``q`` ``dq`` (dof,) and the object's pose, velocity and spin (world)."""
        state = np.zeros(self.nstate)
        qpos, qvel = state[1 : 1 + self.model.nq], state[1 + self.model.nq :]
        qpos[self.joint_q], qvel[self.joint_v] = q, dq
        qpos[self.object_q] = np.concatenate([np.asarray(position), np.asarray(quaternion)])
        local = rotations.rotate(rotations.conjugate(quaternion), spin)
        qvel[self.object_v] = np.concatenate([np.asarray(velocity), local])
        return state

    def state_of(self, data: mujoco.MjData) -> Array:
        """The state vector (nstate,) of ``data``."""
        state = np.empty(self.nstate)
        mujoco.mj_getState(self.model, data, state, STATE)
        return state

    def write_state(self, data: mujoco.MjData, state: Array) -> None:
        """Put ``state`` (nstate,) into ``data`` and compute what follows from it (poses, contacts, sensors)."""
        mujoco.mj_setState(self.model, data, state, STATE)
        mujoco.mj_forward(self.model, data)

    def joints_of(self, states: Array) -> Array:
        """Joint angles (..., dof), rad."""
        return np.asarray(states[..., 1 : 1 + self.model.nq][..., self.joint_q])

    def joint_rates_of(self, states: Array) -> Array:
        """Joint rates (..., dof), rad/s."""
        return np.asarray(states[..., 1 + self.model.nq :][..., self.joint_v])

    def object_pose_of(self, states: Array) -> tuple[Array, Array]:
        """The object's centre of mass (..., 3) in m and its quaternion (..., 4)."""
        pose = states[..., 1 : 1 + self.model.nq][..., self.object_q]
        return np.asarray(pose[..., :3]), np.asarray(pose[..., 3:])

    def object_twist_of(self, states: Array) -> tuple[Array, Array]:
        """The object's velocity (..., 3) in m/s and spin (..., 3) in rad/s, both along the world's axes."""
        twist = states[..., 1 + self.model.nq :][..., self.object_v]
        quaternion = self.object_pose_of(states)[1]
        return np.asarray(twist[..., :3]), rotations.rotate(quaternion, twist[..., 3:])

    def tips_of(self, sensors: Array) -> Array:
        """Fingertip centres (..., tips, 3) in m, world, of sensor vectors (..., nsensordata).

        Sensors that a step returns were read at its beginning: they lag the state by one physics step.
        """
        tips = sensors[..., : 3 * len(self.hand.tips)]
        return np.asarray(tips.reshape(*sensors.shape[:-1], len(self.hand.tips), 3))

    def table_force_of(self, sensors: Array) -> Array:
        """The net force (...) in N of the table on the object, of sensor vectors; they lag as in `tips_of`."""
        start = int(self.model.sensor(TABLE_CONTACT).adr[0])
        return np.asarray(np.linalg.norm(sensors[..., start : start + 3], axis=-1))

    @cached_property
    def _joint_ids(self) -> list[int]:
        return [int(self.model.joint(name).id) for name in self.hand.joint_names]


def execution_scene(hand: HandSpec, object_name: str) -> Scene:
    """The scene that is executed: 1/120 s. InputError for an object that is not known."""
    return build_scene(hand, object_shape(object_name), EXECUTION_DT_S, iterations=50)


def planner_scene(hand: HandSpec, object_name: str, dt_s: float = PLANNER_DT_S) -> Scene:
    """The scene that planners roll out: 1/60 s, 10 solver iterations. InputError for an object that is not known."""
    return build_scene(hand, object_shape(object_name), dt_s, iterations=10)


def coarse_scene(hand: HandSpec, object_name: str, dt_s: float = PLANNER_DT_S) -> Scene:
    """The planner's scene with softer friction and a looser solver, for what simulates much.

    InputError for an object that is not known.
    """
    scene = build_scene(hand, object_shape(object_name), dt_s, iterations=10)
    option = scene.model.opt
    option.impratio, option.tolerance = COARSE_IMPRATIO, COARSE_TOLERANCE
    # A finger has too few shapes for its bounding volumes to pay: 3% of a step, and the same contacts without.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE.value
    return scene


def build_scene(hand: HandSpec, thing: ObjectShape, dt_s: float, iterations: int) -> Scene:
    """Compile table, ``hand`` and ``thing`` with the physics step ``dt_s``."""
    spec = mujoco.MjSpec()
    option = spec.option
    option.timestep, option.iterations, option.ls_iterations = dt_s, iterations, 20
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Soft friction creeps under load: with the defaults what is gripped slides off by centimetres a second.
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, IMPRATIO
    # Dense: the model is small, and 4.0.0 factorises sparse constraint Jacobians wrongly (mended in 4.0.1).
    option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    # A shadow map of MuJoCo's own 4096 squared costs more than the picture where no GPU draws it.
    spec.visual.quality.shadowsize = 1024
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.45] * 3, [0.45] * 3
    _add_table(spec)
    add_hand(spec, hand)
    _add_object(spec, thing)
    _add_table_sensor(spec)
    _add_cameras(spec, hand, vertical_fov_deg(pinhole()))
    spec.stat.extent, spec.stat.center = 0.6, [0.0, 0.0, 0.1]
    return Scene(spec.compile(), hand, thing)


def set_table(model: mujoco.MjModel, present: bool) -> None:
    """Put the table under the hand, or take it away: it then touches nothing and no camera sees it.

    Sizes stay, so that a batch may mix models with and without it. Whoever draws must be told of the change: a renderer
    keeps a copy of the model.
    """
    table = model.geom(TABLE_GEOM)
    table.contype, table.conaffinity = (TABLE_BIT, OBJECT_BIT) if present else (GRAIN_BIT, 0)
    table.pos[2] = 0.0 if present else TABLE_AWAY_M
    # Compiled at the world's origin, the table would be drawn there without a look at its position.
    model.geom_sameframe[table.id] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE.value


def without_table(scene: Scene) -> Scene:
    """A copy of ``scene`` whose table is gone."""
    model = copy(scene.model)
    set_table(model, False)
    return Scene(model, scene.hand, scene.thing)


def vertical_fov_deg(intrinsics: Intrinsics) -> float:
    """The vertical field of view in degrees of a pinhole whose principal point is the image's centre."""
    return 2.0 * math.degrees(math.atan(0.5 * intrinsics.height / intrinsics.fy))


def size_signature(scene: Scene) -> dict[str, int]:
    """Every size of the compiled model: all must agree between models stepped in one batch."""
    sizes = {name: getattr(scene.model, name) for name in dir(scene.model) if name.startswith("n")}
    return {name: int(size) for name, size in sizes.items() if isinstance(size, (int, np.integer))}


def require_one_signature(scenes: list[Scene]) -> None:
    """RunError where models meant for one batch differ in size."""
    signatures = [size_signature(scene) for scene in scenes]
    for scene, signature in zip(scenes, signatures, strict=True):
        odd = sorted(name for name in signature if signature[name] != signatures[0][name])
        if odd:
            pair = f"the models of {scenes[0].thing.name} and {scene.thing.name} differ in {', '.join(odd)}"
            raise RunError(pair, where="scene", right="one size signature a batch")


def _add_table(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.78, 0.82, 0.88],
        rgb2=[0.30, 0.34, 0.40],
        width=16,
        height=96,
    )
    spec.worldbody.add_light(pos=[0.3, -0.3, 1.2], dir=[-0.25, 0.25, -1.0], castshadow=True)
    spec.worldbody.add_geom(
        name=TABLE_GEOM,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[TABLE_HALF_SIDE, TABLE_HALF_SIDE, 0.01],
        friction=TABLE_FRICTION,
        rgba=[0.52, 0.46, 0.40, 1.0],
        contype=TABLE_BIT,
        conaffinity=OBJECT_BIT,
    )


def _add_table_sensor(spec: mujoco.MjSpec) -> None:
    """The net force of the table on the object, world frame, N: three numbers."""
    spec.add_sensor(
        name=TABLE_CONTACT,
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_GEOM,
        objname=TABLE_GEOM,
        reftype=mujoco.mjtObj.mjOBJ_BODY,
        refname=OBJECT_BODY,
        intprm=[1 << mujoco.mjtConDataField.mjCONDATA_FORCE.value, NET_FORCE, 1],
    )


def _add_object(spec: mujoco.MjSpec, thing: ObjectShape) -> None:
    """The object on a free joint. Missing parts are padded by grains inside its first part that touch nothing."""
    body = spec.worldbody.add_body(name=OBJECT_BODY)
    body.add_freejoint(name=OBJECT_JOINT, align=mujoco.mjtAlignFree.mjALIGNFREE_FALSE)
    total = sum(p.volume for p in thing.primitives)
    for k, p in enumerate(thing.primitives):
        body.add_geom(
            name=f"object_{k}",
            type=GEOM_TYPES[p.kind],
            size=padded_size(p),
            pos=p.position,
            quat=p.quaternion,
            mass=thing.mass * p.volume / total,
            friction=OBJECT_FRICTION,
            condim=4 if p.kind == "box" else 6,
            rgba=[*thing.colour, 1.0],
            contype=OBJECT_BIT,
            conaffinity=TABLE_BIT,
        )
    for k in range(len(thing.primitives), PARTS):
        body.add_geom(
            name=f"object_{k}",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[1e-3, 0.0, 0.0],
            pos=thing.primitives[0].position,
            mass=0.0,
            contype=GRAIN_BIT,
            conaffinity=0,
        )


def _add_cameras(spec: mujoco.MjSpec, hand: HandSpec, fovy_deg: float) -> None:
    """The depth camera on the hand's base, and a nearer view for video. MuJoCo looks along -z with y up."""
    flip = np.array([0.0, 1.0, 0.0, 0.0])
    place = camera_extrinsics(hand)
    quat = rotations.multiply(np.array(place.quaternion), flip)
    spec.body(hand.links[0].name).add_camera(name=DEPTH_CAMERA, pos=place.position, quat=quat, fovy=fovy_deg)
    raised = np.array([0.0, 0.0, workplace_height(hand)])
    eye, target = np.array([0.30, -0.42, 0.26]) + raised, np.array([0.0, 0.0, 0.10]) + 0.7 * raised
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(right, forward), -forward], axis=1)
    spec.worldbody.add_camera(name=VIDEO_CAMERA, pos=eye, quat=rotations.from_matrix(frame), fovy=42.0)


def _block(addresses: Array, ids: list[int]) -> slice:
    """The contiguous block of one-number joints ``ids``; models built here list them in the HandSpec's order."""
    where = [int(addresses[i]) for i in ids]
    if where != list(range(where[0], where[0] + len(where))):
        raise RunError("joints do not lie in the hand's order", where="scene", right="bodies added finger by finger")
    return slice(where[0], where[0] + len(where))
