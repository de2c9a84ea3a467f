"""rclpy's events executor, with three of its traps closed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from rclpy.context import Context
from rclpy.executors import await_or_execute
from rclpy.impl.implementation_singleton import rclpy_implementation

if TYPE_CHECKING:
    from rclpy.task import Future, Task

# spin() and spin_once(timeout_sec=None) burn a core, call nothing and ignore every signal; a finite timeout works.
SPIN_S = 0.1


class Done:
    """``await Done(future)`` is ``await future`` for a coroutine that may wait long: nothing runs until then.

    rclpy's own await does not say what it waits for, so its executors ask again and again, as fast as they can.
    """

    def __init__(self, future: Future) -> None:
        self.future = future

    def __await__(self) -> Generator[Future, None, Any]:
        while not self.future.done():
            yield self.future
        return self.future.result()


class HostExecutor(rclpy_implementation.EventsExecutor):  # type: ignore[misc, name-defined, unused-ignore]
    """An events executor that never swallows an exception, nor dies of one.

    As it comes, an exception in a task (the callback of a future, the coroutine of an action) ends the interpreter
    with a segmentation fault. Here it is kept, and ``spin`` raises it. A coroutine that awaits `Done` costs nothing
    while it waits.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.failure: Exception | None = None
        # rclpy's own factory of this class does the same.
        context.on_shutdown(self.wake)

    def create_task(self, callback: Any, *args: Any, **kwargs: Any) -> Task:
        """A task whose exception is kept for ``spin``."""

        async def guarded() -> Any:
            # An exception that left the task would crash the interpreter.
            try:
                if inspect.iscoroutine(callback):
                    return await callback
                return await await_or_execute(callback, *args, **kwargs)
            except Exception as error:
                self.failure = self.failure or error

        return self._resumed(guarded())

    def _resumed(self, coroutine: Coroutine[Any, None, Any]) -> Task:
        """A task that goes on with ``coroutine`` to where it waits; it goes on from there when that is done."""

        def resume() -> None:
            try:
                awaited = coroutine.send(None)
            except StopIteration:
                return
            if awaited is None:
                self._resumed(coroutine)
            else:
                awaited.add_done_callback(lambda _: self._resumed(coroutine))

        task: Task = super().create_task(resume)
        return task

    def spin(self, until: Callable[[], bool]) -> None:  # type: ignore[override, unused-ignore]
        """Serve callbacks until ``until()``; raises what a callback or a task raised."""
        while not until():
            self.spin_once(timeout_sec=SPIN_S)
            if self.failure is not None:
                raise self.failure
