"""The four states of a guarded hand, and what each event does in each of them.

                ARM       HOLD      RELEASE    STOP      REARM     EXPIRED  DIED  FAULT
    HOLD        ARMED     stays     RELEASED   STOPPED   refused   stays    stays stays
    ARMED       refused   HOLD      RELEASED   STOPPED   refused   HOLD     HOLD  HOLD
    RELEASED    ARMED     refused   stays      STOPPED   refused   stays    stays stays
    STOPPED     refused   refused   stays *    stays     HOLD **   stays    stays stays

Only ARM ever turns torque on: a fault or a stop leaves a released hand released. * The stop stays latched and torque
goes off. ** RELEASED where torque is off, so that clearing a latch moves nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, IntEnum

from knuckle.core.errors import CommandRefused


class State(IntEnum):
    """What the driver does; the values are those of knuckle_msgs/SafetyState."""

    HOLD = 0
    """Torque on, the posture measured on entering is kept, commands are refused."""
    ARMED = 1
    """Torque on, commands of the lease's holder are limited and sent."""
    RELEASED = 2
    """Torque off, commands are refused."""
    STOPPED = 3
    """Stopped and latched; posture kept (or torque off, where it was off or release was asked for)."""


class Event(Enum):
    """What can happen to the driver; the value is how a message speaks of it."""

    ARM = "arm"
    HOLD = "hold"
    RELEASE = "release"
    STOP = "emergency stop"
    REARM = "rearm"
    EXPIRED = "expired commands"
    DIED = "death of the commander"
    FAULT = "fault"


_PASSIVE = (Event.EXPIRED, Event.DIED, Event.FAULT)

TABLE: dict[tuple[State, Event], State | None] = {
    (State.HOLD, Event.ARM): State.ARMED,
    (State.HOLD, Event.HOLD): State.HOLD,
    (State.HOLD, Event.RELEASE): State.RELEASED,
    (State.HOLD, Event.STOP): State.STOPPED,
    (State.HOLD, Event.REARM): None,
    **{(State.HOLD, event): State.HOLD for event in _PASSIVE},
    (State.ARMED, Event.ARM): None,
    (State.ARMED, Event.HOLD): State.HOLD,
    (State.ARMED, Event.RELEASE): State.RELEASED,
    (State.ARMED, Event.STOP): State.STOPPED,
    (State.ARMED, Event.REARM): None,
    **{(State.ARMED, event): State.HOLD for event in _PASSIVE},
    (State.RELEASED, Event.ARM): State.ARMED,
    (State.RELEASED, Event.HOLD): None,
    (State.RELEASED, Event.RELEASE): State.RELEASED,
    (State.RELEASED, Event.STOP): State.STOPPED,
    (State.RELEASED, Event.REARM): None,
    **{(State.RELEASED, event): State.RELEASED for event in _PASSIVE},
    (State.STOPPED, Event.ARM): None,
    (State.STOPPED, Event.HOLD): None,
    (State.STOPPED, Event.RELEASE): State.STOPPED,
    (State.STOPPED, Event.STOP): State.STOPPED,
    (State.STOPPED, Event.REARM): State.HOLD,
    **{(State.STOPPED, event): State.STOPPED for event in _PASSIVE},
}
"""The next state, or None where the event is refused. Total: every event in every state."""

_RIGHT = {
    State.HOLD: "nothing is latched",
    State.ARMED: "hold or release the hand first",
    State.RELEASED: "arm the hand",
    State.STOPPED: "clear the stop first (hand/rearm)",
}


@dataclass(frozen=True)
class Transition:
    """A change of state, why, and when (ns of the hand's clock)."""

    stamp_ns: int
    before: State
    after: State
    event: Event
    reason: str


class Machine:
    """The state machine: state, torque, the reason of the present state and the last 64 transitions."""

    def __init__(self, state: State, reason: str) -> None:
        """Start in HOLD or STOPPED with torque on, for ``reason``."""
        self.state = state
        self.torque = state is not State.RELEASED
        self.reason = reason
        self.since_ns = 0
        self.changes = 0
        self.history: deque[Transition] = deque(maxlen=64)

    def check(self, event: Event) -> State:
        """The state that ``event`` would lead to; CommandRefused where it is not allowed now."""
        after = TABLE[self.state, event]
        if after is None:
            raise CommandRefused(
                f"{event.value} is refused: the hand is {self.state.name} ({self.reason})",
                where="hand",
                right=_RIGHT[self.state],
            )
        if event is Event.REARM and not self.torque:
            return State.RELEASED
        return after

    def fire(self, event: Event, reason: str, now_ns: int) -> bool:
        """Take ``event``; True where the state changed. A state that stays keeps the reason it was entered for."""
        after = self.check(event)
        if event is Event.ARM:
            self.torque = True
        elif event is Event.RELEASE:
            self.torque = False
        if after is self.state:
            return False
        self.history.append(Transition(now_ns, self.state, after, event, reason))
        self.state, self.reason, self.since_ns = after, reason, now_ns
        self.changes += 1
        return True
