"""The raw hand of the safety layer's tests: joints that follow targets at their velocity limit, and can fail."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused, DeviceError
from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.spec.contracts import HandCommand, HandState
from knuckle.hardware.spec.dclaw import dclaw

SPEC = dclaw(3)
MS = 1_000_000
CYCLE = 10 * MS
PERIOD = round(1e9 / SPEC.control_rate_hz)


def _state_at(stamp_ns: int, q: np.ndarray, /, **changed: object) -> HandState:
    values: dict = {
        "stamp_ns": stamp_ns,
        "seq": 0,
        "q": np.array(q, dtype=float),
        "dq": np.zeros(SPEC.dof),
        "effort": np.zeros(SPEC.dof),
        "temperature": np.full(SPEC.dof, np.nan),
        "error": np.zeros(SPEC.dof, dtype=np.int32),
    }
    return HandState(**{**values, **changed})


class FakeHand:
    """Follows its target; every call is written to ``calls`` with the time, and can be made to fail."""

    def __init__(self) -> None:
        self.spec = SPEC
        self.now_ns = 0
        self.q = SPEC.home.copy()
        self.target = self.q.copy()
        self.torque = True
        self.calls: list[tuple[str, int]] = []
        self.sent: list[HandCommand] = []
        self.failing: set[str] = set()
        self.refusing = False
        self.broken: dict[str, object] = {}
        self.effort_limit = SPEC.effort_limit.copy()

    def advance(self, now_ns: int) -> None:
        reach = SPEC.velocity_limit * (now_ns - self.now_ns) * 1e-9
        if self.torque:
            self.q = np.clip(self.target, self.q - reach, self.q + reach)
        self.now_ns = now_ns

    def _call(self, name: str) -> None:
        self.calls.append((name, self.now_ns))
        if name in self.failing:
            raise DeviceError(f"{name} failed", where="fake hand", right="a hand that works")

    def read(self) -> HandState:
        self._call("read")
        return _state_at(self.now_ns, self.q, **self.broken)

    def send(self, command: HandCommand) -> HandCommand:
        self._call("send")
        if self.refusing:
            raise CommandRefused("busy", where="fake hand")
        self.sent.append(command)
        self.target = command.q.copy()
        return command

    def arm(self) -> None:
        self._call("arm")
        self.torque, self.target = True, self.q.copy()

    def hold(self) -> None:
        self._call("hold")
        self.target = self.q.copy()

    def release(self) -> None:
        self._call("release")
        self.torque = False

    def limit_effort(self, limit: np.ndarray) -> None:
        self._call("limit_effort")
        self.effort_limit = limit.copy()

    def recover(self) -> None:
        self._call("recover")

    def made(self, name: str) -> int:
        return sum(call == name for call, _ in self.calls)


class Rig:
    """A guarded fake hand and its clock."""

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        self.raw = FakeHand()
        self.latch = StopLatch(folder / "stop.json")
        self.numbers = count(1)
        self.config = config or Config()
        self.hand = GuardedHand(self.raw, self.latch, lambda: str(next(self.numbers)), self.config)
        self.now = 0

    def run(self, time_ns: int = CYCLE) -> HandState | None:
        """Driver cycles over ``time_ns``; the state of the last."""
        state = None
        for _ in range(max(1, time_ns // CYCLE)):
            self.now += CYCLE
            self.raw.advance(self.now)
            state = self.hand.tick(self.now)
        return state

    def armed(self, commander: str = "policy") -> str:
        self.run()
        return self.hand.arm(commander)

    def send(
        self,
        lease: str,
        q: object = None,
        names: tuple[str, ...] = SPEC.joint_names,
        age: int = 0,
        validity: int = PERIOD,
    ) -> HandCommand:
        """A command for the present posture, or ``q``, that answers a joint state ``age`` ns old."""
        target = self.raw.q if q is None else q
        stamp = self.now - age
        return self.hand.command(names, target, stamp, stamp + validity, lease, self.now)

    def refused(self, said: str, *args: object, **kwargs: object) -> None:
        """Send a command that is refused for the reason ``said``, counted, and does not reach the raw hand."""
        before, reached = self.hand.status().refused, len(self.raw.sent)
        with pytest.raises(CommandRefused, match=said):
            self.send(*args, **kwargs)
        assert self.hand.status().refused == before + 1
        assert len(self.raw.sent) == reached


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A guarded fake hand that nobody has armed."""
    return Rig(tmp_path)


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    """Makes a rig in a folder, with a configuration."""
    return Rig


@pytest.fixture(scope="session")
def state_at() -> Callable[..., HandState]:
    """Makes a healthy HandState of the D'Claw from a stamp and a posture, with any field changed."""
    return _state_at


@pytest.fixture
def open_files() -> Callable[[], int]:
    """How many files this process has open.

    What earlier tests left in cycles would otherwise be closed at any moment, and be counted against this one.
    """

    def opened() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    return opened
