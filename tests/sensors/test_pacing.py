"""The schedule of a played recording: absolute, and after a stall neither bunched nor lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.sensors.pacing import Pacer

PERIOD = 3_500_000


def play(n, send_cost, stalls):
    """Send ``n`` samples on a clock that only waiting, sending and stalls move; returns the pacer and the times."""
    pacer, now, times = Pacer(PERIOD, begin_ns=1000, first_stamp_ns=77), 0, []
    for i in range(n):
        stamp = 77 + i * PERIOD
        now = max(now, pacer.due_ns(stamp)) + stalls.get(i, 0)
        times.append(now)
        pacer.sent_at(stamp, now)
        now += send_cost
    return pacer, times


def test_a_calm_run_keeps_every_time_and_the_rate():
    pacer, times = play(1000, 100_000, {})
    assert times == [1000 + i * PERIOD for i in range(1000)]
    assert pacer.late == 0
    assert pacer.rate_hz() == pytest.approx(1e9 / PERIOD)


@given(st.dictionaries(st.integers(1, 300), st.integers(0, 40 * PERIOD), max_size=5))
def test_after_stalls_the_schedule_is_met_again_without_bunching(stalls):
    pacer, times = play(1000, 100_000, stalls)
    gaps = [b - a for a, b in pairwise(times)]
    assert min(gaps) >= PERIOD // 2
    assert times[-1] == 1000 + 999 * PERIOD
    assert pacer.late == sum(t - (1000 + i * PERIOD) > PERIOD for i, t in enumerate(times))


def test_the_rate_of_less_than_two_samples_is_zero():
    assert Pacer(PERIOD, 0, 0).rate_hz() == 0.0
