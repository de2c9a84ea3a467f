"""The calibration file: what it keeps, and every file that must not be used."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import InputError
from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.calibration.calibration_file import Calibration, load, nominal, save
from knuckle.hardware.dynamixel.units import JointScale
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import CENTRE_PULSE, RAD_PER_PULSE, XC330_M288, XM430_W210

SPEC = dclaw(3)
MODELS = {joint.servo_id: XM430_W210.number for joint in SPEC.joints}
GOOD = nominal(SPEC, XM430_W210.number)


def refused(path, said: str, spec=SPEC, models=MODELS) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load(path, spec, models)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_what_was_saved_is_loaded(home_file) -> None:
    made = Calibration("dclaw3", "stops", tuple(replace(z, offset=0.01 * n) for n, z in enumerate(GOOD.servos)))
    save(made, home_file)
    assert load(home_file, SPEC, MODELS) == made
    assert made.offset.tolist() == [0.01 * n for n in range(9)]


def test_a_calibration_of_another_hand_of_other_ids_or_models_is_refused(home_file) -> None:
    refused(home_file, "there is no calibration; knuckle calibrate home --hand dclaw3")
    save(nominal(dclaw(4), XM430_W210.number), home_file)
    refused(home_file, "it is of the hand dclaw4, not of dclaw3")
    save(replace(GOOD, servos=(replace(GOOD.servos[0], id=77), *GOOD.servos[1:])), home_file)
    refused(home_file, r"it has joint_f1_0 as id 77; the dclaw3 has not")
    save(replace(GOOD, servos=GOOD.servos[:-1]), home_file)
    refused(home_file, "it has 8 servos; the dclaw3 has not")
    save(GOOD, home_file)
    refused(home_file, r"servo 21 \(joint_f2_1\) is XC330-M288; it was XM430-W210", models={**MODELS, 21: 1240})
    assert XC330_M288.number == 1240


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("offset", math.nan),
        ("offset", math.inf),
        ("offset", "0.1"),
        ("offset", True),
        ("sign", 0),
        ("sign", 1.0),
        ("id", "10"),
        ("joint", 3),
        ("colour", "red"),
    ],
)
def test_a_value_that_is_no_value_is_refused(home_file, key: str, value: object) -> None:
    save(GOOD, home_file)
    raw = json.loads(home_file.read_text())
    raw["servos"][3][key] = value
    home_file.write_text(json.dumps(raw))
    refused(home_file, "the calibration is not whole")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"schema": 2}', "[" * 100_000, "\udcff", '{"schema": 1}'])
def test_a_file_that_is_something_else_is_refused(home_file, text: str) -> None:
    home_file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError):
        load(home_file, SPEC, MODELS)


def test_a_large_file_is_refused_unread(home_file) -> None:
    home_file.write_bytes(b" " * (calibration_file.MAX_BYTES + 1))
    refused(home_file, "larger than 64 KiB")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_cut_short_anywhere_is_refused(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("cut") / "calibration.json"
    save(GOOD, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 2))])
    refused(path, "the calibration cannot be read")


def test_a_horn_mounted_so_far_off_that_a_joint_would_leave_its_turn_is_refused(home_file) -> None:
    save(replace(GOOD, servos=(replace(GOOD.servos[0], offset=2.5), *GOOD.servos[1:])), home_file)
    refused(home_file, "joint_f1_0 would turn its servo to 221 degrees from its middle; under 180: mount the horn")


@given(
    st.lists(st.floats(-1.5, 1.5), min_size=9, max_size=9),
    st.lists(st.sampled_from([-1.0, 1.0]), min_size=9, max_size=9),
    st.lists(st.floats(-1.5, 1.5), min_size=9, max_size=9),
)
def test_angles_survive_pulses_within_half_a_pulse_for_every_offset_and_sign(offset, sign, q) -> None:
    scale = JointScale(np.array(sign), np.array(offset), 1.0)
    pulses = scale.pulses(np.array(q))
    assert np.abs(scale.joint(pulses) - q).max() <= RAD_PER_PULSE / 2 + 1e-9
    at_zero = scale.pulses(np.zeros(9))
    assert np.array_equal(at_zero, CENTRE_PULSE + np.rint(np.array(offset) / RAD_PER_PULSE))
