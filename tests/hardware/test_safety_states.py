"""The states: every event in every state, written out here a second time by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.errors import CommandRefused
from knuckle.hardware.safety.states import TABLE, Event, Machine, State, Transition

H, A, R, S, X = State.HOLD, State.ARMED, State.RELEASED, State.STOPPED, None
COLUMNS = (
    Event.ARM,
    Event.HOLD,
    Event.RELEASE,
    Event.STOP,
    Event.REARM,
    Event.EXPIRED,
    Event.DIED,
    Event.FAULT,
)
ROWS = {
    H: (A, H, R, S, X, H, H, H),
    A: (X, H, R, S, X, H, H, H),
    R: (A, X, R, S, X, R, R, R),
    S: (X, X, S, S, H, S, S, S),
}


def test_the_table_is_total_and_as_documented():
    assert len(TABLE) == len(State) * len(Event) == 32
    for state, row in ROWS.items():
        assert {event: TABLE[state, event] for event in Event} == dict(zip(COLUMNS, row, strict=True))


def test_state_numbers_are_those_of_the_message():
    assert [(state.name, int(state)) for state in State] == [("HOLD", 0), ("ARMED", 1), ("RELEASED", 2), ("STOPPED", 3)]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_each_event_moves_stays_or_is_refused_with_reason_kept(state, event):
    machine = Machine(state, "because")
    after = TABLE[state, event]
    if after is None:
        with pytest.raises(CommandRefused, match=rf"{event.value} is refused: the hand is {state.name} \(because\); "):
            machine.fire(event, "later", 7)
        assert (machine.state, machine.reason, machine.changes) == (state, "because", 0)
        return
    moved = machine.fire(event, "later", 7)
    assert moved == (after is not state)
    assert machine.state is after
    assert machine.reason == ("later" if moved else "because")
    assert machine.since_ns == (7 if moved else 0)
    assert machine.changes == len(machine.history) == int(moved)
    if moved:
        assert list(machine.history) == [Transition(7, state, after, event, "later")]


def test_clearing_a_stop_of_a_limp_hand_leaves_it_limp():
    for way in ([Event.RELEASE, Event.STOP], [Event.STOP, Event.RELEASE]):
        machine = Machine(State.HOLD, "start")
        for event in way:
            machine.fire(event, "x", 0)
        assert (machine.state, machine.torque) == (State.STOPPED, False)
        machine.fire(Event.REARM, "x", 0)
        assert (machine.state, machine.torque) == (State.RELEASED, False)
        machine.fire(Event.ARM, "x", 0)
        assert (machine.state, machine.torque) == (State.ARMED, True)


@given(st.lists(st.sampled_from(Event), max_size=60))
def test_in_no_sequence_does_anything_but_arm_turn_torque_on_or_anything_but_rearm_leave_a_stop(events):
    machine = Machine(State.HOLD, "start")
    for event in events:
        state, torque = machine.state, machine.torque
        try:
            machine.fire(event, event.value, 0)
        except CommandRefused:
            assert (machine.state, machine.torque) == (state, torque)
        if machine.torque and not torque:
            assert event is Event.ARM
        if torque and not machine.torque:
            assert event is Event.RELEASE
        if state is State.STOPPED and machine.state is not State.STOPPED:
            assert event is Event.REARM
        if machine.state is State.ARMED and state is not State.ARMED:
            assert event is Event.ARM
        assert machine.torque or machine.state in (State.RELEASED, State.STOPPED)


def test_the_history_is_bounded():
    machine = Machine(State.HOLD, "start")
    for i in range(100):
        machine.fire(Event.ARM if i % 2 == 0 else Event.HOLD, str(i), i)
    assert machine.changes == 100
    assert [entry.stamp_ns for entry in machine.history] == list(range(36, 100))
