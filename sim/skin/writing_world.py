"""A hand that writes, in MuJoCo: a tool that holds the skin, under the skin a stylus, under the stylus a sheet.

The tool is moved by servos along x, y and z and about three axes. The head of the stylus sits in the elastic layer,
which is a spring and a damper along three axes and against two tilts: how these five joints stand is how the surface of
the skin is deformed. The tip touches the sheet: contact and Coulomb friction are MuJoCo's. Two things that MuJoCo's
contact does not know are added at the tip, as forces that grow with the normal force N of the contact:

    f = -N (c v + mu a sin(2 pi s / lambda) v / (|v| + v0))

c is the drag of the ink, which tells slow from fast; the second term the grain of the sheet, lambda along the direction
in which s is measured. The world's x is east and its y magnetic north. Frame ``skin`` is that of the tool, z up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting
from knuckle.core.errors import RunError
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.skin.stroke_plan import StrokePlan

STEP_S = 1e-3
STEPS_HEAD, STEPS_SAMPLE = 4, 20
"""Physics steps between two rows of the head, and between two samples (50 Hz)."""
SETTLE_STEPS = 300
TIP_RADIUS = 1.5e-3
TOOL_SERVO, WRIST_SERVO = 2e4, 60.0
"""Stiffness of the hand: N/m and N m/rad."""
FELT = 4.1e3
"""Stiffness of the contact of tip and sheet as MuJoCo's softness makes it, N/m: that of a felt tip."""
WEIGHT = 0.02 * 9.81
"""Of the stylus, in N."""
_SLOW = 2e-3  # v0 in m/s
_SANE = 1e4


@dataclass(frozen=True)
class WritingConfig:
    """Stylus, layer and sheet; what is drawn anew for each stroke has a low and a high end."""

    length: float = setting(0.04, "from the head of the stylus to its tip", low=0.005, high=0.3, unit="m")
    layer_normal: float = setting(2500.0, "stiffness of the layer against pressing", low=50.0, high=1e5, unit="N/m")
    layer_shear: float = setting(1500.0, "stiffness of the layer against shear", low=50.0, high=1e5, unit="N/m")
    layer_tilt: float = setting(0.4, "stiffness of the layer against tilting", low=0.01, high=100.0, unit="N m/rad")
    damping: float = setting(0.3, "damping of the layer, of the critical", low=0.01, high=2.0)
    friction_low: float = setting(0.12, "lowest Coulomb friction of tip and sheet", low=0.0, high=2.0)
    friction_high: float = setting(0.2, "highest Coulomb friction of tip and sheet", low=0.0, high=2.0)
    drag_low: float = setting(3.5, "lowest drag of the ink, per N", low=0.0, high=5.0, unit="s/m")
    drag_high: float = setting(4.5, "highest drag of the ink, per N", low=0.0, high=5.0, unit="s/m")
    grain: float = setting(0.15, "grain of the sheet, of the Coulomb friction", low=0.0, high=1.0)
    grain_length: float = setting(5e-3, "length of the grain", low=5e-4, high=0.1, unit="m")


@dataclass(frozen=True)
class Sheet:
    """What one stroke is written on: ``friction`` (Coulomb), ``drag`` s/m per N, grain along ``grain_angle`` rad from
    ``grain_phase`` rad."""

    friction: float
    drag: float
    grain_angle: float
    grain_phase: float


@dataclass(frozen=True)
class Writing:
    """What happened. ``head`` (H, 5), every 4 ms: m and rad, see ElasticLayer. At 50 Hz, the first at 20 ms: ``place``
    (T, 2) of the tip in m and ``force`` (T, 3) of the sheet on the tip in N, both in the world's frame, and
    ``world_q_tool`` (T, 4). ``begin`` (2,) is the tip's place at 0 s."""

    head: Array
    place: Array
    force: Array
    world_q_tool: Array
    begin: Array


def draw_sheet(config: WritingConfig, rng: np.random.Generator) -> Sheet:
    """A sheet and a tip as they come to hand."""
    friction, drag = rng.uniform((config.friction_low, config.drag_low), (config.friction_high, config.drag_high))
    angle, phase = rng.uniform(0.0, 2.0 * math.pi, size=2)
    return Sheet(float(friction), float(drag), float(angle), float(phase))


class WritingWorld:
    """The world of one stylus; strokes in it do not know of each other."""

    def __init__(self, config: WritingConfig = WritingConfig()) -> None:
        self.config = config
        self.model = mujoco.MjModel.from_xml_string(_mjcf(config))
        self._data = mujoco.MjData(self.model)
        self._tip, self._tool = self.model.body("tip").id, self.model.body("tool").id
        self._sheet, self._ball = self.model.geom("sheet").id, self.model.geom("ball").id

    def write(self, plan: StrokePlan, sheet: Sheet) -> Writing:
        """Write ``plan``, whose steps are of `STEP_S`, on ``sheet``; RunError where the simulation breaks down."""
        model, data = self.model, self._data
        model.geom_friction[[self._sheet, self._ball], 0] = sheet.friction
        mujoco.mj_resetData(model, data)
        controls = self._controls(plan)
        data.qpos[:6] = data.ctrl[:] = controls[0]
        mujoco.mj_step(model, data, nstep=SETTLE_STEPS)
        begin = data.xpos[self._tip, :2].copy()
        samples, rows = len(plan) // STEPS_SAMPLE, len(plan) // STEPS_HEAD
        head, place = np.empty((rows, 5)), np.empty((samples, 2))
        force, turned = np.empty((samples, 3)), np.empty((samples, 4))
        push = data.xfrc_applied[self._tip]
        grain = self._grain(sheet)
        for t in range(len(plan)):
            x, y, _, vx, vy, _, normal = data.sensordata.tolist()
            scale = -normal * (
                sheet.drag + grain[0] * math.sin(grain[1] * x + grain[2] * y + grain[3]) / _speed(vx, vy)
            )
            push[0], push[1] = scale * vx, scale * vy
            data.ctrl[:] = controls[t]
            mujoco.mj_step(model, data)
            if (t + 1) % STEPS_HEAD == 0:
                head[t // STEPS_HEAD] = data.qpos[6:]
            if (t + 1) % STEPS_SAMPLE == 0:
                k = t // STEPS_SAMPLE
                place[k], turned[k] = data.sensordata[:2], data.xquat[self._tool]
                force[k] = self._contact_force()
                force[k, :2] += push[:2]
        warned = any(int(warning.number) for warning in data.warning)
        if warned or not all(np.abs(a).max() < _SANE for a in (head, place, force)):
            raise RunError("the simulation broke down", where="skin", right="stiffer settings, or less drag")
        return Writing(head, place, force, turned, begin)

    def _controls(self, plan: StrokePlan) -> Array:
        """Where the servos are told to be, (T, 6): pressed below the sheet by what the springs in a row need."""
        above = plan.force - WEIGHT
        depth = above / self.config.layer_normal + above / TOOL_SERVO + plan.force / FELT
        height = plan.lift - depth
        # Turning the wrist must not lift the tip: the pivot rises as the stylus shortens.
        height -= self.config.length * (1.0 - np.cos(plan.wrist[:, 0]) * np.cos(plan.wrist[:, 1]))
        return np.column_stack([plan.place, height, plan.wrist])

    def _grain(self, sheet: Sheet) -> tuple[float, float, float, float]:
        wave = 2.0 * math.pi / self.config.grain_length
        across = wave * math.cos(sheet.grain_angle), wave * math.sin(sheet.grain_angle)
        return self.config.grain * sheet.friction, *across, sheet.grain_phase

    def _contact_force(self) -> Array:
        """The force (3,) of the sheet on the tip, in the world's frame."""
        total, wrench = np.zeros(3), np.zeros(6)
        for k in range(self._data.ncon):
            mujoco.mj_contactForce(self.model, self._data, k, wrench)
            contact = self._data.contact[k]
            sign = 1.0 if contact.geom[1] == self._ball else -1.0
            total += sign * wrench[:3] @ contact.frame.reshape(3, 3)
        return total


def _speed(vx: float, vy: float) -> float:
    return math.hypot(vx, vy) + _SLOW


def _mjcf(config: WritingConfig) -> str:
    """The model: the servos' joints first, then the layer's. The stylus weighs 20 g, a quarter of it at the tip."""
    body, tip, length = 0.015, 0.005, config.length
    inertia = body * length**2 / 3.0 + tip * length**2
    joints = []
    for kind, axis, stiffness, mass in (
        ("slide", "1 0 0", config.layer_shear, body + tip),
        ("slide", "0 1 0", config.layer_shear, body + tip),
        ("slide", "0 0 1", config.layer_normal, body + tip),
        ("hinge", "1 0 0", config.layer_tilt, inertia),
        ("hinge", "0 1 0", config.layer_tilt, inertia),
    ):
        damping = 2.0 * config.damping * math.sqrt(stiffness * mass)
        joints.append(f'<joint type="{kind}" axis="{axis}" stiffness="{stiffness!r}" damping="{damping!r}"/>')
    servos = "".join(
        f'<position joint="{name}" kp="{stiffness!r}" dampratio="1"/>'
        for names, stiffness in (("xyz", TOOL_SERVO), ("abc", WRIST_SERVO))
        for name in names
    )
    axes = dict(zip("xyzabc", ("1 0 0", "0 1 0", "0 0 1") * 2, strict=True))
    hand = "".join(
        f'<joint name="{name}" type="{"slide" if name in "xyz" else "hinge"}" axis="{axis}"/>'
        for name, axis in axes.items()
    )
    thin = 1e-3**2 * body
    return f"""
<mujoco model="writing">
  <option timestep="{STEP_S!r}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <worldbody>
    <geom name="sheet" type="plane" size="1 1 0.01" solref="0.005 1"/>
    <body name="tool" pos="0 0 {length + TIP_RADIUS!r}" gravcomp="1">
      {hand}
      <inertial pos="0 0 0" mass="0.4" diaginertia="4e-4 4e-4 4e-4"/>
      <body name="stylus">
        {"".join(joints)}
        <inertial pos="0 0 {-0.5 * length!r}" mass="{body!r}"
          diaginertia="{body * length**2 / 12.0!r} {body * length**2 / 12.0!r} {thin!r}"/>
        <body name="tip" pos="0 0 {-length!r}">
          <inertial pos="0 0 0" mass="{tip!r}" diaginertia="1e-9 1e-9 1e-9"/>
          <geom name="ball" type="sphere" size="{TIP_RADIUS!r}" mass="0" condim="3" solref="0.005 1"/>
          <site name="ball" size="{2.0 * TIP_RADIUS!r}"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>{servos}</actuator>
  <sensor>
    <framepos objtype="body" objname="tip"/>
    <framelinvel objtype="body" objname="tip"/>
    <touch site="ball"/>
  </sensor>
</mujoco>"""
