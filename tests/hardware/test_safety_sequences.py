"""Any sequence of anything, from one thread or many: what reaches the servos stays in the envelope."""

from __future__ import annotations

import math
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import KnuckleError
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.contracts import REBOOTED
from knuckle.hardware.spec.dclaw import dclaw

SPEC = dclaw(3)
NAMES = SPEC.joint_names
MS = 1_000_000
# The envelope's numbers, written out here a second time; nothing below calls the code that keeps to them.
STEP = 1.05 * 3.5 / 12.0
FASTEST = 1.25 * (2 * 3.5 + SPEC.velocity_limit)
GAIN = 1.25 * 2 * (2 * 3.5 + SPEC.velocity_limit) * 12.0
RAMP = 0.06
EPS = 1e-9

CALLS = ["read", "send", "hold", "arm", "release", "limit_effort", "recover"]
BROKEN = (
    {},
    {},
    {},
    {"q": np.full(9, math.nan)},
    {"error": np.ones(9, np.int32)},
    {"error": np.full(9, REBOOTED, np.int32)},
    {"temperature": np.linspace(55.0, 68.0, 9)},
    {"temperature": np.linspace(55.0, 75.0, 9)},
    {"effort": np.full(9, 2.6)},
    {"effort": np.full(9, -9.0)},
    {"dq": np.full(9, 1e6)},
)

offsets = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 0.3, -0.3, 1e300, -1e300]), st.floats(-0.5, 0.5)
)
commands = st.tuples(
    st.just("command"),
    st.lists(offsets, min_size=SPEC.dof, max_size=SPEC.dof),
    st.permutations(range(SPEC.dof)),
    st.sampled_from([0, 0, 0, 5 * MS, 80 * MS, 260 * MS, -30 * MS]),
    st.sampled_from(["now", "now", "now", "old", "", "page/1"]),
)
acts = st.one_of(
    commands,
    commands,
    st.tuples(st.just("run"), st.sampled_from([10 * MS, 80 * MS, 260 * MS])),
    st.tuples(st.just("arm"), st.sampled_from(["policy", "page"])),
    st.tuples(st.sampled_from(["stop", "rearm", "hold", "release", "restart"])),
    st.tuples(st.just("died"), st.sampled_from(["policy", "page"])),
    st.tuples(st.just("run"), st.sampled_from([10 * MS, 160 * MS, 1_100 * MS])),
    st.tuples(st.just("break"), st.sampled_from(BROKEN)),
    st.tuples(st.just("fail"), st.sets(st.sampled_from(CALLS), max_size=2)),
    st.tuples(st.just("jump"), st.sampled_from([-3_600_000 * MS, -5 * MS, 3_600_000 * MS])),
    st.tuples(st.just("concern"), st.sampled_from(["", "the watchdog died"])),
    st.tuples(st.just("push"), st.floats(-0.6, 0.6)),
)


class Monitor:
    """Judges each write to the raw hand by itself: the posture, the limits and the clock are read from the hand."""

    def __init__(self, rig) -> None:
        self.rig = rig
        self.commanding = self.ticking = False
        self.last = None
        """Stamp, target and speed of the last write of this lease."""
        self.ramp = None
        self.hottest = np.full(SPEC.dof, -math.inf)
        """Of each servo since the hand was armed."""
        self.passed = {name: getattr(rig.raw, name) for name in ("send", "arm", "limit_effort", "read")}
        for name in self.passed:
            setattr(rig.raw, name, getattr(self, name))

    def read(self):
        state = self.passed["read"]()
        if np.isfinite(state.q).all():
            self.state = state
            self.hottest = np.fmax(self.hottest, state.temperature)
        return state

    def arm(self):
        self.last = self.ramp = None
        assert not (self.state.temperature >= 70.0).any()
        self.hottest = np.full(SPEC.dof, -math.inf)
        self.passed["arm"]()

    def limit_effort(self, limit):
        degrees = self.state.temperature
        derated = 1.0 - 0.6 * np.clip((np.nan_to_num(degrees, nan=0.0) - 60.0) / 10.0, 0.0, 1.0)
        assert limit.shape == (SPEC.dof,)
        assert (limit >= 0.0).all()
        assert (limit <= derated * SPEC.effort_limit + EPS).all()
        assert (limit[self.hottest >= 70.0] == 0.0).all()
        self.passed["limit_effort"](limit)

    def send(self, command):
        q, raw = command.q, self.rig.raw
        assert self.commanding or self.ticking
        assert q.shape == (SPEC.dof,)
        assert np.isfinite(q).all()
        assert (SPEC.lower <= q).all()
        assert (q <= SPEC.upper).all()
        if self.ticking:
            self.slowing(command)
        else:
            self.moving(command)
        assert raw.now_ns < command.valid_until_ns <= raw.now_ns + 240 * MS
        return self.passed["send"](command)

    def moving(self, command):
        """A command: near the measured posture, and from the last target no faster than speed and its gain allow."""
        q, measured = command.q, self.rig.believed
        centre = np.clip(measured.q, SPEC.lower, SPEC.upper)
        age = max(0, measured.stamp_ns - command.stamp_ns) * 1e-9
        assert age <= 0.25
        reach = STEP + SPEC.velocity_limit * age
        assert (np.abs(q - centre) <= reach + EPS).all()
        self.ramp = None
        speed = (q - centre) * 12.0
        if self.last is not None:
            stamp, target, before = self.last
            dt = (command.stamp_ns - stamp) * 1e-9
            assert dt > 0.0
            low, high = np.maximum(SPEC.lower, centre - reach), np.minimum(SPEC.upper, centre + reach)
            speed = (q - np.minimum(np.maximum(target, low), high)) / dt
            assert (np.abs(speed) <= FASTEST + EPS / dt).all()
            assert (speed <= np.maximum(0.0, before + GAIN * dt) + EPS / dt).all()
            assert (speed >= np.minimum(0.0, before - GAIN * dt) - EPS / dt).all()
        self.last = (command.stamp_ns, q.copy(), speed)

    def slowing(self, command):
        """After silence: between where the ramp began and the last target, no farther than a standstill needs."""
        assert self.last is not None
        if self.ramp is None:
            self.ramp = (self.rig.raw.now_ns, np.clip(self.state.q, SPEC.lower, SPEC.upper), self.last[1])
        began, start, target = self.ramp
        assert self.rig.raw.now_ns - began < (RAMP + 0.01) * 1e9
        assert (np.minimum(start, target) - EPS <= command.q).all()
        assert (command.q <= np.maximum(start, target) + EPS).all()
        assert (np.abs(command.q - start) <= SPEC.velocity_limit * RAMP / 2 + EPS).all()
        self.last = (self.last[0], command.q.copy(), np.zeros(SPEC.dof))


class Player:
    """Plays acts on a rig and checks after each what must always be true."""

    def __init__(self, make_rig, folder: Path) -> None:
        self.make_rig, self.folder = make_rig, folder
        self.lease, self.old, self.accepted = "", "", 0
        self.begin(24 * 3_600_000 * MS)

    def begin(self, now: int) -> None:
        self.rig = self.make_rig(self.folder)
        self.rig.now = self.rig.raw.now_ns = now
        self.monitor = Monitor(self.rig)
        self.run(10 * MS)

    def run(self, time: int) -> None:
        for _ in range(time // (10 * MS)):
            self.rig.now += 10 * MS
            self.rig.raw.advance(self.rig.now)
            self.monitor.ticking = True
            self.rig.believed = self.rig.hand.tick(self.rig.now) or getattr(self.rig, "believed", None)
            self.monitor.ticking = False
            assert state_is_live(self) or self.rig.hand.status().state is not State.ARMED

    def play(self, act) -> None:
        hand, before = self.rig.hand, self.rig.hand.status()
        self.monitor.commanding = act[0] == "command" and before.state is State.ARMED
        said = ""
        try:
            self.do(*act)
        except KnuckleError as error:
            said = str(error)
        assert "\n" not in said
        assert len(said) < 1000
        after = self.rig.hand.status()
        assert (after.holder != "") == (after.state is State.ARMED)
        assert after.latched == (after.state is State.STOPPED) == (self.folder / "stop.json").exists()
        if "fake hand" not in after.problem:
            assert self.rig.raw.torque == after.torque
        if after.state is not State.ARMED:
            self.old, self.lease = self.lease or self.old, ""
        if before.state is State.STOPPED and after.state is not State.STOPPED:
            assert act[0] == "rearm"
        if after.state is State.ARMED and before.state is not State.ARMED:
            assert act[0] == "arm"
        if hand is self.rig.hand:
            assert after.torque >= before.torque or act[0] == "release"
            assert after.torque <= before.torque or act[0] == "arm"

    def do(self, kind: str, *rest) -> None:
        rig, hand = self.rig, self.rig.hand
        if kind == "command":
            offset, order, age, lease = rest
            q = (rig.raw.q + np.array(offset))[list(order)]
            names = [NAMES[i] for i in order]
            token = {"now": self.lease, "old": self.old}.get(lease, lease)
            stamp = rig.now - age
            hand.command(names, q, stamp, stamp + 90 * MS, token, rig.now)
            self.accepted = rig.now
        elif kind == "run":
            self.run(rest[0])
        elif kind == "arm":
            self.lease, self.accepted = hand.arm(rest[0]), rig.now + 2_000 * MS
        elif kind == "died":
            hand.commander_died(rest[0])
        elif kind == "break":
            rig.raw.broken = dict(rest[0])
        elif kind == "fail":
            rig.raw.failing = set(rest[0])
        elif kind == "jump":
            rig.now = rig.raw.now_ns = rig.now + rest[0]
            self.accepted = min(self.accepted, rig.now + 2_000 * MS)
            self.run(10 * MS)
            assert hand.status().state is not State.ARMED or abs(rest[0]) < 1_000 * MS
        elif kind == "concern":
            hand.concern(rest[0])
        elif kind == "push":
            rig.raw.q = np.clip(rig.raw.q + rest[0], SPEC.lower - 0.4, SPEC.upper + 0.4)
        elif kind == "restart":
            self.begin(rig.now)
        else:
            {"stop": lambda: hand.emergency_stop("x"), "rearm": hand.rearm, "hold": hand.hold, "release": hand.release}[
                kind
            ]()


def state_is_live(player: Player) -> bool:
    """Whether the last accepted command is recent enough for the hand to be armed still."""
    return player.rig.now - player.accepted < 250 * MS


@settings(max_examples=2 * settings.default.max_examples)
@given(st.lists(acts, max_size=40))
def test_no_sequence_of_inputs_reaches_the_servos_outside_the_envelope(make_rig, sequence):
    with tempfile.TemporaryDirectory() as folder:
        player = Player(make_rig, Path(folder))
        player.play(("arm", "policy"))
        for act in sequence:
            player.play(act)


@pytest.mark.timeout(60)
def test_many_threads_at_once_end_in_a_consistent_state(tmp_path, make_rig):
    """A servo loop, two commanders, deaths, stops and rearms for a while: no deadlock, no lost stop, no bad write."""
    rig = make_rig(tmp_path)
    rig.run()
    done, problems = threading.Event(), []

    def loop(work):
        def body():
            while not done.is_set():
                try:
                    work()
                except KnuckleError:
                    continue
                except BaseException as error:
                    problems.append(error)
                    return

        return threading.Thread(target=body)

    def commander(name):
        def work():
            lease = rig.hand.arm(name)
            for _ in range(20):
                now = rig.raw.now_ns
                rig.hand.command(NAMES, SPEC.home + 9.0, now, now + 80 * MS, lease, now)

        return work

    def judge():
        status = rig.hand.status()
        assert (status.holder != "") == (status.state is State.ARMED)

    def stops():
        rig.hand.emergency_stop("x")
        assert rig.hand.status().state is State.STOPPED
        rig.hand.rearm()

    works = [commander("a"), commander("b"), judge, stops, lambda: rig.hand.commander_died("a")]
    threads = [loop(work) for work in works]
    for thread in threads:
        thread.start()
    cycles = 0
    try:
        while cycles < 400 or (rig.hand.status().sent == 0 and cycles < 20_000):
            rig.run()
            cycles += 1
    finally:
        done.set()
        for thread in threads:
            thread.join(10)
    assert problems == []
    assert not any(thread.is_alive() for thread in threads)
    assert 0 < rig.hand.status().sent <= len(rig.raw.sent)
    assert all(((SPEC.lower <= c.q) & (c.q <= SPEC.upper)).all() for c in rig.raw.sent)
    rig.hand.emergency_stop("end")
    assert rig.hand.status().state is State.STOPPED
    assert rig.latch.engaged()
