"""Where a finger's boxes touch an object: as MuJoCo finds it, in the middle of what touches, and carried along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Primitive
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.hardware.spec.primitive_distance import signed_distance
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.learned.contact_features import ContactFeatures, Scene
from knuckle.policy.learned.link_touch import LinkTouch, Nearest, box_grid, corners, shares
from knuckle.sim.engine import mujoco
from knuckle.sim.objects import object_shape
from knuckle.sim.scene import execution_scene
from tests.policy.test_foresight import HAND, LOOKED_AT, some_chunks, states

Array = np.ndarray
NEAR_M = 0.01


def touches(scene: Scene, shape: ObjectShape) -> Nearest:
    """Where the boxes of every finger in ``scene`` are nearest to ``shape``."""
    place, turn = TipKinematics(HAND, "world").links(scene.q)
    back = rotations.to_matrix(rotations.conjugate(scene.quaternion))
    place = np.einsum("dij,dgkj->dgki", back, place - scene.position[:, None, None])
    points = np.concatenate([shape.cloud(200), *(corners(p) for p in shape.primitives)])
    return LinkTouch(HAND, shape, points)(place, np.einsum("dij,dgkjl->dgkil", back, turn))


def simulated_gaps(scene: Scene, name: str) -> Array:
    """The least distance (d, G) in MuJoCo of each finger's boxes from the object's solids, m, 0.1 at most."""
    world = execution_scene(HAND, name)
    model, data = world.model, world.new_data()
    body = [model.body(int(b)).name for b in model.geom_bodyid]
    solids = [g for g, of in enumerate(body) if of == "object"]
    box = mujoco.mjtGeom.mjGEOM_BOX
    gaps = np.full((len(scene.q), 3), 0.1)
    for k in range(len(scene.q)):
        state = world.physics_state(*(getattr(scene, part)[k] for part in PARTS))
        mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        mujoco.mj_forward(model, data)
        for finger in range(3):
            boxes = [
                g for g, of in enumerate(body) if of.startswith(f"link_f{finger + 1}_") and model.geom_type[g] == box
            ]
            pairs = ((b, s) for b in boxes for s in solids)
            gaps[k, finger] = min(mujoco.mj_geomDistance(model, data, b, s, 0.1, None) for b, s in pairs)
    return gaps


PARTS = ("q", "dq", "position", "quaternion", "velocity", "spin")


@pytest.mark.parametrize("name", ["axe", "truck", "bunny"])
def test_boxes_of_links_are_as_near_to_the_object_as_in_simulation(name: str) -> None:
    scene = states(40, 3)
    true, found = simulated_gaps(scene, name), touches(scene, object_shape(name)).gap
    apart = (true > 1e-3) & (true < NEAR_M)
    assert apart.sum() > 5
    # What is looked at are points of both surfaces, so nothing is nearer than it is, and hardly anything much farther.
    assert (found - true)[apart].min() > -1e-4
    assert np.quantile((found - true)[apart], 0.9) < 0.004
    assert ((found < 3e-3) & (true < 1e-3)).sum() > 0.9 * (true < 1e-3).sum() > 5
    assert not ((found < 1e-4) & (true > 1e-3)).any()


def cube_at(distance: float, half: float, turn: Array) -> Nearest:
    """A cube of ``half`` sides, turned by the quaternion ``turn``, over the middle of the side face of the last link's
    box of the first finger, other fingers far away; seen from the cube."""
    shape = ObjectShape("cube", 0.1, (Primitive("box", (half, half, half), (0.0, 0.0, 0.0)),), (1.0, 0.0, 0.0))
    place, far = np.zeros((1, 3, 3, 3)), np.array([5.0, 0.0, 0.0])
    place[:] = far
    reach = max(float((corners(shape.primitives[0]) @ rotations.to_matrix(turn).T)[:, 1].max()), half)
    middle = np.array([0.0, 0.023 + distance + reach, 0.0155])
    back = rotations.to_matrix(rotations.conjugate(turn))
    place[0, 0, 2] = back @ -middle
    turned = np.broadcast_to(back, (1, 3, 3, 3, 3))
    return LinkTouch(HAND, shape, np.concatenate([shape.cloud(200), corners(shape.primitives[0])]))(place, turned)


def test_a_corner_over_the_middle_of_a_face_touches_there_and_presses_along_the_face() -> None:
    # A cube on its tip: a rotation that brings its diagonal to the face's normal.
    diagonal, down = np.ones(3) / np.sqrt(3.0), np.array([0.0, -1.0, 0.0])
    axis = np.cross(diagonal, down)
    turn = rotations.from_axis_angle(axis / np.linalg.norm(axis), np.arccos(diagonal @ down))
    touch = cube_at(0.001, 0.01, turn)
    assert touch.link[0, 0] == 2
    np.testing.assert_allclose(touch.gap[0, 0], 0.001, atol=1e-9)
    np.testing.assert_allclose(touch.local[0, 0], [0.0, 0.024, 0.0155], atol=3e-4)
    # Outward from the cube is towards the face.
    np.testing.assert_allclose(rotations.rotate(turn, touch.normal[0, 0]), down, atol=2e-3)


def test_a_face_on_a_face_touches_in_its_middle_not_at_any_corner() -> None:
    touch = cube_at(0.0005, 0.005, rotations.IDENTITY)
    np.testing.assert_allclose(touch.gap[0, 0], 0.0005, atol=1e-9)
    np.testing.assert_allclose(touch.local[0, 0, [0, 2]], [0.0, 0.0155], atol=0.003)
    np.testing.assert_allclose(touch.normal[0, 0], [0.0, -1.0, 0.0], atol=1e-6)


def test_the_gap_that_a_posture_is_told_to_leave_is_how_far_the_box_then_is() -> None:
    scene = states(60, 9)
    near, shape = 0.15 * (some_chunks(scene, 1) - scene.q[:, None, None]), object_shape("truck")
    chunks = scene.q[:, None, None] + near
    features = ContactFeatures(HAND, shape, LOOKED_AT)
    told = features(scene, chunks)[1].reshape(60, 3, len(LOOKED_AT), -1)[:, :, 0, 20] * 0.02
    now = touches(scene, shape)
    parts = {part: getattr(scene, part) for part in (*PARTS, "smoothed")}
    later = touches(Scene(**parts | {"q": chunks[:, 0, LOOKED_AT[0]]}), shape)
    # Where it is a plain face that is nearest: elsewhere the nearest place is soon another one.
    plain = (np.linalg.norm(now.normal, axis=-1) > 0.99) & (now.gap > 0.001) & (now.link == later.link)
    assert plain.sum() > 20
    off = np.abs(told - later.gap)[plain]
    assert np.median(off) < 0.2 * np.median(np.abs(later.gap - now.gap)[plain])


def test_a_hand_whose_links_have_no_boxes_is_refused_in_one_line() -> None:
    bare = tuple(replace(link, primitives=()) if link.name.endswith("_2") else link for link in HAND.links)
    with pytest.raises(InputError, match="link_f1_2 has no box that could touch an object") as refused:
        ContactFeatures(replace(HAND, links=bare), object_shape("truck"), LOOKED_AT)
    assert "\n" not in str(refused.value)


@given(half=st.tuples(*[st.floats(0.003, 0.05)] * 3), apart=st.floats(0.005, 0.1))
@settings(max_examples=30)
def test_the_grid_of_a_box_lies_on_it_and_has_its_corners(half: tuple[float, ...], apart: float) -> None:
    box = Primitive("box", half, (0.01, -0.02, 0.03), tuple(rotations.exp([0.3, -0.2, 0.5])))  # type: ignore[arg-type]
    points = box_grid(box, apart)
    np.testing.assert_allclose(signed_distance(box, points), 0.0, atol=1e-12)
    ends = corners(box)
    assert len(ends) == 8
    assert (np.linalg.norm(points[:, None] - ends, axis=-1).min(axis=0) < 1e-9).all()
    others = np.linalg.norm(points[:, None] - points, axis=-1) + 1.0 * np.eye(len(points))
    assert others.min(axis=1).max() <= max(apart, 1e-9) + 1e-9 or len(points) == 8


def test_rims_lie_on_their_cylinder_and_round_solids_have_no_corners() -> None:
    cylinder = Primitive("cylinder", (0.02, 0.03), (0.1, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0))
    rim = corners(cylinder)
    np.testing.assert_allclose(signed_distance(cylinder, rim), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.abs(rim[:, 2]), 0.03, atol=1e-12)
    assert corners(Primitive("sphere", (0.02,), (0.0, 0.0, 0.0))).shape == (0, 3)


@given(gaps=st.lists(st.floats(-0.01, 0.05), min_size=1, max_size=9))
def test_shares_are_one_in_all_and_the_nearest_has_the_most(gaps: list[float]) -> None:
    share = shares(np.array(gaps))
    assert share.sum() == pytest.approx(1.0)
    assert share[np.argmin(gaps)] == share.max()
    assert (share[np.array(gaps) > min(gaps) + 0.005] < 1e-4).all()
