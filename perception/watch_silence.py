"""Whether a watch still sees: the stamps of all that it is made of, held against those of what goes on (joint states).

Silence is told by age: a frame that came long ago, and one that was old when it came, say equally little of now. Stamps
tell it; no clock is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting, validate

LINKS = ("depth images", "detections", "tracks", "forecasts")
"""What a watch is made of, each out of the one before; it sees by the last."""
SLACK_NS = 300_000_000
"""A link is the one that broke where it is not newer by more than this than what came of it at the end."""


@dataclass(frozen=True)
class SilenceConfig:
    """How old the newest forecasts may be."""

    blind_s: float = setting(
        1.0, "a watch is blind where its newest forecasts are older than this", low=0.1, high=60.0, unit="s"
    )
    start_s: float = setting(5.0, "the first forecasts may take so long", low=0.0, high=600.0, unit="s")


class WatchSilence:
    """Notes the newest stamp of every link; ``line`` says what is missing, empty where the watch sees."""

    def __init__(self, config: SilenceConfig = SilenceConfig()) -> None:
        self.config = validate(config, where="watch")
        self._newest_ns: dict[str, int] = {}
        self._began_ns: int | None = None
        self._now_ns: int | None = None

    @property
    def has_seen(self) -> bool:
        """Whether any forecasts have come."""
        return LINKS[-1] in self._newest_ns

    def came(self, link: str, stamp_ns: int) -> None:
        """Something of ``link``, one of LINKS, came with ``stamp_ns``; the last to come counts, whatever its stamp."""
        self._newest_ns[link] = stamp_ns

    def passed(self, stamp_ns: int) -> None:
        """It is ``stamp_ns`` now."""
        self._now_ns = stamp_ns
        if self._began_ns is None or stamp_ns < self._began_ns:
            self._began_ns = stamp_ns

    def line(self) -> str:
        """What makes the watch blind, one line without figures that run on; empty where it sees, or may still begin.

        Also empty before any time has passed: then nothing moves that had to be held.
        """
        if self._now_ns is None or self._began_ns is None:
            return ""
        seen_ns = self._newest_ns.get(LINKS[-1])
        if seen_ns is None:
            if self._now_ns - self._began_ns <= self.config.start_s * 1e9:
                return ""
            missing = next(link for link in LINKS if link not in self._newest_ns)
            return f"the watch is blind: no {missing} yet"
        age_ns, limit_ns = self._now_ns - seen_ns, self.config.blind_s * 1e9
        if age_ns < -limit_ns:
            return "the watch is blind: its stamps are of another clock than joint states"
        if age_ns <= limit_ns:
            return ""
        broken = next(link for link in LINKS if link in self._newest_ns and self._newest_ns[link] <= seen_ns + SLACK_NS)
        return f"the watch is blind: no {broken} newer than {self.config.blind_s:g} s"
