"""Two topics made one stream again, whatever the order they come in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from knuckle.sensors.stamp_pairing import StampPairing

ROW = np.zeros(3)
PERIOD = 10_000_000


def mag_of(i: int) -> np.ndarray:
    return np.array([float(i), 0.0, 0.0])


@given(st.lists(st.booleans(), max_size=80))
def test_any_interleaving_gives_every_pair_once_and_in_order(choices):
    pairing, out, imu, mag = StampPairing(), [], 0, 0
    for take_imu in [*choices, *[True, False] * 80]:
        if take_imu and imu < 40:
            out += pairing.imu(imu * PERIOD, ROW, ROW)
            imu += 1
        elif not take_imu and mag < 40:
            out += pairing.mag(mag * PERIOD, mag_of(mag))
            mag += 1
    assert [stamp for stamp, _ in out] == [i * PERIOD for i in range(40)]
    assert [s.mag[0] for _, s in out] == list(range(40))
    assert pairing.unpaired == pairing.unused == 0


def test_a_lost_field_costs_its_reading_the_field_and_no_more():
    pairing, out = StampPairing(), []
    for i in range(10):
        out += pairing.imu(i * PERIOD, ROW, ROW)
        if i != 4:
            out += pairing.mag(i * PERIOD, mag_of(i))
    assert [stamp // PERIOD for stamp, _ in out] == list(range(10))
    assert [stamp // PERIOD for stamp, s in out if s.mag is None] == [4]
    assert pairing.unpaired == 1


def test_a_magnetometer_that_dies_is_waited_for_once_and_taken_back_when_it_returns():
    pairing = StampPairing(patience_ns=10 * PERIOD)
    for i in range(5):
        pairing.mag(i * PERIOD, mag_of(i))
        assert len(pairing.imu(i * PERIOD, ROW, ROW)) == 1
    released = [len(pairing.imu(i * PERIOD, ROW, ROW)) for i in range(5, 30)]
    assert released == [0] * 10 + [11] + [1] * 14
    pairing.mag(30 * PERIOD, mag_of(30))
    assert pairing.imu(30 * PERIOD, ROW, ROW)[0][1].mag is not None
    assert pairing.imu(31 * PERIOD, ROW, ROW) == []


def test_without_a_magnetometer_nothing_waits():
    pairing = StampPairing(expects_mag=False)
    assert pairing.imu(0, ROW, ROW)[0][1].mag is None


def test_a_field_with_a_wild_stamp_is_dropped_with_the_next_good_one():
    pairing = StampPairing()
    pairing.mag(10**18, mag_of(0))
    pairing.mag(PERIOD, mag_of(1))
    assert pairing.imu(PERIOD, ROW, ROW)[0][1].mag[0] == 1.0
    assert pairing.unused == 1


def test_fields_that_nobody_wants_do_not_fill_memory():
    pairing = StampPairing()
    for i in range(10_000):
        pairing.mag(i, ROW)
    assert pairing.unused == 10_000 - 4096
