"""The simulated world of one process, stepped by a thread of its own: the clock of everything simulated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from knuckle.core.errors import InputError
from knuckle.sim.world import STEPS_PER_S, SimWorld
from knuckle_ros.host_context import HostContext
from knuckle_ros.world_pace import Lockstep, Pace

KEY = "world"
POLL_S = 0.05
STEP_NS = 1_000_000_000 // STEPS_PER_S

Cycle = Callable[[int, int], None]
"""Called after each step with the world's time in ns and the number of the step since start."""


class PacedWorld:
    """``world`` with its pace. Nodes of the process add their cycles, in the order of the graph, before ``start``."""

    def __init__(self, world: SimWorld) -> None:
        self.sim = world
        self.pace = Pace()
        self.lockstep = Lockstep(slack_ns=STEP_NS // 2)
        self.failure: Exception | None = None
        self._start_ns = world.now_ns
        self._steps = 0
        self._cycles: list[Cycle] = []
        self._calling = threading.Lock()
        self._gate = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="world")

    @property
    def steps_a_cycle(self) -> int:
        """Steps in one control cycle of the hand."""
        return round(STEPS_PER_S / self.sim.spec.control_rate_hz)

    def add_cycle(self, cycle: Cycle) -> None:
        """Call ``cycle`` after each step, in the world's thread."""
        with self._calling:
            self._cycles.append(cycle)

    def remove_cycle(self, cycle: Cycle) -> None:
        """Call it no more; once this returns it is not running either."""
        with self._calling:
            self._cycles.remove(cycle)

    def commanded(self, valid_until_ns: int) -> None:
        """A command was sent to the hand: the world may go on until ``valid_until_ns``."""
        with self._gate:
            self.lockstep.commanded(valid_until_ns)
            self._gate.notify()

    def free(self) -> None:
        """Nobody commands the hand: the world goes on by itself."""
        with self._gate:
            self.lockstep.free()
            self._gate.notify()

    def start(self) -> None:
        """Let time run."""
        self._thread.start()

    def stop(self) -> None:
        """Stop time and end the thread."""
        self._stopping.set()
        with self._gate:
            self._gate.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait_for_turn(to_ns := self._next_ns()):
                self._steps += self.sim.advance(to_ns)
                self.pace.reached(time.monotonic(), to_ns)
                with self._calling:
                    for cycle in self._cycles:
                        cycle(self.sim.now_ns, self._steps)
        except Exception as error:
            # Raised again by the world's node, in the executor's thread.
            self.failure = error

    def _next_ns(self) -> int:
        return self._start_ns + (self._steps + 1) * 1_000_000_000 // STEPS_PER_S

    def _wait_for_turn(self, to_ns: int) -> bool:
        """Wait until the world may step to ``to_ns``: the wall's time, then the command's. False where it is over."""
        if self._stopping.wait(self.pace.wait_s(time.monotonic(), to_ns)):
            return False
        with self._gate:
            while not self._stopping.is_set() and not self.lockstep.may_reach(to_ns, time.monotonic()):
                self._gate.wait(POLL_S)
        return not self._stopping.is_set()


def shared_world(context: HostContext, *, where: str) -> PacedWorld:
    """The world of this process; InputError where no world node comes before ``where`` in the same process."""
    world = context.shared.get(KEY)
    if not isinstance(world, PacedWorld):
        right = "a world_node listed before it, in the same process"
        raise InputError(f"no simulated world in process '{context.process}'", where=where, right=right)
    return world
