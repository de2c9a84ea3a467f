"""When simulated time may go on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from knuckle_ros.health_meter import HealthMeter
from knuckle_ros.world_pace import BEHIND_S, PATIENCE_S, Lockstep, Pace

STEP = 8_333_333


@given(st.lists(st.floats(0.0, 0.02), min_size=1, max_size=200))
def test_the_world_never_runs_ahead_of_the_wall(delays: list[float]) -> None:
    pace, wall, first = Pace(), 100.0, None
    for k, delay in enumerate(delays):
        wall += delay
        wall += pace.wait_s(wall, k * STEP)
        first = wall if first is None else first
        assert wall - first >= k * STEP * 1e-9 - 1e-9


def test_a_world_on_time_keeps_its_mean_rate_and_one_far_behind_hurries_by_its_bound_alone() -> None:
    pace = Pace()
    assert pace.wait_s(0.0, 0) == 0.0
    assert abs(pace.wait_s(0.001, STEP) - (STEP * 1e-9 - 0.001)) < 1e-9
    late = STEP * 2e-9 + BEHIND_S + 1.0
    assert pace.wait_s(late, 2 * STEP) == 0.0
    hurried = next(k for k in range(3, 100) if pace.wait_s(late, k * STEP) > 0.0)
    assert (hurried - 3) * STEP * 1e-9 <= BEHIND_S < (hurried - 2) * STEP * 1e-9


def test_a_planner_slower_than_a_cycle_does_not_wait_for_the_paced_cycle_too() -> None:
    pace, wall, cycle_s, planning_s = Pace(), 0.0, 10 * STEP * 1e-9, 0.12
    for k in range(200):
        wall += planning_s if k % 10 == 0 else 0.0
        wall += pace.wait_s(wall, k * STEP)
    assert wall < 20 * planning_s + 2 * cycle_s


def test_the_real_time_factor_is_the_slope() -> None:
    pace = Pace()
    for k in range(10):
        pace.reached(2.0 * k, k * 1_000_000_000)
    assert abs(pace.real_time_factor() - 0.5) < 1e-12


@given(st.integers(0, 10**12), st.integers(1, 10**9))
def test_the_world_stops_at_the_end_of_validity_and_goes_on_with_the_next_command(until: int, more: int) -> None:
    lockstep = Lockstep(slack_ns=STEP // 2)
    assert lockstep.may_reach(until + more + STEP, 0.0)
    lockstep.commanded(until)
    assert lockstep.may_reach(until + STEP // 2, 0.0)
    assert not lockstep.may_reach(until + STEP // 2 + 1, 0.0)
    lockstep.commanded(until + more)
    assert lockstep.may_reach(until + more, 0.0)


def test_a_planner_that_hangs_holds_the_clock_for_its_patience_and_no_longer() -> None:
    lockstep = Lockstep(slack_ns=0)
    lockstep.commanded(1000)
    assert not lockstep.may_reach(2000, 5.0)
    assert not lockstep.may_reach(2000, 5.0 + PATIENCE_S - 0.01)
    assert lockstep.may_reach(2000, 5.0 + PATIENCE_S)
    assert lockstep.may_reach(10**9, 5.1 + PATIENCE_S)
    assert lockstep.timeouts == 1
    lockstep.commanded(2000)
    assert not lockstep.may_reach(3000, 9.0)


def test_rates_latencies_and_drops_are_of_the_last_second() -> None:
    meter = HealthMeter()
    for i in range(30):
        meter.produced(0.1 * i, 0.001 * i)
    meter.dropped(3)
    health = meter.read(2.95)
    assert health.rate_hz == 10.0
    assert (health.latency_p50_s, health.latency_max_s) == (0.025, 0.029)
    assert health.drops == 3
    assert meter.read(100.0).rate_hz == 0.0
