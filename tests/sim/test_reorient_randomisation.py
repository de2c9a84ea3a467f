"""Randomisation: what is drawn is what acts, its spread is that of the table, and what is off is not touched."""

from __future__ import annotations

from copy import copy

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.engine import mujoco
from knuckle.sim.objects import object_shape
from knuckle.sim.reorient.model_draws import ModelDraws
from knuckle.sim.reorient.random_force import RandomForce
from knuckle.sim.reorient.randomisation import DEFAULT, OFF, TABLE, Randomisation, randomisation
from knuckle.sim.scene import Scene, planner_scene

HAND = hand_spec("dclaw3")
NOMINAL = planner_scene(HAND, "truck")


def scenes(n: int) -> list[Scene]:
    return [Scene(copy(NOMINAL.model), HAND, NOMINAL.thing) for _ in range(n)]


def drawn(rows: Randomisation, n: int = 200) -> ModelDraws:
    draws = ModelDraws(scenes(n), rows)
    draws.draw(np.arange(n), np.random.default_rng(7))
    return draws


def spread(values: np.ndarray, low: float, high: float) -> None:
    """Uniform between ``low`` and ``high``: bounds, mean and deviation."""
    assert values.min() >= low and values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.08 * (high - low))
    assert values.std() == pytest.approx((high - low) / 12**0.5, rel=0.12)


def test_what_is_drawn_has_the_spread_of_the_table_and_is_what_the_models_hold() -> None:
    draws = drawn(DEFAULT)
    models = [scene.model for scene in draws.scenes]
    links = [NOMINAL.model.body(name).id for name in HAND.link_names]
    spread(draws.stiffness[:, 0] / HAND.joints[0].stiffness, 0.8, 1.2)
    spread(draws.damping[:, 8] / HAND.joints[8].damping, 0.8, 1.2)
    spread(draws.mass, 0.009, 0.324)
    spread(draws.scale, 0.95, 1.05)
    spread(np.array([m.body_mass[links[3]] for m in models]) / NOMINAL.model.body_mass[links[3]], 0.8, 1.2)
    spread(np.array([m.geom("table").friction[0] for m in models]), 0.05, 1.0)
    spread(np.array([m.geom("link_f1_3_0").friction[0] for m in models]), 0.24, 1.6)
    gravity = np.array([m.opt.gravity for m in models]) - [0.0, 0.0, -9.81]
    assert abs(gravity.mean()) < 0.06 and gravity.std() == pytest.approx(0.4, rel=0.1)
    for scene, mass, stiffness in zip(draws.scenes, draws.mass, draws.stiffness, strict=True):
        assert scene.model.body("object").mass[0] == mass
        np.testing.assert_allclose(scene.model.actuator_gainprm[:, 0], stiffness)


def test_a_contact_has_the_friction_that_was_drawn_although_mujoco_takes_the_larger_one() -> None:
    for scene in drawn(DEFAULT, 12).scenes:
        data = scene.new_data()
        place = np.array([0.0, 0.0, 0.02])
        still = np.zeros(3)
        scene.write_state(data, scene.physics_state(HAND.home, np.zeros(9), place, [1, 0, 0, 0], still, still))
        table, on_table = scene.model.geom("table"), 0
        for contact in data.contact:
            if table.id in contact.geom:
                assert contact.friction[0] == pytest.approx(table.friction[0])
                on_table += 1
        assert on_table


def test_a_scaled_object_touches_where_a_scaled_shape_would() -> None:
    rows = OFF.with_parameters("object_scale", 1.05, 1.05)
    scene = drawn(rows, 1).scenes[0]
    thing, model = object_shape("truck"), scene.model
    np.testing.assert_allclose(model.geom("object_0").size, 1.05 * np.array(thing.primitives[0].size))
    lowest = []
    for one in (NOMINAL, scene):
        data = one.new_data()
        still = np.zeros(3)
        for height in np.arange(0.10, 0.0, -2e-4):
            pose = np.array([0.0, 0.0, height]), np.array([1.0, 0.0, 0.0, 0.0])
            one.write_state(data, one.physics_state(HAND.home, np.zeros(9), *pose, still, still))
            if any(one.model.geom("table").id in contact.geom for contact in data.contact):
                break
        lowest.append(height)
    assert lowest[1] / lowest[0] == pytest.approx(1.05, abs=0.01)
    np.testing.assert_allclose(model.body("object").inertia, 1.05**2 * NOMINAL.model.body("object").inertia)


def test_inertia_follows_the_mass_and_contacts_know_of_it() -> None:
    heavy = drawn(OFF.with_parameters("object_mass", 0.36, 0.36), 1).scenes[0].model
    ratio = 0.36 / NOMINAL.thing.mass
    np.testing.assert_allclose(heavy.body("object").inertia, ratio * NOMINAL.model.body("object").inertia)
    np.testing.assert_allclose(heavy.body("object").invweight0 * ratio, NOMINAL.model.body("object").invweight0)


def test_drawing_again_starts_from_the_nominal_values() -> None:
    draws, rng = ModelDraws(scenes(3), DEFAULT), np.random.default_rng(3)
    for _ in range(50):
        draws.draw(np.arange(3), rng)
    links = [NOMINAL.model.body(name).id for name in HAND.link_names]
    for k, scene in enumerate(draws.scenes):
        ratios = scene.model.body_mass[links] / NOMINAL.model.body_mass[links]
        assert (ratios >= 0.8).all() and (ratios <= 1.2).all()
        expected = draws.scale[k] ** 2 * draws.mass[k] / NOMINAL.thing.mass * NOMINAL.model.body("object").inertia
        np.testing.assert_allclose(scene.model.body("object").inertia, expected, rtol=1e-9)


@pytest.mark.parametrize("rows", [OFF, DEFAULT])
def test_only_the_worlds_that_begin_are_touched_and_none_when_off(rows: Randomisation) -> None:
    draws = ModelDraws(scenes(3), rows)
    draws.draw(np.array([1]), np.random.default_rng(0))
    changed = [not np.array_equal(_bytes(scene), _bytes(NOMINAL)) for scene in draws.scenes]
    assert changed == [False, rows is DEFAULT, False]


def test_kicks_come_as_often_as_drawn_with_the_force_of_the_table_and_fade() -> None:
    row = DEFAULT.row("random_force")
    assert row is not None
    force, rng, mass = RandomForce(row, 4000, 1 / 12), np.random.default_rng(1), np.full(4000, 0.2)
    first = np.linalg.norm(force.step(mass, rng), axis=1)
    assert (first > 0).mean() == pytest.approx(0.2, abs=0.02)
    np.testing.assert_allclose(first[first > 0], 3.0)
    assert np.abs(force.force.mean(axis=0)).max() < 0.1
    kept = force.force.copy()
    again = np.linalg.norm(force.step(mass, rng) - kept * 0.99 ** (1 / 12 / 0.08), axis=1)
    assert (again[first > 0] < 1e-12).mean() == pytest.approx(0.8, abs=0.05)
    force.reset(np.arange(10))
    assert not force.force[:10].any() and force.force[10:].any()


def test_the_table_can_be_narrowed_row_by_row() -> None:
    mine = DEFAULT.without("gravity").with_parameters("object_mass", 0.1, 0.2)
    assert mine.row("gravity") is None and mine.row("object_mass").parameters == (0.1, 0.2)  # type: ignore[union-attr]
    assert [row.name for row in OFF.with_parameters("gravity", 0.0, 0.1).rows] == ["gravity"]
    assert randomisation("default").rows == TABLE
    with pytest.raises(InputError, match=r"unknown randomisation row 'mass'; .*known: .*object_mass"):
        DEFAULT.without("mass")
    with pytest.raises(InputError, match=r"randomisation object_mass: parameters \(0.3, 0.1\); low, then high"):
        DEFAULT.with_parameters("object_mass", 0.3, 0.1)
    with pytest.raises(InputError, match=r"randomisation random_force: parameters \(0.2,\); 4 finite numbers"):
        DEFAULT.with_parameters("random_force", 0.2)


def _bytes(scene: Scene) -> np.ndarray:
    model = np.empty(mujoco.mj_sizeModel(scene.model), np.uint8)
    mujoco.mj_saveModel(scene.model, None, model)
    return model
