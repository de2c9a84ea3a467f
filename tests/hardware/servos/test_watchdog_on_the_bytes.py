"""The watchdog, a driver in a process of its own and virtual servos: what the bytes show when one of them fails.

Real processes on the machine's clock. Printed times are of a machine that does other things too; what is asserted is
what follows what, and that nothing moves afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knuckle.hardware.safety.watchdog_link import ask_to_hold
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import WATCHDOG_EXPIRED, XM430_W210
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.joints import LaggingJoints
from knuckle.hardware.virtual.monitor import Envelope, ServoMonitor
from knuckle.hardware.virtual.pty_port import VirtualPort

SPEC = dclaw(3)
LONG_S = 60.0
LIMIT_S = float(os.environ.get("KNUCKLE_WATCHDOG_LIMIT_S", "1.0"))
"""After which silence a driver is killed here: longer than a hand's 0.15 s, as this machine does other things too. With
0.15 and ``-s``, on a quiet machine, the three times are measured."""

DRIVER = """
import itertools, math, sys, time
from pathlib import Path
import numpy as np
from knuckle.core.errors import KnuckleError
from knuckle.hardware.calibration.calibration_file import nominal
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.open_hand import open_hand
from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.safety.watchdog_link import WatchdogLink
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210

port, folder, limit = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
spec = dclaw(3)
drive = DriveConfig(answer_s=0.05, ramp_s=0.05)
raw = open_hand(spec, port, calibration=nominal(spec, XM430_W210.number), config=drive)
# Patience with a busy machine, on which cycles come late.
patient = Config(state_age_s=1.0, bad_cycles=10, max_age_s=1.0, max_validity_s=1.0, silence_s=1.0)
hand = GuardedHand(raw, StopLatch(folder / "stop.json"), lambda: "token", patient)
link = WatchdogLink(folder / "dog.sock", limit)
lease, said, home = "", "", spec.home
for n in itertools.count():
    time.sleep(0.01)
    now = time.monotonic_ns()
    state = hand.tick(now)
    link.attend(hand)
    if not lease and n > 20:
        try:
            lease = hand.arm("policy")
        except KnuckleError:
            continue
    if lease and state is not None and n % 4 == 0:
        # A commander in this process; what dies is told by the watchdog.
        q = np.clip(home + 0.2 * math.sin(now * 4e-9), state.q - 0.25, state.q + 0.25)
        try:
            hand.command(spec.joint_names, q, state.stamp_ns, now + 900_000_000, lease, now)
        except KnuckleError:
            pass
    line = f"{hand.status().state.name} {link.pid} {hand.status().reason}"
    if line != said:
        said = line
        print(time.monotonic_ns(), line, flush=True)
"""

COMMANDER = """
import sys, time
from pathlib import Path
from knuckle.hardware.safety.watchdog_link import CommanderLink
link = CommanderLink(Path(sys.argv[1]), "policy")
print("connected", flush=True)
time.sleep(600)
"""


class Rig:
    """Virtual servos behind a pseudo-terminal in this process, and a driver in another that moves them."""

    def __init__(self, folder: Path, limit_s: float) -> None:
        now = time.monotonic_ns()
        self.folder = folder
        self.bus = VirtualBus(SPEC, LaggingJoints(SPEC, now_ns=now), XM430_W210, now_ns=now)
        self.monitor = ServoMonitor(Envelope.of_hand(SPEC), self.bus.truth())
        self.port = VirtualPort(self.bus, monitor=self.monitor)
        self.port.__enter__()
        words = [sys.executable, "-c", DRIVER, self.port.path, str(folder), str(limit_s)]
        self.driver = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.pid = 0
        self.heard("ARMED")
        # Goals are written before torque goes on, too.
        self.until(lambda: all(servo.torque_on for servo in self.bus.servos))
        self.until(lambda: self.moved_since(time.monotonic_ns() - 200_000_000) is not None)

    def heard(self, state: str) -> tuple[int, str]:
        """When the driver said that it is in ``state``, and why."""
        assert self.driver.stdout is not None
        for line in self.driver.stdout:
            at, name, dog, reason = line.rstrip("\n").split(" ", 3)
            self.pid = int(dog)
            if name == state:
                return int(at), reason
        pytest.fail(f"the driver ended before it was in {state}")

    def moved_since(self, since_ns: int) -> int | None:
        return self.monitor.last_moving_goal_ns(since_ns=since_ns)

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONG_S
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def holds_after(self, event_ns: int, reason: str) -> None:
        """The driver holds for ``reason``; what moved last, and that nothing moves any more."""
        held_ns, said = self.heard("HOLD")
        assert reason in said
        time.sleep(0.3)
        last = self.moved_since(event_ns)
        print(f"{reason}: HOLD after {(held_ns - event_ns) * 1e-6:.0f} ms, ", end="")
        print("no goal moved" if last is None else f"last moving goal after {(last - event_ns) * 1e-6:.0f} ms")
        self.monitor.announce("hold", time.monotonic_ns())
        time.sleep(0.3)
        assert self.monitor.unsafe_writes == 0, self.monitor.violations()[:3]

    def close(self) -> None:
        self.driver.kill()
        self.driver.wait()
        assert self.driver.stdout is not None
        self.driver.stdout.close()
        self.port.close()


@pytest.fixture
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(tmp_path, request.param)
    yield made
    made.close()


# How long the driver may be kept from running by other work on the machine, and still not count as hung.
PATIENT = pytest.mark.parametrize("rig", [30.0], indirect=True)


@pytest.mark.parametrize("rig", [LIMIT_S], indirect=True)
def test_a_driver_that_stands_still_is_killed_and_its_servos_stop_by_themselves(rig):
    event = time.monotonic_ns()
    os.kill(rig.driver.pid, signal.SIGSTOP)
    assert rig.driver.wait(LONG_S) == -signal.SIGKILL
    killed = time.monotonic_ns()
    rig.until(lambda: all(servo.value("bus_watchdog") == WATCHDOG_EXPIRED for servo in rig.bus.servos))
    stopped = time.monotonic_ns()
    last = rig.monitor.last_goal_ns()
    assert last is not None
    after = [f"{(at - event) * 1e-6:.0f} ms" for at in (last, killed, stopped)]
    print(f"last goal {after[0]}, driver killed {after[1]}, servos stopped {after[2]} after it stood still")
    assert killed - last >= 0.9e9 * LIMIT_S
    time.sleep(0.3)
    where = [servo.value("present_position") for servo in rig.bus.servos]
    time.sleep(0.3)
    assert [servo.value("present_position") for servo in rig.bus.servos] == where
    assert rig.monitor.unsafe_writes == 0, rig.monitor.violations()[:3]


@PATIENT
def test_a_commander_that_is_killed_leads_to_hold_on_the_bytes(rig):
    words = [sys.executable, "-c", COMMANDER, str(rig.folder / "dog.sock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as commander:
        assert commander.stdout is not None
        assert commander.stdout.readline() == b"connected\n"
        event = time.monotonic_ns()
        commander.kill()
    rig.holds_after(event, "commander 'policy' died")


@PATIENT
def test_anyone_may_ask_the_watchdog_for_hold_on_the_bytes(rig):
    event = time.monotonic_ns()
    ask_to_hold(rig.folder / "dog.sock", "a test")
    rig.holds_after(event, "hold asked by a test")


@PATIENT
def test_the_death_of_the_watchdog_leads_to_hold_on_the_bytes(rig):
    event = time.monotonic_ns()
    os.kill(rig.pid, signal.SIGKILL)
    rig.holds_after(event, "the watchdog died")
