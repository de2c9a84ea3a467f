"""The files of an identification: whole or refused, bound to their hand, and put into a HandSpec."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.identification.identified import (
    Identified,
    ServoNumbers,
    load_identified,
    save_identified,
    with_identified,
)
from knuckle.hardware.identification.record import FingerRecord, load_record
from knuckle.hardware.spec.hands import hand_spec

HAND = hand_spec("dclaw3")


def numbers(joint: str, **errors: float) -> ServoNumbers:
    error = {"stiffness_error": 0.01, "damping_error": 0.01, "velocity_limit_error": 0.01, "time_constant_error": 0.001}
    return ServoNumbers(joint, 3.0, 0.3, 5.0, residual_rad=1e-3, **(error | errors))


FOUND = Identified(
    "dclaw3", 1, 0.02, tuple(numbers(f"joint_f2_{k}") for k in range(3)), "0" * 64, simulations=10, seed=0
)


def test_what_was_saved_is_loaded_again(tmp_path: Path) -> None:
    save_identified(FOUND, tmp_path / "sysid.json")
    assert load_identified(tmp_path / "sysid.json") == FOUND


def test_one_finger_stands_for_all_that_are_built_alike_unless_told_otherwise() -> None:
    assert {j.stiffness for j in with_identified(HAND, FOUND).joints} == {3.0}
    alone = with_identified(HAND, FOUND, all_fingers=False)
    assert [j.stiffness == 3.0 for j in alone.joints] == [False] * 3 + [True] * 3 + [False] * 3
    other = replace(HAND, joints=(replace(HAND.joints[0], damping=9.0), *HAND.joints[1:]))
    assert [j.stiffness == 3.0 for j in with_identified(other, FOUND).joints] == [False] * 3 + [True] * 6


def test_the_thumb_of_a_leap_hand_stands_for_itself_alone() -> None:
    hand = hand_spec("leap")
    names = [f"th_{joint}" for joint in ("cmc", "axl", "mcp", "ipl")]
    found = replace(FOUND, hand="leap", finger=3, servos=tuple(numbers(name) for name in names))
    moved = [j.name for j, own in zip(with_identified(hand, found).joints, hand.joints, strict=True) if j != own]
    assert moved == names


def test_what_the_motion_did_not_show_stays_and_damping_follows_the_time_constant() -> None:
    servos = (
        numbers("joint_f2_0", velocity_limit_error=1e6),
        numbers("joint_f2_1", stiffness_error=0.2, damping_error=0.2),
        numbers("joint_f2_2", stiffness_error=0.2, damping_error=0.2, time_constant_error=0.5),
    )
    first, second, third = with_identified(HAND, replace(FOUND, servos=servos)).joints[3:6]
    own = HAND.joints[3:6]
    assert (first.stiffness, first.velocity_limit) == (3.0, own[0].velocity_limit)
    assert second.stiffness == own[1].stiffness
    assert second.damping / second.stiffness == pytest.approx(0.3 / 3.0)
    assert (third.stiffness, third.damping, third.velocity_limit) == (own[2].stiffness, own[2].damping, 5.0)


def test_numbers_of_another_hand_or_finger_are_refused() -> None:
    with pytest.raises(InputError, match="it is of the hand dclaw3, not of leap"):
        with_identified(hand_spec("leap"), FOUND)
    with pytest.raises(InputError, match="finger 2 has not the joints joint_f2_0"):
        with_identified(HAND, replace(FOUND, finger=2))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"schema": 2}, "not of schema 1"),
        ({"delay_s": "soon"}, "finger or delay_s"),
        ({"servos": [{"joint": "joint_f2_0"}]}, "it is not whole"),
        ({"more": 1}, "not of schema 1"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_in_one_line(tmp_path: Path, change: dict[str, object], what: str) -> None:
    path = tmp_path / "sysid.json"
    save_identified(FOUND, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=what):
        load_identified(path)
    path.write_text('{"schema"')
    with pytest.raises(InputError, match="it cannot be read"):
        load_identified(path)


def test_a_record_is_loaded_as_it_was_and_refused_where_it_is_cut_short(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stamps = np.arange(5, dtype=np.int64) * 10_000_000
    record = FingerRecord("dclaw3", 0, 100.0, stamps, stamps + 10, *rng.standard_normal((3, 5, 3)))
    path = tmp_path / "record.npz"
    record.save(path)
    again = load_record(path)
    np.testing.assert_array_equal(again.target, record.target)
    assert (again.hand, again.finger, again.rate_hz) == ("dclaw3", 0, 100.0)
    replace(record, q=record.q[:4]).save(path)
    with pytest.raises(InputError, match="the record is not whole"):
        load_record(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="the record cannot be read"):
        load_record(path)


def test_targets_hold_until_the_next_one_and_angles_lie_between_their_stamps() -> None:
    stamps = np.array([0, 10_000_000, 20_000_000], dtype=np.int64)
    target = np.array([[0.0], [1.0], [2.0]])
    record = FingerRecord("dclaw3", 0, 100.0, stamps, stamps + 4_000_000, target, target, 0 * target)
    fine, coarse = record.on_grid(2)
    np.testing.assert_array_equal(fine[:, 0], [0.0, 0.0, 0.0, 1.0, 1.0, 2.0])
    np.testing.assert_allclose(coarse[:, 0], [0.0, 1.0, 2.0])
