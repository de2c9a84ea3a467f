"""The cycle of a real hand's node: a thread on the machine's monotonic clock, where no simulated world beats time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from knuckle_ros.paced_world import Cycle


class SteadyCycle:
    """Calls the cycles that were added, ``rate_hz`` times a second, from a thread of its own until ``stop``.

    A cycle that fails ends the thread; ``failure`` says why, and ``on_failure`` is called.
    """

    def __init__(self, rate_hz: int, on_failure: Callable[[Exception], None] = lambda error: None) -> None:
        self._rate_hz, self._on_failure = rate_hz, on_failure
        self.failure: Exception | None = None
        self._cycles: list[Cycle] = []
        self._calling = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hand cycle")

    def add_cycle(self, cycle: Cycle) -> None:
        """Call ``cycle`` with the time in ns and its number from now on; the first one begins the beat."""
        with self._calling:
            self._cycles.append(cycle)
        if self._thread.ident is None:
            self._thread.start()

    def remove_cycle(self, cycle: Cycle) -> None:
        """Call it no more; once this returns it is not running either."""
        with self._calling:
            self._cycles.remove(cycle)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        due, step = time.monotonic(), 0
        try:
            while not self._stopping.wait(max(0.0, due - time.monotonic())):
                step += 1
                with self._calling:
                    for cycle in self._cycles:
                        cycle(time.monotonic_ns(), step)
                # What was lost while the machine was busy is not made up for in a burst.
                due = max(due + 1.0 / self._rate_hz, time.monotonic() - 1.0 / self._rate_hz)
        except Exception as error:
            self.failure = error
            self._on_failure(error)
