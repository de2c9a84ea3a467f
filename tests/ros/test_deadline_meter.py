"""Cycles that a node answers too late, or never, are counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from knuckle_ros.deadline_meter import DeadlineMeter


@given(delays=st.lists(st.floats(0.0, 0.3), max_size=60))
def test_every_cycle_is_counted_and_the_late_ones_are_misses(delays: list[float]) -> None:
    meter = DeadlineMeter(0.1, window_s=1e9)
    told = [meter.answered(float(k), k + delay) for k, delay in enumerate(delays)]
    late = [k + delay - k > 0.1 for k, delay in enumerate(delays)]
    assert told == [not was for was in late]
    assert (meter.cycles, meter.misses) == (len(delays), sum(late))
    assert meter.share(float(len(delays))) == (sum(late) / len(delays) if delays else 0.0)


def test_what_was_never_answered_is_a_miss_and_the_share_forgets_it_in_time() -> None:
    meter = DeadlineMeter(0.1, window_s=10.0)
    meter.skipped(0.0)
    meter.answered(1.0, 1.05)
    assert meter.share(5.0) == 0.5
    assert meter.share(10.5) == 0.0
    assert meter.misses == 1
