"""Whatever is ordered and whatever fails, in any order: an independent monitor of the bytes finds no unsafe write."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from knuckle.core.errors import KnuckleError
from knuckle.hardware.dynamixel.drive import ARMED, HOLDING, RELEASED
from knuckle.hardware.virtual.monitor import TORQUE_ENABLE, Envelope, ServoMonitor

FAULTS = (
    "servo:{id} silent",
    "servo:{id} off",
    "servo:{id} intermittent by 0.4",
    "servo:{id} garbage by 0.5",
    "servo:{id} slow by 15 ms",
    "servo:{id} frozen",
    "servo:{id} stuck",
    "servo:{id} reboot by 30 ms",
    "servo:{id} overload",
    "servo:{id} overheat for 50 ms",
    "bus silent for 40 ms",
    "bus garbage by 0.2 for 100 ms",
)


def orders(rng: np.random.Generator, hand, drive) -> None:
    """One thing that somebody may do, or that may happen; what is refused is refused."""
    match int(rng.integers(0, 12)):
        case 0 | 1 | 2:
            drive.order(ARMED)
        case 3:
            drive.order(HOLDING)
        case 4:
            drive.order(RELEASED)
        case 5 | 6 | 7:
            hand.keep_sending(rng.uniform(-3.0, 3.0, 9), int(rng.integers(1, 15)))
        case 8:
            share = rng.choice([0.0, 0.3, 1.0], 9)
            drive.limit_effort(share * hand.spec.effort_limit)
        case 9:
            id = int(rng.choice([s.id for s in hand.bus.servos]))
            hand.fault(str(rng.choice(FAULTS)).format(id=id))
        case 10:
            hand.mend()
        case 11:
            drive.recover()


@pytest.mark.parametrize("seed", range(8))
def test_no_sequence_of_orders_and_faults_brings_an_unsafe_write(wire_hand, seed) -> None:
    rng = np.random.default_rng(seed)
    hand = wire_hand(ramp_s=0.1, release_s=0.05)
    # The drive itself bounds positions and what torque goes on with; pace and reach are the safety layer's.
    monitor = ServoMonitor(Envelope.of_hand(hand.spec, reach=10.0, step=10.0, speed=1e6), hand.bus.truth())
    hand.bus.taps.append(monitor.observe)
    drive = hand.open()
    armed_by_order = False
    for _ in range(70):
        before = hand.port.now_ns
        was = drive.mode
        with contextlib.suppress(KnuckleError):
            orders(rng, hand, drive)
        armed_by_order = drive.mode == ARMED
        hand.run(int(rng.integers(1, 12)))
        # The joints never leave their limits, so a reading that does was made up: garbled, or the answer to another.
        assert (drive.state.q >= hand.spec.lower - 0.05).all() and (drive.state.q <= hand.spec.upper + 0.05).all()
        assert (np.abs(drive.state.dq) < 12.0).all()
        if not armed_by_order and was != ARMED:
            on = [w for w in monitor.writes(TORQUE_ENABLE, since_ns=before) if w.value == 1]
            assert not on, f"torque went on in {drive.mode}"
    assert monitor.unsafe_writes == 0, monitor.violations()[:3]
    hand.mend()
    drive.order(RELEASED)
    hand.run(60)
    assert not any(servo.torque_on for servo in hand.bus.servos)
    assert {w.value for w in monitor.writes(TORQUE_ENABLE)} <= {0, 1}
