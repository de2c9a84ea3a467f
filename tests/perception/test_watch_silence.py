"""When a watch is blind, and which of its links it names."""

from __future__ import annotations

import pytest

from knuckle.core.errors import ConfigError
from knuckle.perception.watch_silence import LINKS, SilenceConfig, WatchSilence

MS = 1_000_000
PERIOD = 83 * MS


def watched(frames: int = 12, *, without: str = "", from_frame: int = 0) -> WatchSilence:
    """A chain at work for so many frames, one link and what follows of it left out from ``from_frame`` on."""
    silence = WatchSilence()
    for k in range(frames):
        for link in LINKS:
            if link == without and k >= from_frame:
                break
            silence.came(link, k * PERIOD)
        silence.passed(k * PERIOD + 30 * MS)
    return silence


def test_a_watch_that_sees_is_not_blind_up_to_its_limit_and_blind_beyond_it() -> None:
    silence = watched()
    last = 11 * PERIOD
    silence.passed(last + 1000 * MS)
    assert silence.line() == ""
    silence.passed(last + 1001 * MS)
    assert silence.line() == "the watch is blind: no depth images newer than 1 s"
    silence.came("forecasts", last + 1000 * MS)
    assert silence.line() == ""


@pytest.mark.parametrize("link", LINKS)
def test_the_first_link_that_fell_silent_is_named(link: str) -> None:
    silence = watched(40, without=link, from_frame=10)
    assert silence.line() == f"the watch is blind: no {link} newer than 1 s"


@pytest.mark.parametrize("link", LINKS)
def test_what_never_came_is_waited_for_a_while_and_then_named(link: str) -> None:
    silence = watched(50, without=link)
    assert silence.line() == ""
    assert not silence.has_seen
    silence.passed(5100 * MS)
    assert silence.line() == f"the watch is blind: no {link} yet"


def test_frames_that_come_but_are_old_make_blind_as_silence_does_and_so_do_those_of_another_clock() -> None:
    silence = watched()
    for k in range(12, 40):
        for link in LINKS:
            silence.came(link, k * PERIOD - 1500 * MS)
        silence.passed(k * PERIOD)
    assert silence.line() == "the watch is blind: no depth images newer than 1 s"
    silence.came("forecasts", 3_600_000 * MS)
    assert "another clock" in silence.line()
    silence.came("forecasts", 39 * PERIOD)
    assert silence.line() == ""


def test_a_clock_that_begins_anew_blinds_only_until_its_first_frame() -> None:
    silence = watched()
    silence.passed(0)
    silence.came("forecasts", 3_600_000 * MS)
    silence.passed(3_600_000 * MS)
    assert silence.line() == ""
    silence.passed(10 * MS)
    assert "another clock" in silence.line()
    silence.came("forecasts", 5 * MS)
    assert silence.line() == ""


def test_without_time_nothing_is_said_and_settings_out_of_range_are_refused() -> None:
    silence = WatchSilence()
    silence.came("forecasts", 0)
    assert silence.line() == ""
    with pytest.raises(ConfigError):
        WatchSilence(SilenceConfig(blind_s=0.0))
