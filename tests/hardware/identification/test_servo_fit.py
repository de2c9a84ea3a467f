"""Known stiffness, damping and velocity limits are found again: from a simulated finger, and through driver and bus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.identification.clearance import Finger
from knuckle.hardware.identification.identified import identified, with_identified
from knuckle.hardware.identification.motions import Motion, MotionConfig, plan_motion
from knuckle.hardware.identification.record import FingerRecord, record_finger
from knuckle.hardware.identification.servo_fit import PARAMETERS, Fit, FitConfig, fit_servos
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.spec.dynamixel_table import RAD_PER_PULSE
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.identify_servos import rehearsed
from knuckle.sim.finger_model import FingerModel

HAND = hand_spec("dclaw3")
QUICK = MotionConfig(steps=1, hold_s=0.4, lowest_hz=0.8)
FACTORS = {"stiffness": (1.2, 0.8, 1.1), "damping": (0.85, 1.15, 0.9), "velocity_limit": (0.8, 0.7, 0.75)}


def changed(hand: HandSpec, finger: int) -> HandSpec:
    """``hand`` whose finger has other servos than its spec says."""
    joints = list(hand.joints)
    for k, joint in enumerate(Finger(hand, finger).joints):
        values = {name: factors[k] * getattr(joints[joint], name) for name, factors in FACTORS.items()}
        joints[joint] = replace(joints[joint], **values)
    return replace(hand, joints=tuple(joints))


def simulated(hand: HandSpec, motion: Motion, *, delay_s: float, seed: int, dt_s: float = 0.00025) -> FingerRecord:
    """What the changed finger does, simulated in much shorter steps than the fit's, read with noise and in pulses."""
    joints = Finger(hand, motion.finger).joints
    true = [np.array([[getattr(changed(hand, motion.finger).joints[k], name) for k in joints]]) for name in FACTORS]
    each = round(1.0 / (motion.rate_hz * dt_s))
    targets = np.repeat(motion.targets[:, joints], each, axis=0)
    first = np.tile(targets[:1], (round((1.0 + delay_s) / dt_s), 1))
    late = np.concatenate([first, targets])[: round(1.0 / dt_s) + len(targets)]
    path = FingerModel(hand, motion.finger)(*true, late[0], late[None], dt_s)[0][round(1.0 / dt_s) :: each]
    rng = np.random.default_rng(seed)
    q = np.round(path / RAD_PER_PULSE + 0.4 * rng.standard_normal(path.shape)) * RAD_PER_PULSE
    stamps = np.arange(len(q), dtype=np.int64) * round(1e9 / motion.rate_hz)
    return FingerRecord(
        hand.name, motion.finger, motion.rate_hz, stamps, stamps, motion.targets[:, joints], q, np.zeros_like(q)
    )


def off(fit: Fit, name: str, finger: int = 0) -> np.ndarray:
    """How far numbers are from the true ones, as shares of them."""
    truth = changed(HAND, finger)
    true = np.array([getattr(truth.joints[k], name) for k in Finger(HAND, finger).joints])
    return np.abs(getattr(fit, name) / true - 1.0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_known_values_are_recovered_through_noise_pulses_and_delay() -> None:
    record = simulated(HAND, plan_motion(HAND, 0, QUICK), delay_s=0.007, seed=3)
    fit = fit_servos(HAND, record, FingerModel(HAND, 0), FitConfig(seed=1))
    assert fit.delay_s == pytest.approx(0.007, abs=1e-3)
    assert (fit.residual_rad < 1.0 * RAD_PER_PULSE).all()
    assert (off(fit, "velocity_limit") < 0.02).all()
    # The last link weighs next to nothing: of its stiffness and damping only the ratio is seen as well as this.
    assert (off(fit, "stiffness")[:2] < 0.03).all() and (off(fit, "damping")[:2] < 0.03).all()
    constant = fit.damping / fit.stiffness
    truth = changed(HAND, 0)
    true = np.array([truth.joints[k].damping / truth.joints[k].stiffness for k in Finger(HAND, 0).joints])
    assert (np.abs(constant / true - 1.0) < 0.03).all()
    assert (fit.time_constant_error < 0.02).all() and fit.standard_error[2, 0] > 3 * fit.standard_error[0, 0]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_known_values_are_recovered_through_the_driver_and_the_virtual_bus(tmp_path: Path) -> None:
    record = rehearsed_record(tmp_path)
    fit = fit_servos(HAND, record, FingerModel(HAND, 0))
    assert (off(fit, "velocity_limit") < 0.02).all()
    assert (off(fit, "stiffness")[:2] < 0.04).all() and (off(fit, "damping")[:2] < 0.04).all()
    # What the fit says of its own numbers holds, and where the last link hides one it says that it does not know it.
    apart = np.stack([off(fit, name) for name in PARAMETERS], axis=1)
    assert (apart < 3.0 * fit.standard_error).all()
    truth = changed(HAND, 0)
    joints = [truth.joints[k] for k in Finger(HAND, 0).joints]
    constant = fit.damping / fit.stiffness / np.array([joint.damping / joint.stiffness for joint in joints]) - 1.0
    assert (np.abs(constant) < 3.0 * fit.time_constant_error).all()
    found = identified(HAND, 0, fit, record_sha256="0" * 64, seed=0)
    assert [[servo.known(name) for name in PARAMETERS] for servo in found.servos] == [[True] * 3] * 2 + [
        [False, False, True]
    ]
    mended = with_identified(HAND, found)
    first, last = Finger(HAND, 0).joints[0], Finger(HAND, 0).joints[-1]
    for name in PARAMETERS:
        assert getattr(mended.joints[first], name) == pytest.approx(getattr(fit, name)[0])
    assert mended.joints[last].stiffness == HAND.joints[last].stiffness
    true = truth.joints[last].damping / truth.joints[last].stiffness
    assert mended.joints[last].damping / mended.joints[last].stiffness == pytest.approx(true, rel=0.02)


def rehearsed_record(folder: Path, motion: Motion | None = None) -> FingerRecord:
    """A motion as the driver records it over virtual servos that turn the changed finger."""
    with rehearsed(HAND, changed(HAND, 0)) as (raw, now_ns, wait_until):
        guarded = GuardedHand(raw, StopLatch(folder / "stop.json"), mint=lambda: "lease")
        record = record_finger(
            guarded, motion or plan_motion(HAND, 0, QUICK), now_ns=now_ns, wait_until=wait_until, approach=2.0
        )
        guarded.release("test")
        assert guarded.status().refused == 0
    return record


def test_a_rehearsal_records_the_same_to_the_bit_however_busy_the_machine_is(tmp_path: Path) -> None:
    """Over three quarters of a second, in which the driver three times writes its torque bounds before the goals."""
    motion = plan_motion(HAND, 0, QUICK)
    brief = replace(motion, targets=motion.targets[30:105], moved=motion.moved[30:105])
    first, second = rehearsed_record(tmp_path, brief), rehearsed_record(tmp_path, brief)
    for name in ("stamp_ns", "sent_ns", "target", "q", "dq"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    # From when a target is sent until it acts is one cycle, for every one of them.
    assert (np.diff(first.stamp_ns) == 10_000_000).all()


def test_a_limit_that_no_motion_reaches_is_said_to_be_unseen() -> None:
    slow = MotionConfig(steps=1, step=0.2, hold_s=0.4, lowest_hz=0.8)
    record = simulated(HAND, plan_motion(HAND, 0, slow), delay_s=0.0, seed=0)
    fit = fit_servos(HAND, record, FingerModel(HAND, 0), FitConfig(generations=25, searches=1, polish=1))
    assert np.isinf(fit.standard_error[:, 2]).all()
    found = identified(HAND, 0, fit, record_sha256="0" * 64, seed=0)
    kept = with_identified(HAND, found)
    np.testing.assert_array_equal(kept.velocity_limit, HAND.velocity_limit)


def test_a_record_of_another_hand_is_refused() -> None:
    record = simulated(HAND, plan_motion(HAND, 0, QUICK), delay_s=0.0, seed=0, dt_s=0.01)
    with pytest.raises(InputError, match="the record is of hand dclaw3; dclaw4"):
        fit_servos(hand_spec("dclaw4"), record, FingerModel(HAND, 0))
