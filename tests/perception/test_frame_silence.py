"""Silence of frames, told by the stamps of joint states."""

from __future__ import annotations

import pytest

from knuckle.perception.frame_silence import FrameSilence

MS = 1_000_000


@pytest.mark.parametrize("period_ms", [33, 83, 167])
def test_silence_is_told_within_three_periods_and_not_before_two(period_ms: int) -> None:
    silence = FrameSilence(2.5)
    for n in range(6):
        silence.frame(n * period_ms * MS)
        silence.passed((n + 1) * period_ms * MS)
        assert not silence.silent
    last = 5 * period_ms
    silence.passed((last + 2 * period_ms) * MS)
    assert not silence.silent
    silence.passed((last + 3 * period_ms) * MS - 1)
    assert silence.silent
    assert silence.since_ms == pytest.approx(3 * period_ms, abs=0.01)
    silence.frame((last + 3 * period_ms) * MS)
    assert not silence.silent


def test_a_single_gap_does_not_change_the_period_and_a_clock_set_anew_is_no_silence() -> None:
    silence = FrameSilence(2.5)
    for n in (0, 1, 2, 3, 5, 6):
        silence.frame(n * 80 * MS)
    assert silence.period_ns == 80 * MS
    silence.passed(100_000 * MS)
    assert silence.silent
    silence.passed(10 * MS)
    assert not silence.silent


def test_nothing_is_said_before_the_period_is_known() -> None:
    silence = FrameSilence(2.5)
    silence.frame(0)
    silence.passed(10**12)
    assert not silence.silent


def test_frames_that_are_long_under_way_are_late_and_not_silent() -> None:
    by_stamp, by_arrival = FrameSilence(2.5), FrameSilence(2.5, by_arrival=True)
    for n in range(8):
        for silence in (by_stamp, by_arrival):
            silence.passed((n * 80 + 300) * MS)
            silence.frame(n * 80 * MS)
    assert by_stamp.silent
    assert not by_arrival.silent
    by_arrival.passed((7 * 80 + 300 + 201) * MS)
    assert by_arrival.silent
