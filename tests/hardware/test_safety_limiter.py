"""The limiter: what passes, what is clamped and by how much, what is refused and how it says so."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import CommandRefused, ConfigError
from knuckle.hardware.safety.config import Config
from knuckle.hardware.safety.limiter import CommandTimes, Limited, Limiter, NotFinite, Sent
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.dclaw import dclaw

SPEC = dclaw(3)
NAMES = SPEC.joint_names
MS = 1_000_000
T = 1_000 * MS
PERIOD = round(1e9 / SPEC.control_rate_hz)
LIMITER = Limiter(SPEC, Config())
ULP = 1e-12
EDGES = (-math.inf, -1e300, -10.0, -1e-9, -0.0, 0.0, 5e-324, 1e-9, 10.0, 1e300, math.inf, math.nan)


def times(stamp=T, valid_until=None, now=None):
    return CommandTimes(stamp, stamp + PERIOD if valid_until is None else valid_until, stamp if now is None else now)


def sent_before(q, stamp, speed=0.0):
    return Sent(HandCommand(stamp, stamp + PERIOD, np.asarray(q, dtype=float)), np.full(SPEC.dof, float(speed)))


def postures(beyond=0.0):
    return st.lists(st.floats(0.0, 1.0), min_size=SPEC.dof, max_size=SPEC.dof).map(
        lambda u: SPEC.lower - beyond + np.array(u) * (SPEC.upper - SPEC.lower + 2 * beyond)
    )


def actions():
    return st.lists(
        st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-1.0, 1.0)), min_size=SPEC.dof, max_size=SPEC.dof
    ).map(np.array)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
@pytest.mark.parametrize("moved", [-1.0, 0.0, 1.0])
def test_a_full_reversal_of_the_action_map_at_full_speed_passes_unaltered(state_at, direction, moved):
    """From full speed one way to full speed the other, the joint itself moving at its limit either way, or stuck."""
    act = ActionMap(SPEC)
    q0 = (SPEC.lower + SPEC.upper) / 2
    first = act.target(q0, np.full(SPEC.dof, direction))
    q1 = q0 + moved * SPEC.velocity_limit * PERIOD * 1e-9
    second = act.target(q1, np.full(SPEC.dof, -direction))
    fastest = direction * (2 * SPEC.policy_speed + SPEC.velocity_limit.max())
    limited = LIMITER.limit(NAMES, second, times(T + PERIOD), state_at(T + PERIOD, q1), sent_before(first, T, fastest))
    assert not limited.altered
    assert np.array_equal(limited.command.q, second)


@given(st.lists(st.tuples(actions(), actions(), st.integers(0, PERIOD)), min_size=2, max_size=6), postures(0.2))
def test_every_output_of_the_action_map_at_its_rate_passes_unaltered(state_at, steps, q):
    """Actions and motions of the hand at random, answered at once or up to a whole period late."""
    act, smoothed, last, stamp = ActionMap(SPEC), np.zeros(SPEC.dof), None, T
    for action, motion, late in steps:
        smoothed = act.smooth(action, smoothed)
        target = act.target(q, smoothed)
        newest = q + motion * SPEC.velocity_limit * late * 1e-9
        limited = LIMITER.limit(
            NAMES,
            target,
            times(stamp, now=stamp + late, valid_until=stamp + PERIOD),
            state_at(stamp + late, newest),
            last,
        )
        assert (limited.position, limited.velocity, limited.acceleration, limited.step) == (0, 0, 0, 0)
        assert np.array_equal(limited.command.q, target)
        last = Sent(limited.command, limited.speed)
        q = q + motion * SPEC.velocity_limit * PERIOD * 1e-9
        stamp += PERIOD


def test_the_action_map_passes_at_a_rate_of_80_ms_too(state_at):
    """A driver of 100 Hz stamps its states on a grid of 10 ms: 12 Hz then alternates between 80 and 90 ms."""
    act, dt = ActionMap(SPEC), 80 * MS
    q0 = SPEC.home
    q1 = q0 - SPEC.velocity_limit * dt * 1e-9
    first, second = act.target(q0, np.ones(SPEC.dof)), act.target(q1, -np.ones(SPEC.dof))
    last = sent_before(first, T, 2 * SPEC.policy_speed + SPEC.velocity_limit.max())
    assert not LIMITER.limit(NAMES, second, times(T + dt), state_at(T + dt, q1), last).altered


def in_envelope(limited: Limited, measured, stamp) -> bool:
    centre = np.clip(measured.q, SPEC.lower, SPEC.upper)
    age = max(0, measured.stamp_ns - stamp) * 1e-9
    reach = 1.05 * 3.5 / 12.0 + SPEC.velocity_limit * age
    q = limited.command.q
    return bool(
        np.isfinite(q).all()
        and (q >= SPEC.lower).all()
        and (q <= SPEC.upper).all()
        and (np.abs(q - centre) <= reach + ULP).all()
    )


values = st.one_of(st.sampled_from(EDGES), st.floats(-4.0, 4.0), st.floats(allow_nan=True, allow_infinity=True))


@settings(max_examples=3 * settings.default.max_examples)
@given(
    st.lists(
        st.tuples(
            st.lists(values, min_size=SPEC.dof, max_size=SPEC.dof),
            postures(1.0),
            st.integers(-30 * MS, 300 * MS),
            st.integers(0, 120 * MS),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_no_sequence_of_inputs_yields_a_target_outside_the_envelope(state_at, steps):
    last, now = None, T
    for q, posture, age, gap in steps:
        now += gap
        measured = state_at(now, posture)
        try:
            limited = LIMITER.limit(NAMES, q, CommandTimes(now - age, now + PERIOD, now), measured, last)
        except CommandRefused:
            continue
        assert in_envelope(limited, measured, now - age)
        if last is not None:
            held_to_its_speeds(limited, measured, now - age, last)
        last = Sent(limited.command, limited.speed)


def held_to_its_speeds(limited: Limited, measured, stamp, last: Sent) -> None:
    """Velocity and acceleration as the module's text writes them, with numbers of this test's own."""
    dt = (stamp - last.command.stamp_ns) * 1e-9
    centre = np.clip(measured.q, SPEC.lower, SPEC.upper)
    reach = 1.05 * 3.5 / 12.0 + SPEC.velocity_limit * max(0, measured.stamp_ns - stamp) * 1e-9
    low, high = np.maximum(SPEC.lower, centre - reach), np.minimum(SPEC.upper, centre + reach)
    way = limited.command.q - np.minimum(np.maximum(last.command.q, low), high)
    fastest = 1.25 * (7.0 + SPEC.velocity_limit)
    gained = 1.25 * 2 * (7.0 + SPEC.velocity_limit) * 12.0 * dt
    assert (np.abs(way) <= fastest * dt + ULP).all()
    assert (way <= np.maximum(0.0, last.speed + gained) * dt + ULP).all()
    assert (way >= np.minimum(0.0, last.speed - gained) * dt - ULP).all()
    assert np.allclose(limited.speed * dt, way, atol=ULP)


@pytest.mark.parametrize("joint", range(SPEC.dof))
def test_targets_around_every_bound_of_every_joint_are_clamped_to_it_exactly(state_at, joint):
    """Boundary-dense sweep: each bound, one step of the number system and small and large distances beside it."""
    for centre in (SPEC.lower[joint], SPEC.home[joint], SPEC.upper[joint]):
        posture = SPEC.home.copy()
        posture[joint] = centre
        measured = state_at(T, posture)
        low, high = (bound[joint] for bound in LIMITER.envelope(measured, T))
        assert low == max(SPEC.lower[joint], centre - LIMITER.step_rad)
        assert high == min(SPEC.upper[joint], centre + LIMITER.step_rad)
        for bound in (low, high, SPEC.lower[joint], SPEC.upper[joint], centre):
            nearby = [bound + d for d in (-3.0, -0.1, -1e-6, 0.0, 1e-6, 0.1, 3.0)]
            for value in (*nearby, np.nextafter(bound, -9), np.nextafter(bound, 9), -1e300, 1e300):
                wanted = posture.copy()
                wanted[joint] = value
                limited = LIMITER.limit(NAMES, wanted, times(), measured, None)
                expected = min(max(value, low), high)
                assert limited.command.q[joint] == expected
                beyond = not SPEC.lower[joint] <= value <= SPEC.upper[joint]
                after_limits = min(max(value, SPEC.lower[joint]), SPEC.upper[joint])
                assert limited.position == beyond
                assert limited.step == (after_limits != expected)
                assert limited.velocity == 0
                assert limited.altered == (value != expected)
                others = np.arange(SPEC.dof) != joint
                assert np.array_equal(limited.command.q[others], posture[others])


@pytest.mark.parametrize("joint", range(SPEC.dof))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_target_moves_no_faster_than_its_bound_between_two_commands(state_at, joint, sign):
    dt = 10 * MS
    reach = 1.25 * (2 * 3.5 + SPEC.velocity_limit[joint]) * 0.01
    measured = state_at(T + dt, np.zeros(SPEC.dof))
    last = sent_before(np.zeros(SPEC.dof), T, sign * 100.0)
    for value in (reach - 1e-6, reach, reach + 1e-6, 0.3):
        wanted = np.zeros(SPEC.dof)
        wanted[joint] = sign * value
        limited = LIMITER.limit(NAMES, wanted, times(T + dt), measured, last)
        assert limited.command.q[joint] == pytest.approx(sign * min(value, reach), abs=1e-15)
        assert limited.velocity == (value > reach)
        assert limited.step == limited.position == limited.acceleration == 0
        assert limited.altered == (value > reach)


@pytest.mark.parametrize("joint", range(SPEC.dof))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("before", [-1.0, 0.0, 0.5])
def test_a_target_gains_speed_no_faster_than_its_bound_and_stops_at_once(state_at, joint, sign, before):
    """``before`` is the speed it already had that way, in gains of this command."""
    dt = 10 * MS
    gain = 1.25 * 2 * (2 * 3.5 + SPEC.velocity_limit[joint]) * 12 * 0.01
    reach = max(0.0, before + 1.0) * gain * 0.01
    measured = state_at(T + dt, np.zeros(SPEC.dof))
    last = sent_before(np.zeros(SPEC.dof), T, sign * before * gain)
    for value in (0.0, reach - 1e-6, reach, reach + 1e-6, 0.1):
        wanted = np.zeros(SPEC.dof)
        wanted[joint] = sign * max(value, 0.0)
        limited = LIMITER.limit(NAMES, wanted, times(T + dt), measured, last)
        assert limited.command.q[joint] == pytest.approx(sign * min(max(value, 0.0), reach), abs=1e-15)
        assert limited.speed[joint] == pytest.approx(limited.command.q[joint] / 0.01, abs=1e-12)
        assert limited.acceleration == (value > reach + 1e-15)
        assert limited.altered == bool(limited.acceleration)
        assert limited.step == limited.position == limited.velocity == 0


def test_the_first_command_counts_as_one_control_cycle_from_the_measured_posture(state_at):
    limited = LIMITER.limit(NAMES, SPEC.home + 0.2, times(), state_at(T, SPEC.home), None)
    assert np.allclose(limited.speed, 0.2 * 12.0)


def test_counts_are_joints_and_each_bound_counts_its_own(state_at):
    wanted = SPEC.home.copy()
    wanted[0:3] += 0.5
    wanted[3] = SPEC.upper[3] + 1.0
    limited = LIMITER.limit(NAMES, wanted, times(), state_at(T, SPEC.home), None)
    assert (limited.position, limited.velocity, limited.step) == (1, 0, 4)


def test_a_joint_pushed_away_from_its_target_is_not_dragged_back_faster_than_a_step(state_at):
    """The envelope about the measured posture wins over the old target, and the velocity bound counts from its edge."""
    pushed = SPEC.home + 0.45
    edge = pushed - LIMITER.step_rad
    last = sent_before(SPEC.home - 0.4, T, 100.0)
    back = LIMITER.limit(NAMES, SPEC.home - 0.4, times(T + MS), state_at(T + MS, pushed), last)
    assert np.allclose(back.command.q, edge, atol=1e-12)
    on = LIMITER.limit(NAMES, pushed, times(T + MS), state_at(T + MS, pushed), last)
    assert np.allclose(on.command.q, edge + LIMITER.slew_rad_s * 1e-3, atol=1e-12)
    later = LIMITER.limit(NAMES, pushed, times(T + PERIOD), state_at(T + PERIOD, pushed), last)
    assert np.array_equal(later.command.q, pushed)


def test_a_joint_measured_beyond_its_limits_is_led_back_inside(state_at):
    measured = state_at(T, SPEC.upper + 0.3)
    limited = LIMITER.limit(NAMES, SPEC.upper + 0.3, times(), measured, None)
    assert np.array_equal(limited.command.q, SPEC.upper)


def test_the_reach_grows_by_what_the_joint_can_have_moved_since_the_stamp(state_at):
    low, high = LIMITER.envelope(state_at(T + 50 * MS, np.zeros(SPEC.dof)), T)
    assert np.allclose(high, np.minimum(SPEC.upper, LIMITER.step_rad + SPEC.velocity_limit * 0.05))
    assert np.allclose(low, np.maximum(SPEC.lower, -LIMITER.step_rad - SPEC.velocity_limit * 0.05))
    _, older = LIMITER.envelope(state_at(T - 50 * MS, np.zeros(SPEC.dof)), T)
    assert np.allclose(older, np.minimum(SPEC.upper, LIMITER.step_rad))


@given(st.permutations(range(SPEC.dof)))
def test_joints_are_mapped_by_name_whatever_their_order(state_at, order):
    wanted = SPEC.home + np.linspace(-0.2, 0.2, SPEC.dof)
    names = [NAMES[i] for i in order]
    limited = LIMITER.limit(names, wanted[order], times(), state_at(T, SPEC.home), None)
    assert np.array_equal(limited.command.q, wanted)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((*NAMES[:8], "thumb"), ["unknown: 'thumb'", f"missing: '{NAMES[8]}'"]),
        (NAMES[1:], [f"missing: '{NAMES[0]}'"]),
        ((*NAMES[:8], NAMES[0]), [f"doubled: '{NAMES[0]}'", f"missing: '{NAMES[8]}'"]),
        ((*NAMES, NAMES[4]), [f"doubled: '{NAMES[4]}'"]),
        ((), ["missing"]),
        (tuple("x" * 10_000 for _ in range(3)), ["unknown: 'xxx", "...'", "doubled"]),
        (tuple(f"joint{i}" for i in range(5_000)), ["unknown: 'joint0', 'joint1'", "and 4988 more"]),
    ],
)
def test_wrong_missing_and_doubled_names_are_refused_with_the_list(state_at, names, said):
    with pytest.raises(CommandRefused, match="joint names do not match hand dclaw3") as caught:
        LIMITER.limit(names, np.zeros(len(names)), times(), state_at(T, SPEC.home), None)
    text = str(caught.value)
    assert all(part in text for part in said)
    assert "each once" in text
    assert f"'{NAMES[8]}'" in text
    assert len(text) < 4_000
    assert not isinstance(caught.value, NotFinite)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("joint", range(SPEC.dof))
def test_a_target_that_is_not_finite_is_refused_by_name(state_at, joint, poison):
    wanted = SPEC.home.copy()
    wanted[joint] = poison
    with pytest.raises(NotFinite, match=f"NaN or infinite for '{NAMES[joint]}';"):
        LIMITER.limit(NAMES, wanted, times(), state_at(T, SPEC.home), None)


@pytest.mark.parametrize(
    ("q", "said"),
    [
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((1, 9)), r"shape \(1, 9\)"),
        (0.0, r"shape \(\)"),
        (["a"] * 9, "not numbers"),
        ([None] * 8 + [{}], "not numbers"),
    ],
)
def test_targets_of_the_wrong_shape_or_kind_are_refused(state_at, q, said):
    with pytest.raises(CommandRefused, match=said):
        LIMITER.limit(NAMES, q, times(), state_at(T, SPEC.home), None)


def test_a_measured_posture_that_is_not_finite_limits_nothing_and_is_refused(state_at):
    for poison in (math.nan, math.inf):
        with pytest.raises(CommandRefused, match="measured posture is not finite"):
            LIMITER.limit(NAMES, SPEC.home, times(), state_at(T, SPEC.home + poison), None)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (times(now=T + 250 * MS, valid_until=T + 300 * MS), ""),
        (times(now=T + 250 * MS + 1, valid_until=T + 300 * MS), "joint state 250 ms old; at most 250 ms"),
        (times(now=T - 20 * MS), ""),
        (times(now=T - 20 * MS - 1), "stamp is 20 ms in the future"),
        (times(now=T - 3_600_000 * MS), "in the future"),
        (times(valid_until=T, now=T), ""),
        (times(valid_until=T - 1, now=T), "validity ended"),
        (times(valid_until=T - 1, now=T - 5 * MS), "validity ended"),
        (times(valid_until=T + 10 * MS, now=T + 10 * MS), ""),
        (times(valid_until=T + 10 * MS, now=T + 30 * MS), "validity ended 20 ms ago"),
        (times(valid_until=-(2**62)), "validity ended"),
    ],
)
def test_age_future_and_validity_are_held_to_their_bounds(state_at, when, said):
    measured = state_at(when.now_ns, SPEC.home)
    if not said:
        assert not LIMITER.limit(NAMES, SPEC.home, when, measured, None).altered
        return
    with pytest.raises(CommandRefused, match=said):
        LIMITER.limit(NAMES, SPEC.home, when, measured, None)


def test_validity_is_capped(state_at):
    measured = state_at(T, SPEC.home)
    kept = LIMITER.limit(NAMES, SPEC.home, times(valid_until=T + 199 * MS), measured, None)
    capped = LIMITER.limit(NAMES, SPEC.home, times(valid_until=2**62), measured, None)
    assert kept.command.valid_until_ns == T + 199 * MS
    assert capped.command.valid_until_ns == T + 200 * MS
    assert kept.command.stamp_ns == capped.command.stamp_ns == T


@pytest.mark.parametrize("back", [0, 1, 100 * MS])
def test_a_command_not_newer_than_the_last_one_is_refused(state_at, back):
    when = times(T - back, valid_until=T + PERIOD, now=T)
    with pytest.raises(CommandRefused, match="already sent"):
        LIMITER.limit(NAMES, SPEC.home, when, state_at(T, SPEC.home), sent_before(SPEC.home, T))


def test_one_nanosecond_later_is_later(state_at):
    limited = LIMITER.limit(NAMES, SPEC.home, times(T + 1), state_at(T + 1, SPEC.home), sent_before(SPEC.home, T))
    assert np.array_equal(limited.command.q, SPEC.home)


def test_tighter_scales_tighten_the_envelope(state_at):
    tight = Limiter(SPEC, Config(step_scale=0.5, slew_scale=0.1))
    assert tight.step_rad == pytest.approx(0.5 * 3.5 / 12)
    assert np.allclose(tight.slew_rad_s, 0.1 * (7.0 + SPEC.velocity_limit))
    limited = tight.limit(NAMES, SPEC.home + 0.25, times(), state_at(T, SPEC.home), None)
    assert np.allclose(limited.command.q, SPEC.home + tight.step_rad)
    assert limited.step == SPEC.dof


@pytest.mark.parametrize(
    "change",
    [
        {"step_scale": 2.1},
        {"slew_scale": 0.0},
        {"max_age_s": math.nan},
        {"warm_c": 70.0},
        {"ramp_s": 0.2, "silence_s": 0.2},
    ],
)
def test_a_configuration_out_of_range_is_refused_with_its_key(change):
    with pytest.raises(ConfigError, match=f"safety.{next(iter(change))}: "):
        Limiter(SPEC, replace(Config(), **change))
