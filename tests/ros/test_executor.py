"""The executor of every process: what waits costs nothing, and what fails is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

import rclpy.utilities  # noqa: E402
from rclpy.task import Future  # noqa: E402

from knuckle_ros.executor import Done, HostExecutor  # noqa: E402


class Asked(Future):  # type: ignore[misc, unused-ignore]
    """A future that counts how often it was asked whether it is done; rclpy's own await asks ``_pending``."""

    times = 0

    def done(self) -> bool:
        self.times += 1
        return bool(super().done())

    def _pending(self) -> bool:
        self.times += 1
        return bool(super()._pending())


@pytest.fixture
def executor() -> Iterator[HostExecutor]:
    rclpy.init()
    executor = HostExecutor(rclpy.utilities.get_default_context())
    yield executor
    executor.shutdown()
    rclpy.shutdown()


def test_a_coroutine_that_waits_is_not_asked_again_and_again_and_goes_on_with_the_result(
    executor: HostExecutor,
) -> None:
    future, came = Asked(), list[str]()

    async def wait() -> None:
        came.append("began")
        came.append(await Done(future))

    executor.create_task(wait)
    begun = time.monotonic()
    executor.spin(lambda: time.monotonic() > begun + 0.5)
    assert came == ["began"] and future.times < 20
    later = threading.Timer(0.05, future.set_result, ["result"])
    later.start()
    executor.spin(lambda: len(came) == 2 or time.monotonic() > begun + 60.0)
    later.join()
    assert came == ["began", "result"]


def test_a_coroutine_may_still_await_as_rclpy_does(executor: HostExecutor) -> None:
    future, came = Future(), list[int]()

    async def wait() -> None:
        came.append(await future)

    executor.create_task(wait())
    executor.create_task(lambda: future.set_result(7))
    begun = time.monotonic()
    executor.spin(lambda: bool(came) or time.monotonic() > begun + 60.0)
    assert came == [7]


@pytest.mark.parametrize("waits", [False, True])
def test_what_a_task_raises_is_raised_by_spin(executor: HostExecutor, waits: bool) -> None:
    future = Future()

    async def fail() -> None:
        if waits:
            await Done(future)
        raise ValueError("broken")

    executor.create_task(fail)
    executor.create_task(lambda: future.set_result(None))
    begun = time.monotonic()
    with pytest.raises(ValueError, match="broken"):
        executor.spin(lambda: time.monotonic() > begun + 60.0)
