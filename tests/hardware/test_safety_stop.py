"""The emergency stop: latched before it acts, whatever fails, and cleared by rearm alone."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused, RunError
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.states import Event, State

MS = 1_000_000


def state_of(rig) -> State:
    return rig.hand.status().state


def test_a_stop_holds_latches_and_outlives_the_process(rig, tmp_path, make_rig):
    lease = rig.armed()
    rig.send(lease, rig.raw.q + 0.25)
    rig.run()
    said = rig.hand.emergency_stop("page")
    assert said == "emergency stop by 'page'"
    status = rig.hand.status()
    assert (status.state, status.torque, status.latched, status.holder) == (State.STOPPED, True, True, "")
    assert np.array_equal(rig.raw.target, rig.raw.q)
    rig.refused(r"the hand is STOPPED \(emergency stop by 'page'\)", lease)
    for forbidden in (rig.hand.hold, lambda: rig.hand.arm("policy")):
        with pytest.raises(CommandRefused, match="hand/rearm"):
            forbidden()
    assert (rig.raw.made("arm"), rig.hand.status().holder) == (1, "")
    again = make_rig(tmp_path)
    assert state_of(again) is State.STOPPED
    assert again.hand.status().reason == f"emergency stop by 'page', latched in {tmp_path / 'stop.json'}"
    again.run()
    again.hand.rearm("page")
    assert (state_of(again), again.hand.status().reason) == (State.HOLD, "stop cleared by 'page'")
    assert again.raw.made("arm") == 0
    assert state_of(make_rig(tmp_path)) is State.HOLD


def test_the_latch_says_when_the_stop_came(rig, tmp_path):
    rig.hand.emergency_stop("page")
    assert '"stamp_ns": 0}' in (tmp_path / "stop.json").read_text()
    rig.run(30 * MS)
    rig.hand.emergency_stop("page")
    assert f'"stamp_ns": {rig.now}' in (tmp_path / "stop.json").read_text()


def test_a_long_source_of_a_stop_is_cut_to_64_characters_in_the_latch(rig, tmp_path):
    rig.hand.emergency_stop("x" * 100)
    assert f'"{"x" * 64}"' in (tmp_path / "stop.json").read_text()


def test_the_latch_is_on_disk_before_the_stop_acts(rig, tmp_path):
    rig.armed()
    seen = []
    held = rig.raw.hold
    rig.raw.hold = lambda: (seen.append((tmp_path / "stop.json").exists()), held())
    rig.hand.emergency_stop("page")
    assert seen == [True]


def test_a_second_stop_keeps_the_first_reason_and_rearm_clears_both(rig):
    rig.run()
    rig.hand.emergency_stop("page")
    assert rig.hand.emergency_stop("supervisor") == "emergency stop by 'page'"
    assert rig.raw.torque
    rig.hand.rearm()
    assert (state_of(rig), rig.latch.engaged()) == (State.HOLD, "")
    with pytest.raises(CommandRefused, match="nothing is latched"):
        rig.hand.rearm()


def test_rearm_without_a_stop_leaves_the_file_alone(rig):
    """A latch that another process wrote since start is not this driver's to clear."""
    rig.run()
    rig.latch.engage("doctor", 0)
    with pytest.raises(CommandRefused, match="nothing is latched"):
        rig.hand.rearm()
    assert rig.latch.engaged()


def test_a_stop_of_a_released_hand_leaves_it_limp_and_so_does_rearm(rig):
    rig.run()
    rig.hand.release()
    rig.hand.emergency_stop("page")
    assert (state_of(rig), rig.hand.status().torque, rig.raw.torque) == (State.STOPPED, False, False)
    rig.hand.rearm()
    assert (state_of(rig), rig.raw.torque, rig.raw.made("hold")) == (State.RELEASED, False, 1)


def test_a_stopped_hand_can_be_released_and_stays_stopped(rig):
    rig.armed()
    rig.hand.emergency_stop("page")
    rig.hand.release()
    status = rig.hand.status()
    assert (status.state, status.torque, status.latched, rig.raw.torque) == (State.STOPPED, False, True, False)
    assert rig.latch.engaged()


def test_a_stop_acts_even_where_the_latch_cannot_be_written(rig, tmp_path):
    rig.armed()
    (tmp_path / "stop.json").mkdir()
    said = rig.hand.emergency_stop("page")
    assert said.startswith("emergency stop by 'page'; ")
    assert "cannot be written" in said
    status = rig.hand.status()
    assert (status.state, status.latched) == (State.STOPPED, True)
    assert "cannot be written" in status.problem
    with pytest.raises(RunError, match="cannot be removed"):
        rig.hand.rearm()
    assert state_of(rig) is State.STOPPED
    (tmp_path / "stop.json").rmdir()
    rig.hand.rearm()
    assert (state_of(rig), rig.hand.status().problem) == (State.HOLD, "")


def test_a_stop_acts_even_where_the_latch_breaks_in_an_unforeseen_way(rig, monkeypatch):
    lease = rig.armed()

    def broken(*_args):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(rig.latch, "engage", broken)
    with pytest.raises(RuntimeError, match="unforeseen"):
        rig.hand.emergency_stop("page")
    status = rig.hand.status()
    assert (status.state, status.problem) == (State.STOPPED, "the stop latch was not written")
    rig.refused("STOPPED", lease)


def test_a_stop_acts_even_where_the_raw_hand_fails_and_is_tried_again(rig):
    rig.armed()
    rig.raw.failing = {"hold"}
    rig.hand.emergency_stop("page")
    assert state_of(rig) is State.STOPPED
    assert "hold failed" in rig.hand.status().problem
    rig.raw.failing = set()
    holds = rig.raw.made("hold")
    rig.run()
    assert (rig.raw.made("hold"), rig.hand.status().problem) == (holds + 1, "")


def test_a_damaged_latch_at_start_means_stopped(tmp_path, make_rig):
    (tmp_path / "stop.json").write_text("{")
    rig = make_rig(tmp_path)
    assert (state_of(rig), rig.hand.status().latched) == (State.STOPPED, True)
    assert "damaged" in rig.hand.status().reason
    rig.hand.rearm()
    assert state_of(rig) is State.HOLD


class SlowLatch:
    """A latch on a disk that hangs until let go."""

    def __init__(self) -> None:
        self.writing, self.let_go = threading.Event(), threading.Event()

    def engaged(self) -> str:
        return ""

    def engage(self, source: str, stamp_ns: int) -> None:
        self.writing.set()
        assert self.let_go.wait(10)

    def clear(self) -> None:
        pass


def test_while_the_disk_hangs_commands_are_refused_and_the_next_cycle_brings_hold(rig):
    latch = SlowLatch()
    rig.hand = GuardedHand(rig.raw, latch, lambda: "t")
    lease = rig.armed()
    rig.send(lease)
    stopping = threading.Thread(target=rig.hand.emergency_stop, args=("page",))
    stopping.start()
    assert latch.writing.wait(10)
    rig.refused("an emergency stop is under way", lease)
    assert state_of(rig) is State.ARMED
    rig.run()
    assert state_of(rig) is State.HOLD
    rig.run(240 * MS)
    with pytest.raises(CommandRefused, match="an emergency stop is under way"):
        rig.hand.arm("policy")
    latch.let_go.set()
    stopping.join(10)
    assert not stopping.is_alive()
    assert [entry.event for entry in rig.hand.history()] == [Event.ARM, Event.FAULT, Event.STOP]
    assert state_of(rig) is State.STOPPED
    rig.hand.rearm()
    rig.hand.arm("policy")


def test_the_history_tells_what_happened_in_order(rig):
    rig.armed()
    rig.hand.hold()
    rig.hand.emergency_stop("page")
    rig.hand.rearm()
    rig.hand.release()
    told = [(entry.before.name, entry.after.name) for entry in rig.hand.history()]
    assert told == [
        ("HOLD", "ARMED"),
        ("ARMED", "HOLD"),
        ("HOLD", "STOPPED"),
        ("STOPPED", "HOLD"),
        ("HOLD", "RELEASED"),
    ]
    assert rig.hand.status().changes == 5
