"""Pairing by stamps: the order in which two topics arrive changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.mounts import pinhole
from knuckle.perception.pairing import Paired, PairingConfig, StampPairing

MS = 1_000_000
BLANK = DepthFrame(0, 0, np.ones((2, 2), dtype=np.uint16), 0.001, pinhole(2, 2), "camera")
PATIENT = PairingConfig(late_s=100.0, history_s=100.0, waiting=100)


def frame(ms: float) -> DepthFrame:
    return replace(BLANK, stamp_ns=round(ms * MS))


def angles(ms: float) -> Any:
    return np.array([np.sin(ms), 2.0 * ms, -1.0])


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(0, 9))
def test_pairs_are_the_same_bits_whatever_the_order_of_arrival(random: Any, shift: int) -> None:
    joints = [("joint", 7.0 * k) for k in range(40)]
    frames = [("frame", 33.0 * k + shift + 1) for k in range(7)]
    results = []
    for _ in range(2):
        pairing, left, right, pairs = StampPairing(PATIENT), list(joints), list(frames), []
        while left or right:
            take = left if not right or (left and random.random() < 0.5) else right
            kind, ms = take.pop(0)
            stamp = round(ms * MS)
            pairs += pairing.push_joints(stamp, angles(ms)) if kind == "joint" else pairing.push_frame(frame(ms))
        results.append([(p.frame.stamp_ns, p.q.tobytes()) for p in pairs])
    assert results[0] == results[1]
    assert len(results[0]) == len(frames)


def test_a_frame_waits_for_a_joint_state_at_or_after_its_stamp_and_takes_the_angles_between() -> None:
    pairing = StampPairing()
    assert pairing.push_joints(0, np.array([0.0, 1.0])) == []
    assert pairing.push_frame(frame(25)) == []
    (pair,) = pairing.push_joints(100 * MS, np.array([1.0, 1.0]))
    assert np.allclose(pair.q, [0.25, 1.0])


def test_a_joint_state_of_the_frame_s_own_stamp_is_taken_as_it_is() -> None:
    pairing = StampPairing()
    pairing.push_joints(5 * MS, np.array([0.1]))
    own = np.array([0.7])
    pairing.push_joints(10 * MS, own)
    (pair,) = pairing.push_frame(frame(10))
    assert pair.q.tobytes() == own.tobytes()


def test_a_frame_without_an_earlier_joint_state_or_across_a_gap_is_dropped_and_counted() -> None:
    pairing = StampPairing(PairingConfig(gap_s=0.1))
    pairing.push_joints(10 * MS, np.array([0.0]))
    assert pairing.push_frame(frame(5)) == []
    pairing.push_frame(frame(100))
    assert pairing.push_joints(150 * MS, np.array([1.0])) == []
    assert pairing.counts.no_joint_state == 2


def test_frames_that_are_late_or_run_backwards_are_dropped_and_counted() -> None:
    pairing = StampPairing()
    pairing.push_joints(0, np.array([0.0]))
    pairing.push_joints(200 * MS, np.array([1.0]))
    assert pairing.push_frame(frame(49)) == []
    assert len(pairing.push_frame(frame(51))) == 1
    assert pairing.push_frame(frame(51)) == []
    assert (pairing.counts.late, pairing.counts.backwards) == (1, 1)


def test_only_so_many_frames_wait_when_joint_states_stop() -> None:
    pairing = StampPairing(PairingConfig(waiting=3, gap_s=100.0, history_s=100.0))
    pairing.push_joints(0, np.array([0.0]))
    for k in range(10):
        pairing.push_frame(frame(10 * k + 1))
    assert pairing.counts.no_joint_state == 7
    pairs: list[Paired] = pairing.push_joints(1000 * MS, np.array([1.0]))
    assert [p.frame.stamp_ns for p in pairs] == [71 * MS, 81 * MS, 91 * MS]


def test_a_clock_set_back_starts_anew() -> None:
    pairing = StampPairing()
    for ms in (100_000, 100_050):
        pairing.push_joints(ms * MS, np.array([9.0]))
    pairing.push_frame(frame(100_020))
    for ms in (0, 50):
        pairing.push_joints(ms * MS, np.array([float(ms)]))
    (pair,) = pairing.push_frame(frame(25))
    assert np.allclose(pair.q, [25.0])
