"""The soak: what is planned, how it is counted, and five minutes of it over a whole graph."""

from __future__ import annotations

import importlib.util
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import InputError
from knuckle.hardware.virtual.camera_faults import check_fault
from knuckle.hardware.virtual.faults import parse_fault
from knuckle_ros.commands.bench_soak import bench_soak
from knuckle_ros.graph_process import RESTART_WINDOW_S, RESTARTS
from knuckle_ros.soak.plan import soak_plan

MINUTES = 5
SERVOS = (10, 11, 12, 20, 21, 22, 30, 31, 32)
CAMERA = importlib.util.find_spec("pyrealsense2") is not None


@given(seed=st.integers(0, 2**31 - 1), seconds=st.floats(6.0, 3000.0))
@settings(max_examples=25)
def test_a_plan_is_the_same_for_the_same_seed_one_fault_at_a_time_and_within_its_time(
    seed: int, seconds: float
) -> None:
    plan = soak_plan(seed, seconds, SERVOS)
    assert plan == soak_plan(seed, seconds, SERVOS)
    ends = [injection.at_s + injection.lasting_s for injection in plan]
    assert all(end <= seconds for end in ends)
    assert all(later.at_s >= end + 1.9 for end, later in zip(ends, plan[1:], strict=False))
    for injection in plan:
        if injection.target.startswith("servo:") or injection.target == "bus":
            parse_fault(f"{injection.target} {injection.what}")
        elif injection.target == "camera":
            check_fault(injection.what)


def test_a_minute_has_all_classes_of_faults_and_a_day_kills_no_process_so_often_that_it_is_given_up() -> None:
    minute = soak_plan(0, 60.0, SERVOS)
    classes = {i.target.split(":")[0] if i.what != "SIGKILL" else "kill" for i in minute}
    assert classes >= {"servo", "kill", "policy", "joint_commands", "emergency_stop", "camera"}
    kills = [i for i in soak_plan(1, 24 * 3600.0, SERVOS) if i.what == "SIGKILL"]
    assert {i.target for i in kills} == {"policy", "world", "perception"}
    for kill in kills:
        near = Counter(k.target for k in kills if kill.at_s <= k.at_s <= kill.at_s + RESTART_WINDOW_S)
        assert near[kill.target] <= RESTARTS


def test_without_a_camera_none_fails() -> None:
    assert not [i for i in soak_plan(0, 600.0, SERVOS, camera=False) if i.target == "camera"]


@pytest.mark.ros
def test_growth_compares_the_first_third_with_the_last() -> None:
    from knuckle_ros.soak.growth import growth

    times = [float(t) for t in range(31)]
    assert growth(times, [100.0 if t < 15 else 110.0 for t in times]) == (100.0, 110.0)
    # One that was restarted just then, or swelled for a moment, is no growth.
    assert growth(times, [500.0 if t == 25 else 100.0 for t in times]) == (100.0, 100.0)
    assert all(math.isnan(value) for value in growth([], []))


class Bus:
    """Stands in for a graph: process ids of its world, and what the monitor there says."""

    def __init__(self, *answers: tuple[int, dict[str, Any] | None]) -> None:
        self.answers = list(answers)

    def hosts(self) -> dict[str, int]:
        return {"world": self.answers[0][0]}

    def ask(self, what: str, line: str) -> dict[str, Any] | None:
        return self.answers.pop(0)[1]


def counted(packets: int, **reasons: int) -> dict[str, Any]:
    return {"packets": packets, "reasons": reasons, "last_violation": "servo 10: " + " ".join(reasons) or None}


@pytest.mark.ros
def test_unsafe_writes_are_counted_over_all_buses_that_there_were_and_each_once() -> None:
    from knuckle_ros.soak.soak import Soak

    first = [(7, counted(100, step=1)), (7, counted(200, step=1)), (8, None)]
    # The second one has counted more packets by the time it is asked than the first ever did.
    second = [(8, counted(300)), (8, counted(390, reach=2)), (8, counted(395, reach=2)), (9, counted(1, step=1))]
    bus: Any = Bus(*first, *second)
    soak = Soak(bus, bus, (), 60.0, print)
    for _, answer in (*first, *second):
        assert soak._judge() is (answer is not None)
    assert soak.record.unsafe == {"step": 2, "reach": 2}
    assert soak.record.packets == 596
    assert soak.record.last_unsafe == "servo 10: step"


@pytest.mark.ros
def test_a_fault_that_nobody_noticed_or_that_came_to_no_end_is_not_recovered() -> None:
    from knuckle_ros.soak.growth import soak_figures
    from knuckle_ros.soak.soak import Outcome, Record

    stop = soak_plan(0, 60.0, SERVOS)[0]
    good = Outcome(stop, 2.0, noticed=True, recovered_s=4.0)
    outcomes = [good, Outcome(stop, 5.0, noticed=False, recovered_s=6.0), Outcome(stop, 7.0, noticed=True)]
    figures = soak_figures(Record(outcomes, unsafe=Counter(step=2), seconds=60.0), [9.0, math.nan, 11.0])
    assert figures["faults_injected"] == 3
    assert figures["faults_unrecovered"] == 2
    assert figures["unsafe_writes"] == 2
    assert figures["jitter_p99_ms"] == pytest.approx(10.0 - 1000.0 / 120.0)
    assert math.isnan(figures["memory_growth_percent"])


@pytest.mark.parametrize(("words", "said"), [(["--minutes", "0"], "--minutes"), (["--seed", "-1"], "--seed")])
def test_a_soak_that_cannot_be_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        bench_soak(words)


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_graph_that_is_harmed_at_random_writes_nothing_unsafe_and_recovers_from_every_fault(
    tmp_path: Path, free_domain: int
) -> None:
    figures_file, report = tmp_path / "soak.json", tmp_path / "report"
    words = ["--minutes", str(MINUTES), "--domain", str(free_domain), "--json", str(figures_file)]
    words += ["--report", str(report)] + ([] if CAMERA else ["--no-camera"])
    assert bench_soak(words) == 0, (report / "README.md").read_text()
    figures = json.loads(figures_file.read_text())["figures"]
    assert figures["unsafe_writes"] == 0
    assert figures["faults_unrecovered"] == 0
    assert figures["faults_injected"] == len(soak_plan(0, 60.0 * MINUTES, SERVOS, camera=CAMERA)) > 5 * MINUTES
    assert figures["packets_judged"] > 500 * MINUTES
    assert figures["memory_growth_percent"] < 20.0
    assert figures["descriptor_growth"] < 20
    assert {path.name for path in report.iterdir()} == {
        *("README.md", "events.json", "memory.svg", "descriptors.svg", "state.svg")
    }
