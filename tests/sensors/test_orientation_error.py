"""The error's three parts against known answers, its definition, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.sensors.orientation_error import errors, rmse

angles = st.floats(-3.1, 3.1)
seeds = st.integers(0, 2**32 - 1)


def about(axis: str, angle: float) -> np.ndarray:
    return rotations.from_axis_angle(np.eye(3)["xyz".index(axis)], np.asarray(angle))


@pytest.mark.parametrize(
    ("axis", "total", "heading", "inclination"),
    [("z", 0.3, 0.3, 0.0), ("x", 0.3, 0.0, 0.3), ("y", 0.3, 0.0, 0.3)],
)
def test_a_turn_about_one_earth_axis_is_all_heading_or_all_inclination(axis, total, heading, inclination):
    truth = rotations.random(np.random.default_rng(1), 1)[0]
    e = errors(rotations.multiply(about(axis, 0.3), truth), truth)
    np.testing.assert_allclose([e.total, e.heading, e.inclination], [total, heading, inclination], atol=1e-15)


@given(heading=angles, inclination=st.floats(0.0, 3.1), direction=angles)
def test_heading_and_inclination_come_back_from_the_rotation_they_make(heading, inclination, direction):
    axis = np.array([np.cos(direction), np.sin(direction), 0.0])
    tilt = rotations.from_axis_angle(axis, np.asarray(inclination))
    e = errors(rotations.multiply(about("z", heading), tilt), rotations.IDENTITY)
    assert e.heading == pytest.approx(abs(heading), abs=1e-9)
    assert e.inclination == pytest.approx(inclination, abs=1e-9)


@given(seed=seeds)
def test_the_parts_equal_the_arc_cosines_they_are_defined_by(seed):
    rng = np.random.default_rng(seed)
    estimate, truth = rotations.random(rng, 2)
    w, _, _, z = rotations.multiply(estimate, rotations.conjugate(truth))
    e = errors(estimate, truth)
    assert e.total == pytest.approx(2 * np.arccos(min(1.0, abs(w))), abs=1e-6)
    assert e.heading == pytest.approx(2 * np.arctan(abs(z / w)), abs=1e-9)
    assert e.inclination == pytest.approx(2 * np.arccos(min(1.0, np.sqrt(w * w + z * z))), abs=1e-6)


@given(seed=seeds)
def test_the_sign_of_a_quaternion_and_the_sensor_frame_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    estimate, truth, mounting = rotations.random(rng, 3)
    e = errors(estimate, truth)
    turned = errors(-rotations.multiply(estimate, mounting), rotations.multiply(truth, mounting))
    for a, b in ((e.total, turned.total), (e.heading, turned.heading), (e.inclination, turned.inclination)):
        assert a == pytest.approx(b, abs=1e-9)
    assert max(e.heading, e.inclination) <= e.total + 1e-12


def test_an_error_of_a_nanoradian_is_not_rounded_away():
    assert errors(about("x", 1e-9), rotations.IDENTITY).total == pytest.approx(1e-9, rel=1e-6)


def test_rmse_skips_samples_without_truth_and_those_at_rest():
    truth = np.tile(rotations.IDENTITY, (4, 1))
    estimate = np.stack([about("z", a) for a in np.radians([10.0, 20.0, 30.0, 90.0])])
    truth[3] = np.nan
    result = rmse(estimate, truth, np.array([True, True, False, True]))
    assert result.n == 2
    assert result.total_deg == pytest.approx(np.sqrt((10**2 + 20**2) / 2))
    assert result.heading_deg == pytest.approx(result.total_deg)
    assert result.inclination_deg == pytest.approx(0.0, abs=1e-12)


def test_rmse_of_nothing_is_nan_and_says_so():
    result = rmse(np.ones((2, 4)), np.full((2, 4), np.nan))
    assert result.n == 0
    assert np.isnan(result.total_deg)
