"""The lines and scripts that call for faults, storms of them, and the board that keeps what is there now."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.errors import InputError
from knuckle.hardware.virtual.fault_board import FaultBoard
from knuckle.hardware.virtual.fault_storm import fault_storm
from knuckle.hardware.virtual.faults import KINDS, Fault, parse_fault, parse_script

MS = 1_000_000
IDS = [10, 11, 12, 20, 21, 22, 30, 31, 32]


def test_what_a_line_says_is_what_it_means() -> None:
    assert parse_fault("servo:3 silent for 2 s") == Fault("silent", 3, 0.0, 2.0)
    assert parse_fault(" servo:3  slow by 5ms for 500ms ") == Fault("slow", 3, 5.0, 0.5)
    assert parse_fault("bus garbage") == Fault("garbage", None, 1.0, None)


@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 252),
    st.floats(0, 1),
    st.none() | st.floats(1e-3, 1e4),
    st.booleans(),
)
def test_a_fault_that_is_written_out_reads_back_as_itself(
    kind: str, servo: int, share: float, lasting: float | None, whole_bus: bool
) -> None:
    known = KINDS[kind]
    whole_bus = whole_bus if len(known.targets) == 2 else "bus" in known.targets
    low, high = known.amount[1:3] if known.amount is not None else (0.0, 0.0)
    # :g keeps six digits
    amount = float(f"{low + share * (high - low):g}")
    duration = None if known.momentary or lasting is None else float(f"{lasting:g}")
    fault = Fault(kind, None if whole_bus else servo, min(max(amount, low), high), duration)
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no fault"),
        ("servo:3", "is no fault"),
        ("servo:3 silent for ever", "is no fault; TARGET KIND"),
        ("servo:3 silnt", "did you mean 'silent'"),
        ("servo:300 silent", "'servo:300' is no target; servo:ID"),
        ("finger silent", "'finger' is no target"),
        ("servo:3 unplug", "unplug cannot befall servo:3; the target bus"),
        ("bus duplicate", "duplicate cannot befall bus; a target servo:ID"),
        ("servo:3 silent by 3", "silent takes no amount"),
        ("servo:3 intermittent by 1.5", "intermittent by 0 to 1"),
        ("servo:3 slow by 5 s", "slow by 0 to 10000 ms"),
        ("servo:3 silent for 0 s", "cannot last 0 s"),
        ("servo:3 overload for 2 s", "overload happens once"),
    ],
)
def test_a_line_that_is_no_fault_is_named_with_what_would_be(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_fault(text)
    assert says in str(caught.value)


def test_a_script_names_the_line_that_is_wrong() -> None:
    with pytest.raises(InputError, match=r"faults\.txt:2: 'servo:3 silent' has no time; at TIME s"):
        parse_script("at 1 s servo:1 off\nservo:3 silent", where="faults.txt")
    with pytest.raises(InputError, match=r"script:1: unknown fault 'sad'"):
        parse_script("at 1 s servo:3 sad")


def test_a_board_counts_what_began_and_knows_when_something_changes_next() -> None:
    board = FaultBoard()
    board.play(parse_script("at 1 s servo:1 silent for 1 s\nat 1.5 s bus overload"), 0)
    assert board.next_ns() == 1_000 * MS
    began, ended = board.step(1_000 * MS)
    assert len(began) == 1 and ended == [] and board.next_ns() == 1_500 * MS
    began, ended = board.step(1_500 * MS)
    assert began == ended and board.injected == 2 and board.next_ns() == 2_000 * MS
    assert [a.fault.kind for a in board.step(9_000 * MS)[1]] == ["silent"] and board.active == []


@given(st.integers(0, 2**32), st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
def test_a_storm_is_one_fault_at_a_time_within_its_time_and_the_same_for_the_same_seed(
    seed: int, kinds: list[str]
) -> None:
    storm, again = (fault_storm(np.random.default_rng(seed), IDS, 60.0, kinds=kinds) for _ in range(2))
    assert storm == again and len(storm) > 5
    ends = 0.0
    for scripted in storm:
        assert scripted.at_s >= ends + 0.99
        ends = scripted.at_s + (scripted.fault.duration_s or 0.0)
        assert parse_script(f"at {scripted.at_s} s {scripted.fault}") == (scripted,)
    assert ends <= 60.001
    assert {scripted.fault.kind for scripted in storm} <= set(kinds)


def test_a_storm_of_nothing_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"unknown fault 'rain'"):
        fault_storm(rng, IDS, 10.0, kinds=["rain"])
    with pytest.raises(InputError, match=r"a storm without servos or kinds"):
        fault_storm(rng, [], 10.0)
