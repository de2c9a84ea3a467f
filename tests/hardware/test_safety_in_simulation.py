"""The safety layer over the simulated hand: contact, lag and real dynamics instead of a fake's."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.core.errors import CommandRefused
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.dclaw import dclaw

world = pytest.importorskip("knuckle.sim.world", reason="MuJoCo is not installed: pip install 'knuckle[sim]'")

SPEC = dclaw(3)
STEP_NS = 1_000_000_000 // 120
PERIOD = 10 * STEP_NS


@pytest.fixture
def sim():
    return world.SimWorld(SPEC, "hammer", seed=3)


@pytest.fixture
def hand(sim, tmp_path):
    return GuardedHand(sim, StopLatch(tmp_path / "stop.json"), lambda: "t")


def cycles(sim, hand, steps):
    for _ in range(steps):
        sim.advance(sim.now_ns + STEP_NS + 1)
        state = hand.tick(sim.now_ns)
    return state


@pytest.mark.parametrize("late", [0, 4, 9])
@pytest.mark.parametrize("style", ["random", "reversals"])
def test_the_action_map_passes_unaltered_through_contact_at_full_speed(sim, hand, late, style):
    """12 Hz, answered ``late`` steps of 120 Hz after the joint state: nothing is clamped and nothing refused."""
    rng, act, smoothed = np.random.default_rng(5), ActionMap(SPEC), np.zeros(SPEC.dof)
    state = cycles(sim, hand, 1)
    lease = hand.arm("policy")
    for k in range(72):
        action = rng.choice([-1.0, 0.0, 1.0], SPEC.dof) if style == "random" else np.full(SPEC.dof, (-1.0) ** (k // 4))
        smoothed = act.smooth(action, smoothed)
        target = act.target(state.q, smoothed)
        if late:
            cycles(sim, hand, late)
        stamp = state.stamp_ns
        sent = hand.command(SPEC.joint_names, target, stamp, stamp + 2 * PERIOD, lease, sim.now_ns)
        assert np.array_equal(sent.q, target)
        state = cycles(sim, hand, 10 - late)
    status = hand.status()
    assert (status.sent, status.clamped, status.refused, status.expired) == (72, 0, 0, 0)
    assert (status.bad_states, status.state) == (0, State.ARMED)


def test_after_a_stop_the_simulated_hand_keeps_its_posture_and_obeys_nobody(sim, hand):
    state = cycles(sim, hand, 1)
    lease = hand.arm("policy")
    hand.command(SPEC.joint_names, state.q + 0.29, state.stamp_ns, state.stamp_ns + PERIOD, lease, sim.now_ns)
    cycles(sim, hand, 3)
    hand.emergency_stop("page")
    with pytest.raises(CommandRefused, match="STOPPED"):
        hand.command(SPEC.joint_names, state.q, sim.now_ns, sim.now_ns + PERIOD, lease, sim.now_ns)
    settled = cycles(sim, hand, 60)
    later = cycles(sim, hand, 60)
    assert np.abs(later.q - settled.q).max() < 0.02
    assert sim.mode == "hold"
