"""Tracks and the windows that are cut from them."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.motion.tracks.simulated_tracks import SimulatedTracks, simulated_tracks
from knuckle.motion.tracks.track import Track, make_track
from knuckle.motion.tracks.windows import WindowConfig, cut_windows


def track(name: str = "a", rows: int = 60, speed: float = 5.0, **changes: object) -> Track:
    path = np.stack([0.1 * speed * np.arange(rows), np.zeros(rows)], -1)
    given = {"name": name, "sequence": "s", "label": "car", "frames": np.arange(rows), "positions": path}
    return make_track(**(given | {"dt_s": 0.1, "reference": "map"} | changes))  # type: ignore[arg-type]


def test_a_window_goes_on_where_its_history_ends() -> None:
    windows = cut_windows([track()], WindowConfig())
    assert windows.history.shape == (4, 11, 2) and windows.future.shape == (4, 30, 2)
    assert np.allclose(windows.future[:, 0] - windows.history[:, -1], [0.5, 0.0])
    assert np.allclose(windows.history[1, 0] - windows.history[0, 0], [2.5, 0.0])


def test_no_window_over_a_gap_of_what_stands_or_of_one_point() -> None:
    gap = np.r_[0:30, 31:61]
    few = [track("gap"), track("slow", speed=1.0), track("one", rows=1)]
    holed = make_track("holed", "s", "car", gap, few[0].positions, 0.1, "map")
    with pytest.raises(InputError, match="no window"):
        cut_windows([holed, *few[1:]], WindowConfig())
    assert set(cut_windows(few, WindowConfig()).track.tolist()) == {0}


def test_windows_are_told_apart_by_sequence() -> None:
    both = cut_windows([track(), track(sequence="t")], WindowConfig())
    assert both.sequences == ["s", "t"] and len(both.of_sequences({"t"})) == 4
    assert both.of_sequences({"t"}).sequences == ["t"]


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"reference": "city"}, "one frame of reference"),
        ({"dt_s": 0.2}, "one frame of reference"),
        ({"dt_s": 0.2, "sequence": "t"}, "2 rates"),
    ],
)
def test_frames_of_reference_and_rates_are_not_mixed(other: dict[str, object], line: str) -> None:
    with pytest.raises(InputError, match=line):
        cut_windows([track(), track("b", **other)], WindowConfig())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"frames": np.zeros(60, dtype=int)}, "frame 0 comes twice"),
        ({"positions": np.full((60, 2), np.nan)}, "not finite"),
        ({"positions": np.full((60, 2), 4e6)}, "not a map's"),
        ({"positions": np.zeros((59, 2))}, "one position for each frame"),
        ({"dt_s": 0.0}, "step above 0 s"),
    ],
)
def test_a_track_that_is_none_is_refused(changes: dict[str, object], line: str) -> None:
    with pytest.raises(InputError, match=line):
        track(**changes)


def test_simulated_tracks_are_the_same_again_and_seen_with_error() -> None:
    config = SimulatedTracks(vehicles=12, seconds=5.0)
    one, again = simulated_tracks(config, 3), simulated_tracks(config, 3)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one, again, strict=True))
    assert len({t.sequence for t in one}) == 2
    clean = simulated_tracks(SimulatedTracks(vehicles=12, seconds=5.0, noise_m=0.0), 3)
    apart = [float(np.std(a.positions - b.positions)) for a, b in zip(one, clean, strict=True)]
    assert min(apart) > 0.0 and max(apart) < 0.12
