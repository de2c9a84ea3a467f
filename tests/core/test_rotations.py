"""Rotations obey the axioms of the group, agree with scipy, and refuse what is no rotation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from knuckle.core import rotations
from knuckle.core.errors import InputError

Array = NDArray[np.float64]
FINITE = st.floats(-10.0, 10.0, allow_nan=False)


@st.composite
def quaternions(draw: st.DrawFn) -> Array:
    """Unit quaternions, all of the sphere, corners included."""
    raw = draw(hnp.arrays(np.float64, 4, elements=st.floats(-1.0, 1.0)))
    assume(np.linalg.norm(raw) > 1e-3)
    return rotations.normalize(raw)


def vectors(bound: float = 10.0) -> st.SearchStrategy[Array]:
    return hnp.arrays(np.float64, 3, elements=st.floats(-bound, bound))


def same(a: Array, b: Array, tolerance: float = 1e-9) -> bool:
    """Equal as rotations: q and -q are one."""
    return bool(abs(abs(np.dot(a, b)) - 1.0) < tolerance)


@given(quaternions(), quaternions(), quaternions())
def test_the_product_is_associative(a: Array, b: Array, c: Array) -> None:
    left = rotations.multiply(rotations.multiply(a, b), c)
    np.testing.assert_allclose(left, rotations.multiply(a, rotations.multiply(b, c)), atol=1e-12)


@given(quaternions())
def test_identity_and_inverse(q: Array) -> None:
    np.testing.assert_allclose(rotations.multiply(q, rotations.IDENTITY), q, atol=0)
    np.testing.assert_allclose(rotations.multiply(q, rotations.conjugate(q)), rotations.IDENTITY, atol=1e-12)


@given(quaternions(), quaternions(), vectors())
def test_a_product_turns_as_its_factors_do(a: Array, b: Array, v: Array) -> None:
    both = rotations.rotate(rotations.multiply(a, b), v)
    np.testing.assert_allclose(both, rotations.rotate(a, rotations.rotate(b, v)), atol=1e-10)
    assert np.linalg.norm(both) == pytest.approx(np.linalg.norm(v), abs=1e-10)


@given(quaternions(), vectors())
def test_vector_and_matrix_agree_with_scipy(q: Array, v: Array) -> None:
    oracle = Rotation.from_quat(rotations.to_xyzw(q))
    np.testing.assert_allclose(rotations.rotate(q, v), oracle.apply(v), atol=1e-10)
    np.testing.assert_allclose(rotations.to_matrix(q), oracle.as_matrix(), atol=1e-12)


@given(quaternions())
def test_a_matrix_gives_its_quaternion_back(q: Array) -> None:
    back = rotations.from_matrix(rotations.to_matrix(q))
    assert same(back, q) and back[0] >= 0.0


@given(vectors(1.8))
def test_log_undoes_exp_below_a_half_turn(v: Array) -> None:
    assume(np.linalg.norm(v) < np.pi - 1e-6)
    np.testing.assert_allclose(rotations.log(rotations.exp(v)), v, atol=1e-8)


@given(quaternions())
def test_exp_undoes_log_and_the_angle_is_at_most_a_half_turn(q: Array) -> None:
    v = rotations.log(q)
    assert np.linalg.norm(v) <= np.pi + 1e-12
    assert same(rotations.exp(v), q)


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-12, 1e-8, 1e-4])
def test_exp_and_log_are_exact_where_the_angle_vanishes(size: float) -> None:
    v = np.array([size, -2.0 * size, 0.5 * size])
    np.testing.assert_allclose(rotations.log(rotations.exp(v)), v, rtol=1e-9, atol=1e-300)


@given(quaternions(), quaternions(), quaternions())
def test_the_angle_is_a_distance_that_turning_both_leaves_alone(a: Array, b: Array, c: Array) -> None:
    angle = rotations.angle_between(a, b)
    assert 0.0 <= angle <= np.pi + 1e-12
    assert rotations.angle_between(b, a) == pytest.approx(angle, abs=1e-12)
    assert rotations.angle_between(-a, b) == pytest.approx(angle, abs=1e-12)
    moved = rotations.angle_between(rotations.multiply(c, a), rotations.multiply(c, b))
    assert moved == pytest.approx(angle, abs=1e-7)
    assert angle <= rotations.angle_between(a, c) + rotations.angle_between(c, b) + 1e-9
    oracle = (Rotation.from_quat(rotations.to_xyzw(a)).inv() * Rotation.from_quat(rotations.to_xyzw(b))).magnitude()
    assert angle == pytest.approx(oracle, abs=1e-9)


@given(st.floats(-np.pi, np.pi), quaternions())
def test_an_axis_and_an_angle_are_found_again(angle: float, q: Array) -> None:
    axis = rotations.rotate(q, np.array([0.0, 0.0, 1.0]))
    turn = rotations.from_axis_angle(axis, angle)
    assert rotations.angle_between(turn, rotations.IDENTITY) == pytest.approx(abs(angle), abs=1e-9)
    np.testing.assert_allclose(rotations.rotate(turn, axis), axis, atol=1e-9)


@given(quaternions())
def test_the_order_of_messages_and_back(q: Array) -> None:
    np.testing.assert_array_equal(rotations.to_xyzw(q), [q[1], q[2], q[3], q[0]])
    np.testing.assert_array_equal(rotations.from_xyzw(rotations.to_xyzw(q)), q)


def test_everything_broadcasts_as_it_does_one_by_one() -> None:
    rng = np.random.default_rng(7)
    a, b, v = rotations.random(rng, 6).reshape(2, 3, 4), rotations.random(rng, 3), rng.standard_normal((2, 3, 3))
    for i, j in np.ndindex(2, 3):
        one = rotations.multiply(a[i, j], b[j])
        np.testing.assert_array_equal(rotations.multiply(a, b)[i, j], one)
        np.testing.assert_array_equal(rotations.rotate(a, v)[i, j], rotations.rotate(a[i, j], v[i, j]))
        np.testing.assert_array_equal(rotations.log(a)[i, j], rotations.log(a[i, j]))
        np.testing.assert_array_equal(rotations.to_matrix(a)[i, j], rotations.to_matrix(a[i, j]))
        assert rotations.angle_between(a, b)[i, j] == rotations.angle_between(a[i, j], b[j])
    assert all(same(x, y) for x, y in zip(rotations.from_matrix(rotations.to_matrix(b)), b, strict=True))


def test_random_rotations_are_uniform() -> None:
    """Over SO(3) the angle from the identity has density (1 - cos angle) / pi: its mean is pi / 2 + 2 / pi."""
    q = rotations.random(np.random.default_rng(3), 40_000)
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), 1.0, atol=1e-12)
    angles = rotations.angle_between(q, rotations.IDENTITY)
    assert angles.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.015)
    np.testing.assert_allclose(rotations.rotate(q, np.array([0.0, 0.0, 1.0])).mean(axis=0), 0.0, atol=0.015)


@given(quaternions(), st.floats(-9e-4, 9e-4))
def test_a_nearly_unit_quaternion_is_taken_and_made_unit(q: Array, error: float) -> None:
    taken = rotations.require_unit(q * (1.0 + error), where="goal")
    assert np.linalg.norm(taken) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([0.0, 0.0, 0.0, 0.0], "goal: the quaternion is zero; a unit quaternion"),
        ([2.0, 0.0, 0.0, 0.0], "goal: the quaternion's norm is 2, not 1"),
        ([1.0, 0.0, 0.0, 0.1], "goal: the quaternion's norm is 1.005, not 1"),
        ([np.nan, 0.0, 0.0, 1.0], "is not a finite quaternion"),
        ([np.inf, 0.0, 0.0, 1.0], "is not a finite quaternion"),
        ([1.0, 0.0, 0.0], "is not a finite quaternion"),
    ],
)
def test_what_is_no_rotation_is_refused_by_name(value: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        rotations.require_unit(value, where="goal")
