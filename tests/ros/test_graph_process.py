"""When a dead process is started again."""

from __future__ import annotations

import os

import pytest

from knuckle_ros.graph import ProcessOptions
from knuckle_ros.graph_process import RESTARTS, GraphProcess


def dies(process: GraphProcess, now: float) -> bool:
    process._deaths.append(now)
    return process.plan_restart(now)


def test_the_back_off_doubles_and_is_bounded() -> None:
    process = GraphProcess("p", ProcessOptions(), ())
    waits = []
    for _ in range(RESTARTS):
        assert dies(process, 100.0)
        waits.append(process.start_at - 100.0)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_it_stays_dead_after_five_restarts_in_300_s_and_not_after_as_many_in_longer() -> None:
    process = GraphProcess("p", ProcessOptions(), ())
    assert [dies(process, 10.0 * i) for i in range(RESTARTS + 1)] == [True] * RESTARTS + [False]
    assert process.state == "failed"
    patient = GraphProcess("p", ProcessOptions(), ())
    assert all(dies(patient, 61.0 * i) for i in range(50))


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_restart_never_means_never(now: float) -> None:
    assert not dies(GraphProcess("p", ProcessOptions(restart="never"), ()), now)


def test_a_process_that_prints_without_end_is_read_in_portions() -> None:
    process = GraphProcess("p", ProcessOptions(), ())
    process.output = os.open("/dev/zero", os.O_RDONLY)
    assert process.lines() == []
    assert len(process._partial) <= 65536
    os.close(process.output)
