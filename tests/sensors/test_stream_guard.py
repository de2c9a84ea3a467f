"""The guard: transparent to a clean stream, and for every fault a count, a mark, and a way back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.sensors.estimator import ImuSample
from knuckle.sensors.sample_rules import RowRules
from knuckle.sensors.stream_guard import GuardConfig, GuardCounts, StreamGuard
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator

from .conftest import made_recording

RATE = 200.0
PERIOD = 5_000_000
RECORDING = made_recording(5.0, rate_hz=RATE)
STREAM = [
    (stamp, ImuSample(RECORDING.gyr[i], RECORDING.acc[i], RECORDING.mag[i]))
    for i, stamp in enumerate(RECORDING.stamps_ns.tolist())
]


def guard(**changes) -> StreamGuard:
    return StreamGuard(VqfEstimator(VqfConfig(rate_hz=RATE)), GuardConfig(rate_hz=RATE, **changes))


def feed(g, stream):
    return [g.push(stamp, sample) for stamp, sample in stream]


def bare():
    estimator = VqfEstimator(VqfConfig(rate_hz=RATE))
    return [estimator.push(stamp, sample).orientation for stamp, sample in STREAM]


def test_a_clean_stream_passes_with_the_bits_of_the_bare_estimator():
    g = guard()
    estimates = feed(g, STREAM)
    np.testing.assert_array_equal([e.orientation for e in estimates], bare())
    assert g.counts == GuardCounts(received=len(STREAM), estimated=len(STREAM))
    valid = [e.valid for e in estimates]
    assert valid == [False] * 200 + [True] * (len(STREAM) - 200)
    assert estimates[0].reason == "starting"


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), offset=st.integers(-(2**60), 2**60))
def test_jitter_under_half_a_period_and_the_epoch_change_no_bit(seed, offset):
    jitter = np.random.default_rng(seed).integers(-PERIOD // 3, PERIOD // 3, 300).tolist()
    jitter[0] = 0
    g = guard()
    estimates = feed(g, [(s + j + offset, x) for (s, x), j in zip(STREAM[:300], jitter, strict=True)])
    np.testing.assert_array_equal([e.orientation for e in estimates], bare()[:300])
    assert g.counts.filled == g.counts.surplus == 0


def test_dropped_samples_are_filled_in_trust_and_cost_little():
    g = guard()
    kept = [x for i, x in enumerate(STREAM) if i < 400 or i % 10 != 3]
    estimates = feed(g, kept)
    assert g.counts.filled == len(STREAM) - len(kept)
    assert all(e.valid for e in estimates[250:])
    assert np.degrees(rotations.angle_between(estimates[-1].orientation, bare()[-1])) < 0.05


def test_a_gap_that_is_not_short_is_filled_and_marked_until_trust_returns():
    g = guard()
    estimates = feed(g, STREAM[:600] + STREAM[680:])
    assert g.counts.filled == 80
    assert g.counts.resets == 0
    marked = [e for e in estimates[600:] if e.reason == "gap"]
    assert len(marked) >= 199
    assert estimates[599].valid
    assert not estimates[600].valid
    assert feed(g, [(STREAM[-1][0] + PERIOD, STREAM[-1][1])])[0].valid


def test_a_long_gap_resets_the_hidden_state():
    g = guard()
    shift = 3_000_000_000
    feed(g, STREAM[:500])
    after = feed(g, [(s + shift, x) for s, x in STREAM[500:]])
    assert after[0] is None  # one stamp alone is not believed
    assert (g.counts.jumps, g.counts.resets, g.counts.filled) == (1, 1, 0)
    fresh = VqfEstimator(VqfConfig(rate_hz=RATE))
    expected = [fresh.push(s, x).orientation for s, x in STREAM[501:]]
    np.testing.assert_array_equal([e.orientation for e in after[1:]], expected)
    assert [e.valid for e in after[1:]] == [False] * 200 + [True] * (len(expected) - 200)
    assert after[1].reason == "reset"


def test_one_wild_stamp_is_skipped_and_nothing_is_reset():
    for wild in (STREAM[300][0] + 3_600_000_000_000, STREAM[300][0] - 3_600_000_000_000):
        g = guard()
        estimates = feed(g, [*STREAM[:300], (wild, STREAM[300][1]), *STREAM[301:]])
        assert estimates[300] is None
        assert (g.counts.jumps, g.counts.resets, g.counts.filled) == (1, 0, 1)
        assert estimates[301].valid


def test_time_that_runs_backwards_is_rejected_and_counted():
    g = guard()
    feed(g, STREAM[:300])
    before = g.state()
    late = feed(g, [STREAM[299], STREAM[250], STREAM[298]])
    assert late == [None, None, None]
    assert (g.counts.backwards, g.counts.repeats) == (2, 1)
    after = feed(g, STREAM[300:])
    assert all(e.valid for e in after)
    h = guard()
    h.restore(before)
    np.testing.assert_array_equal([e.orientation for e in after], [e.orientation for e in feed(h, STREAM[300:])])


def test_a_clock_set_back_starts_a_new_time():
    g = guard()
    feed(g, STREAM)
    again = feed(g, [(s - 7_200_000_000_000, x) for s, x in STREAM])
    assert g.counts.resets == 1
    assert again[-1].valid


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["gyr", "acc"])
def test_a_sample_that_is_not_finite_never_reaches_the_estimator(field, value):
    g = guard()
    feed(g, STREAM[:300])
    bad = replace(STREAM[300][1], **{field: np.array([0.0, value, 0.0])})
    refused = g.push(STREAM[300][0], bad)
    assert not refused.valid
    assert refused.reason == "not finite"
    assert np.isfinite(refused.orientation).all()
    assert g.counts.nan == 1
    after = feed(g, STREAM[301:])
    assert np.isfinite([e.orientation for e in after]).all()
    assert not after[0].valid
    assert after[-1].valid
    assert g.counts.filled == 1


def test_nothing_but_nan_gives_no_estimate():
    g = guard()
    nothing = ImuSample(np.full(3, np.nan), np.full(3, np.nan))
    assert feed(g, [(i * PERIOD, nothing) for i in range(10)]) == [None] * 10
    assert g.counts.nan == 10
    assert feed(g, STREAM)[-1].valid


def test_nan_for_longer_than_the_long_gap_resets():
    g = guard()
    feed(g, STREAM[:300])
    nothing = ImuSample(np.full(3, np.nan), np.full(3, np.nan))
    feed(g, [(s, nothing) for s, _ in STREAM[300:550]])
    after = feed(g, STREAM[550:])
    assert g.counts.resets == 1
    assert after[0].reason == "reset"


@pytest.mark.parametrize("mag", [np.full(3, np.nan), np.array([0.0, 20.0, -40.0])])
def test_a_field_of_nan_or_in_microtesla_is_left_out_and_counted(mag):
    g = guard()
    estimates = feed(g, [(s, replace(x, mag=mag)) for s, x in STREAM])
    six = VqfEstimator(VqfConfig(rate_hz=RATE))
    expected = [six.push(s, replace(x, mag=None)).orientation for s, x in STREAM]
    np.testing.assert_array_equal([e.orientation for e in estimates], expected)
    assert g.counts.bad_mag == len(STREAM)


def test_saturation_is_marked_and_absurd_values_stay_bounded():
    g = guard()
    feed(g, STREAM[:300])
    hit = g.push(STREAM[300][0], replace(STREAM[300][1], gyr=np.array([34.9, 0.0, 0.0])))
    assert hit.reason == "saturated"
    assert not hit.valid
    absurd = g.push(STREAM[301][0], replace(STREAM[301][1], acc=np.array([1e300, 0.0, 0.0])))
    assert np.isfinite(absurd.orientation).all()
    assert g.counts.saturated == 2
    assert feed(g, STREAM[302:])[-1].valid


def test_swapped_channels_are_seen_by_the_gravity_that_is_missing():
    g = guard()
    swapped = [(s, ImuSample(x.acc, x.gyr, x.mag)) for s, x in STREAM]
    assert feed(g, swapped)[-1].reason == "no gravity"


@pytest.mark.parametrize("every", [2, 3])
def test_a_slower_stream_is_resampled_and_marked(every):
    g = guard()
    estimates = feed(g, STREAM[::every])
    assert estimates[-1].reason == "wrong rate"
    assert g.counts.filled > 0
    truth = bare()[(len(STREAM) - 1) // every * every]
    assert np.degrees(rotations.angle_between(estimates[-1].orientation, truth)) < 2.0


def test_a_faster_stream_is_thinned_to_the_rate_and_marked():
    g = guard()
    double = [(i * PERIOD // 2, STREAM[i // 2][1]) for i in range(2 * len(STREAM))]
    estimates = feed(g, double)
    assert sum(e is not None for e in estimates) == pytest.approx(len(STREAM), abs=1)
    assert next(e for e in reversed(estimates) if e is not None).reason == "wrong rate"


class Taker:
    """An estimator that keeps what it is given, and answers every tenth sample."""

    def __init__(self):
        self.given = []

    def push(self, stamp_ns, sample):
        self.given.append((stamp_ns, float(sample[0])))
        return Answer(stamp_ns) if len(self.given) % 10 == 0 else None

    def state(self):
        return b"{}"

    def restore(self, state):
        self.given = []


@dataclass(frozen=True)
class Answer:
    stamp_ns: int
    valid: bool = True
    reason: str = ""


def rows_guard(**changes):
    taker = Taker()
    rules = RowRules(np.array([-1e6]), np.array([1e6]))
    return taker, StreamGuard(taker, GuardConfig(rate_hz=RATE, **changes), rules)


def row(value):
    return np.array([float(value)])


def sent(factor, jitter, n, seed=0):
    """Times of ``n`` samples of a clock that is ``factor`` as slow, with jitter in periods."""
    noise = np.random.default_rng(seed).uniform(-jitter, jitter, n)
    noise[0] = 0.0
    return [round((k + noise[k]) * PERIOD * factor) for k in range(n)]


@pytest.mark.parametrize("factor", [0.993, 0.998, 1.0, 1.003, 1.007])
@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("offset", [0, 2**60])
def test_a_clock_within_a_hundredth_loses_no_sample_and_makes_none_up(factor, jitter, offset):
    taker, g = rows_guard()
    for k, time in enumerate(sent(factor, jitter, 600)):
        g.push(offset + time, row(k))
    assert [value for _, value in taker.given] == list(range(600))
    assert np.diff([stamp for stamp, _ in taker.given]).tolist() == [PERIOD] * 599
    assert g.counts == GuardCounts(received=600, estimated=60)


@pytest.mark.parametrize("factor", [0.31, 0.5, 0.78, 0.97, 1.03, 1.2, 2.0, 3.0])
@pytest.mark.parametrize("jitter", [0.0, 0.2])
def test_another_rate_is_resampled_to_the_time_that_samples_have(factor, jitter):
    taker, g = rows_guard()
    times = sent(factor, jitter, 800)
    answers = [answer for t in times if (answer := g.push(t, row(t / PERIOD)))]
    assert g.counts.resampled > 0 or factor == 0.5
    assert len(taker.given) == pytest.approx(times[-1] / PERIOD, abs=6)
    late = [value for _, value in taker.given][-100:]
    np.testing.assert_allclose(np.diff(late), 1.0, atol=1e-6)  # a ramp comes out as a ramp of one a period
    assert g.rate_hz() == pytest.approx(RATE / factor, rel=0.01)
    assert answers[-1].stamp_ns == pytest.approx(times[-1], abs=11 * PERIOD * max(factor, 1.0))
    assert (answers[-1].reason == "wrong rate") == (abs(1.0 / factor - 1.0) > 0.25)


@pytest.mark.parametrize(("missing", "at"), [(1, 210), (2, 333), (3, 250), (4, 260), (40, 301), (98, 400)])
def test_up_to_three_missing_samples_are_held_more_are_bridged_and_half_a_second_resets(missing, at):
    taker, g = rows_guard()
    answers = [(k, g.push(k * PERIOD, row(k))) for k in range(700) if not at <= k < at + missing]
    values = [value for _, value in taker.given]
    assert (g.counts.filled, g.counts.gaps, g.counts.resets) == (missing, 1, 0)
    assert values[:at] + values[at + missing :] == [*range(at), *range(at + missing, 700)]
    between = values[at : at + missing]
    assert between == ([at - 1.0] * missing if missing <= 3 else pytest.approx(list(range(at, at + missing))))
    assert [a.stamp_ns for _, a in answers if a] == pytest.approx(
        [a.stamp_ns // PERIOD * PERIOD for _, a in answers if a]
    )
    invalid = [k for k, a in answers if a and not a.valid and k >= at]
    assert (not invalid) == (missing <= 3)
    taker, g = rows_guard()
    for k in range(400):
        g.push(k * PERIOD, row(k))
    for k in range(400 + 100, 520):
        g.push(k * PERIOD, row(k))
    assert g.counts.resets == 1
    assert taker.given[0] == (501 * PERIOD, 501.0)  # one stamp alone after the silence is not believed


def test_a_row_beyond_its_limits_is_cut_and_marked_and_one_of_nan_is_left_out():
    taker, g = rows_guard()
    for k in range(300):
        g.push(k * PERIOD, row(k))
    assert g.push(300 * PERIOD, row(np.nan)) is None
    answers = [g.push(k * PERIOD, row(2e6 if k == 305 else k)) for k in range(301, 320)]
    assert [a.reason for a in answers if a] == ["saturated", "saturated"]
    assert (g.counts.nan, g.counts.saturated, g.counts.filled) == (1, 1, 1)
    assert taker.given[305][1] == 1e6


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_whatever_comes_the_state_restores_bit_for_bit_and_estimates_stay_finite_and_in_order(data):
    g, h = guard(), guard()
    stamp, newest, resets = 0, -(10**18), 0
    odd = st.sampled_from([0.0, 1.0, np.nan, np.inf, 1e300, -40.0])
    for i in range(data.draw(st.integers(1, 60))):
        stamp += data.draw(st.sampled_from([PERIOD, PERIOD, PERIOD, PERIOD * 4, 0, -PERIOD, 2 * 10**9, -3 * 10**9]))
        x = STREAM[i][1]
        if data.draw(st.booleans()):
            x = ImuSample(x.gyr, np.array([data.draw(odd), 0.0, 9.8]), data.draw(st.sampled_from([None, x.mag])))
        h.restore(g.state())
        a, b = g.push(stamp, x), h.push(stamp, x)
        assert h.state() == g.state()
        assert (a is None) == (b is None)
        if a is not None:
            assert a.orientation.tobytes() == b.orientation.tobytes()
            assert (a.valid, a.reason, a.stamp_ns) == (b.valid, b.reason, b.stamp_ns)
            assert np.isfinite(a.orientation).all()
            assert a.stamp_ns > newest or g.counts.resets > resets
            newest, resets = a.stamp_ns, g.counts.resets


def test_a_state_of_something_else_is_refused():
    g = guard()
    with pytest.raises(InputError, match="state of stream_guard"):
        g.restore(VqfEstimator().state())
    with pytest.raises(InputError, match="state of vqf"):
        g.restore(g.state().replace(b'\\"kind\\":\\"vqf\\"', b'\\"kind\\":\\"hiss\\"'))
