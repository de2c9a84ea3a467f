"""The rows of the randomisation table that change models, applied to the worlds whose episode begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.hand_model import PASSIVE_DAMPING_SHARE
from knuckle.sim.reorient.randomisation import Randomisation
from knuckle.sim.scene import OBJECT_BODY, TABLE_GEOM, Scene

_REWEIGHED = ("link_mass", "object_mass", "object_scale")


class ModelDraws:
    """Draws for ``scenes``, one a world, each with a model of its own, from ``randomisation``.

    What each world has now: ``stiffness`` and ``damping`` (N, dof), the object's ``mass`` in kg and ``scale`` (N,).
    Nothing is touched for which there is no row.
    """

    def __init__(self, scenes: list[Scene], randomisation: Randomisation) -> None:
        self.scenes, self.rows = scenes, {row.name: row for row in randomisation.rows if row.name in _WRITERS}
        first, n = scenes[0], len(scenes)
        self.stiffness: Array = np.tile([joint.stiffness for joint in first.hand.joints], (n, 1))
        self.damping: Array = np.tile([joint.damping for joint in first.hand.joints], (n, 1))
        self.mass: Array = np.array([scene.thing.mass for scene in scenes])
        self.scale: Array = np.ones(n)
        self._nominal = [_Nominal(scene) for scene in scenes] if self.rows else []
        self._scratch = mujoco.MjData(first.model)

    @property
    def reweighed(self) -> bool:
        """Whether a row is in force after which MuJoCo's constants are computed anew."""
        return any(name in self.rows for name in _REWEIGHED)

    def draw(self, worlds: NDArray[np.intp], rng: np.random.Generator) -> None:
        """Draw anew for ``worlds`` and write it into their models."""
        if not self.rows:
            return
        hand = self.scenes[0].hand
        widths = {"stiffness": hand.dof, "damping": hand.dof, "link_mass": len(hand.links), "gravity": 3}
        values = {name: row.draw(rng, (len(worlds), widths.get(name, 1))) for name, row in self.rows.items()}
        for k, world in enumerate(worlds):
            model, nominal = self.scenes[world].model, self._nominal[world]
            for name, drawn in values.items():
                _WRITERS[name](model, nominal, drawn[k])
            if self.reweighed:
                # What MuJoCo precomputes from masses: without it contacts keep the stiffness of the nominal object.
                mujoco.mj_setConst(model, self._scratch)
        self._note(worlds, values)

    def _note(self, worlds: NDArray[np.intp], values: dict[str, Array]) -> None:
        if "stiffness" in values:
            self.stiffness[worlds] = self._nominal[0].stiffness * values["stiffness"]
        if "damping" in values:
            self.damping[worlds] = self._nominal[0].damping * values["damping"]
        if "object_mass" in values:
            self.mass[worlds] = values["object_mass"][:, 0]
        if "object_scale" in values:
            self.scale[worlds] = values["object_scale"][:, 0]


class _Nominal:
    """What a world's model held before anything was drawn, and where its parts lie."""

    def __init__(self, scene: Scene) -> None:
        model, hand = scene.model, scene.hand
        self.links = np.array([model.body(name).id for name in hand.link_names])
        self.thing, self.table = model.body(OBJECT_BODY).id, model.geom(TABLE_GEOM).id
        self.thing_geoms = slice(
            int(model.body_geomadr[self.thing]),
            int(model.body_geomadr[self.thing] + model.body_geomnum[self.thing]),
        )
        self.thing_boxes = slice(
            int(model.body_bvhadr[self.thing]), int(model.body_bvhadr[self.thing] + model.body_bvhnum[self.thing])
        )
        self.hand_geoms = np.flatnonzero(np.isin(model.geom_bodyid, self.links))
        self.joints = scene.joint_v
        self.link_mass, self.link_inertia = model.body_mass[self.links], model.body_inertia[self.links]
        self.mass, self.inertia = float(model.body_mass[self.thing]), model.body_inertia[self.thing].copy()
        self.sizes, self.places = model.geom_size[self.thing_geoms].copy(), model.geom_pos[self.thing_geoms].copy()
        self.bounds, self.boxes = model.geom_rbound[self.thing_geoms].copy(), model.geom_aabb[self.thing_geoms].copy()
        self.tree = model.bvh_aabb[self.thing_boxes].copy()
        self.stiffness = np.array([joint.stiffness for joint in hand.joints])
        self.damping = np.array([joint.damping for joint in hand.joints])
        self.gravity = model.opt.gravity.copy()


def _write_stiffness(model: Any, nominal: _Nominal, values: Array) -> None:
    model.actuator_gainprm[:, 0] = nominal.stiffness * values
    model.actuator_biasprm[:, 1] = -nominal.stiffness * values


def _write_damping(model: Any, nominal: _Nominal, values: Array) -> None:
    damping = nominal.damping * values
    model.actuator_biasprm[:, 2] = -(1.0 - PASSIVE_DAMPING_SHARE) * damping
    model.dof_damping[nominal.joints] = PASSIVE_DAMPING_SHARE * damping


def _write_link_mass(model: Any, nominal: _Nominal, values: Array) -> None:
    model.body_mass[nominal.links] = nominal.link_mass * values
    model.body_inertia[nominal.links] = nominal.link_inertia * values[:, None]


def _write_hand_friction(model: Any, nominal: _Nominal, values: Array) -> None:
    model.geom_friction[nominal.hand_geoms, 0] = values[0]
    model.geom_friction[nominal.thing_geoms, 0] = 0.0


def _write_table_friction(model: Any, nominal: _Nominal, values: Array) -> None:
    model.geom_friction[nominal.table, 0] = values[0]
    model.geom_friction[nominal.thing_geoms, 0] = 0.0


def _write_object_scale(model: Any, nominal: _Nominal, values: Array) -> None:
    """Sizes, places and the bounding volumes that collision detection asks first; the mass stays, so inertia grows."""
    scale, geoms = values[0], nominal.thing_geoms
    model.geom_size[geoms] = nominal.sizes * scale
    model.geom_pos[geoms] = nominal.places * scale
    model.geom_rbound[geoms] = nominal.bounds * scale
    model.geom_aabb[geoms] = nominal.boxes * scale
    model.bvh_aabb[nominal.thing_boxes] = nominal.tree * scale
    model.body_inertia[nominal.thing] = nominal.inertia * (scale**2 * model.body_mass[nominal.thing] / nominal.mass)


def _write_object_mass(model: Any, nominal: _Nominal, values: Array) -> None:
    """After the scale: inertia per mass is kept."""
    model.body_inertia[nominal.thing] *= values[0] / model.body_mass[nominal.thing]
    model.body_mass[nominal.thing] = values[0]


def _write_gravity(model: Any, nominal: _Nominal, values: Array) -> None:
    model.opt.gravity[:] = nominal.gravity + values


_WRITERS: dict[str, Callable[[Any, _Nominal, Array], None]] = {
    "stiffness": _write_stiffness,
    "damping": _write_damping,
    "link_mass": _write_link_mass,
    "hand_friction": _write_hand_friction,
    "table_friction": _write_table_friction,
    "object_scale": _write_object_scale,
    "object_mass": _write_object_mass,
    "gravity": _write_gravity,
}
