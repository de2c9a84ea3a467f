"""When simulated time may go on: in step with the wall's, and never beyond the newest command. Pure.

The simulated clock waits for the planner (lockstep): while a commander is armed the world stops at the end of the
newest command's validity. That waiting has a bound in wall time, after which the world goes on, the command expires
and the hand holds: a planner that hangs stops the hand and not the world.
"""

from __future__ import annotations

from collections import deque

PATIENCE_S = 2.0
BEHIND_S = 0.1


class Pace:
    """Simulated against wall time, at real time at most; of what was lost up to ``BEHIND_S`` is caught up with.

    That is more than a control cycle: a world that waits for its planner in every cycle then steps through the next
    one at once, and runs as fast as the planner instead of cycle and planning one after the other.
    """

    def __init__(self) -> None:
        self._anchor: tuple[float, int] | None = None
        self._marks: deque[tuple[float, int]] = deque(maxlen=256)

    def wait_s(self, wall_s: float, sim_ns: int) -> float:
        """How long to wait before simulated time may be ``sim_ns``; what lies further behind is given up."""
        if self._anchor is None:
            self._anchor = (wall_s, sim_ns)
        wait = self._anchor[0] + (sim_ns - self._anchor[1]) * 1e-9 - wall_s
        if wait < -BEHIND_S:
            self._anchor = (wall_s - BEHIND_S, sim_ns)
        return max(0.0, wait)

    def reached(self, wall_s: float, sim_ns: int) -> None:
        """Note that simulated time is ``sim_ns``."""
        self._marks.append((wall_s, sim_ns))

    def real_time_factor(self) -> float:
        """Simulated seconds for each of the wall's, over the last two seconds or so; 0 before there are any."""
        if len(self._marks) < 2 or self._marks[-1][0] <= self._marks[0][0]:
            return 0.0
        (wall_0, sim_0), (wall_1, sim_1) = self._marks[0], self._marks[-1]
        return (sim_1 - sim_0) * 1e-9 / (wall_1 - wall_0)


class Lockstep:
    """Stops the world at the end of the newest command's validity, with ``slack_ns`` for rounding."""

    def __init__(self, slack_ns: int) -> None:
        self.slack_ns = slack_ns
        self._until_ns: int | None = None
        self._since_s: float | None = None
        self.timeouts = 0

    def commanded(self, valid_until_ns: int) -> None:
        """A command was accepted: the world may go on until the end of its validity."""
        self._until_ns, self._since_s = valid_until_ns, None

    def free(self) -> None:
        """Nobody commands: the world need not wait."""
        self._until_ns, self._since_s = None, None

    def may_reach(self, to_ns: int, wall_s: float) -> bool:
        """Whether the world may step to ``to_ns``; asked again and again while it may not."""
        if self._until_ns is None or to_ns <= self._until_ns + self.slack_ns:
            return True
        if self._since_s is None:
            self._since_s = wall_s
        if wall_s - self._since_s < PATIENCE_S:
            return False
        self.timeouts += 1
        self.free()
        return True
