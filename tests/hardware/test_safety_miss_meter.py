"""Late commands: their share of what was due, the window's edges, and the bound."""

from __future__ import annotations

import pytest

from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.miss_meter import MOST, MissMeter

S = 1_000_000_000


def test_the_share_is_of_the_commands_due_in_a_whole_window():
    meter = MissMeter(12.0, Config())
    assert (meter.share(0), meter.problem(0), meter.total) == (0.0, "", 0)
    for n in range(1, 4):
        meter.missed(n)
        assert meter.share(n) == pytest.approx(n / 120)
    assert meter.total == 3


def test_exactly_what_is_allowed_is_no_problem_and_one_more_is():
    meter = MissMeter(10.0, Config())
    meter.missed(0)
    assert (meter.share(0), meter.problem(0)) == (0.01, "")
    meter.missed(0)
    assert meter.problem(0) == "2.0% of the commands of the last 10 s were late"


def test_a_miss_counts_for_the_window_and_not_a_nanosecond_longer():
    meter = MissMeter(10.0, Config(miss_window_s=2.0))
    meter.missed(5)
    meter.missed(9)
    assert meter.share(5 + 2 * S - 1) == 2 / 20
    assert meter.share(5 + 2 * S) == 1 / 20
    assert meter.share(9 + 2 * S) == 0.0
    assert meter.total == 2


def test_forgetting_begins_a_new_window_and_keeps_the_total():
    meter = MissMeter(10.0, Config())
    meter.missed(0)
    meter.forget()
    assert (meter.share(0), meter.total) == (0.0, 1)


def test_its_memory_is_bounded():
    meter = MissMeter(10.0, Config())
    for n in range(MOST + 10):
        meter.missed(n)
    assert meter.share(0) == 4096 / 100
    assert meter.total == 4106
