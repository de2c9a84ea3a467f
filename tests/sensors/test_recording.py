"""The invariants a recording is checked for when it is made, and parts of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knuckle.core.errors import RecordingError


@pytest.mark.parametrize("step", [0, -5])
def test_time_that_runs_backwards_or_stands_still_is_named_with_its_index(made, step):
    stamps = made.stamps_ns.copy()
    stamps[41] = stamps[40] + step
    with pytest.raises(RecordingError, match="'stamps_ns' runs backwards or stands still at sample 41"):
        replace(made, stamps_ns=stamps)


def test_nan_is_named_with_its_field_and_index(made):
    mag = made.mag.copy()
    mag[7, 2] = np.nan
    with pytest.raises(RecordingError, match="'mag' is not finite at sample 7"):
        replace(made, mag=mag)


def test_fields_of_other_lengths_are_refused(made):
    with pytest.raises(RecordingError, match=r"'acc' has shape"):
        replace(made, acc=made.acc[:-1])
    with pytest.raises(RecordingError, match=r"'movement' has shape"):
        replace(made, movement=made.movement[:-1])


def test_a_part_is_the_same_samples(made):
    part = made.part(2.0, 3.0)
    first = int(np.searchsorted(made.stamps_ns, 2_000_000_000))
    assert part.stamps_ns[0] == made.stamps_ns[first]
    assert len(part) == pytest.approx(3.0 * made.rate_hz, abs=1)
    np.testing.assert_array_equal(part.gyr, made.gyr[first : first + len(part)])
    assert len(made.part(0.0, 0.0)) == len(made)


def test_a_part_beyond_the_end_is_refused(made):
    with pytest.raises(RecordingError, match="no samples from 100 s on"):
        made.part(100.0, 1.0)
