"""A recording through the stream: vqf's own figures, a state to go on from, an honest count of what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vqf import VQF

from knuckle.core.errors import InputError
from knuckle.sensors.imu_stream import ImuStream
from knuckle.sensors.orientation_error import rmse
from knuckle.sensors.replay_stream import digest, replay, score, stream_config


def estimates_of(recording):
    return list(replay(recording, ImuStream(stream_config(recording))))


def assert_as_vqf_alone(recording):
    estimates = estimates_of(recording)
    stamps = np.array([e.stamp_ns for e in estimates])
    ours, dropped = score(recording, stamps, np.array([e.orientation for e in estimates]))
    direct = VQF(1.0 / recording.rate_hz).updateBatch(recording.gyr, recording.acc, recording.mag)["quat9D"]
    theirs = rmse(direct, recording.truth, recording.movement)
    assert dropped == 0
    assert len(estimates) == len(recording)
    assert ours.n == theirs.n > 0
    for part in ("total_deg", "heading_deg", "inclination_deg"):
        assert getattr(ours, part) == pytest.approx(getattr(theirs, part), abs=1e-6)


def test_the_stream_scores_as_vqf_alone(made):
    assert_as_vqf_alone(made)


def test_readings_beyond_a_nominal_range_are_taken_as_they_are(made):
    gyr, acc = made.gyr.copy(), made.acc.copy()
    gyr[900:910], acc[1200:1203] = 35.0, -158.0  # 2000 deg/s and 16 g, and what calibration adds
    assert_as_vqf_alone(replace(made, gyr=gyr, acc=acc))


@pytest.mark.data
@pytest.mark.parametrize("trial", ["01", "18", "32"])
def test_the_stream_scores_as_vqf_alone_on_published_trials(broad_trial, trial):
    assert_as_vqf_alone(broad_trial(trial))


def test_two_runs_give_the_same_bits(made):
    first, second = (digest(np.array([e.orientation for e in estimates_of(made)])) for _ in range(2))
    assert first == second
    nudged = replace(made, gyr=np.nextafter(made.gyr, 1.0))
    assert digest(np.array([e.orientation for e in estimates_of(nudged)])) != first


def test_a_stream_joined_midway_with_its_state_gives_the_same_bits(made):
    whole = estimates_of(made)
    stream = ImuStream(stream_config(made))
    state = b""
    for estimate in replay(made, stream):
        if estimate.stamp_ns >= 4_000_000_000 and not state:
            state = stream.state()
    joined = ImuStream(stream_config(made))
    stamp_ns = joined.restore(state)
    later = made.part((stamp_ns + 1) / 1e9, 0.0)
    assert later.stamps_ns[0] > stamp_ns
    rest = list(replay(later, joined))
    expected = [e for e in whole if e.stamp_ns > stamp_ns]
    assert [(e.stamp_ns, e.valid) for e in rest] == [(e.stamp_ns, e.valid) for e in expected]
    for a, b in zip(rest, expected, strict=True):
        assert a.orientation.tobytes() == b.orientation.tobytes()
        assert a.covariance.tobytes() == b.covariance.tobytes()


def test_a_state_of_something_else_is_refused():
    with pytest.raises(InputError, match="state of imu_stream"):
        ImuStream().restore(b"{}")


def test_a_recording_without_a_magnetometer_streams_in_six_axes(made):
    estimates = estimates_of(replace(made, mag=None))
    direct = VQF(1.0 / made.rate_hz).updateBatch(made.gyr, made.acc)["quat6D"]
    np.testing.assert_array_equal([e.orientation for e in estimates], direct)


def test_missing_estimates_are_counted_and_not_scored(made):
    estimates = estimates_of(made)
    stamps = np.array([e.stamp_ns for e in estimates])
    orientations = np.array([e.orientation for e in estimates])
    keep = np.arange(len(stamps)) % 4 != 1
    result, dropped = score(made, stamps[keep], orientations[keep])
    assert dropped == len(made) - keep.sum()
    assert result.n == (made.movement & keep).sum()
    assert result == rmse(orientations[keep], made.truth[keep], made.movement[keep])
    assert score(replace(made, truth=None), stamps, orientations) == (None, 0)
    nothing, all_dropped = score(made, stamps[:0], orientations[:0])
    assert (nothing.n, all_dropped) == (0, len(made))
