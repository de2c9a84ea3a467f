"""Creeping towards a mechanical stop: where to drive a joint next, and whether it stands against something. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class SearchConfig:
    """How a stop is looked for."""

    speed: float = setting(0.5, "how fast a joint creeps", low=0.05, high=2.0, unit="rad/s")
    lead: float = setting(0.3, "how far the goal may run ahead of the joint", low=0.02, high=1.0, unit="rad")
    still_rad: float = setting(0.01, "a joint that moves less than this stands still", low=0.001, high=0.2, unit="rad")
    still_s: float = setting(0.4, "it is at a stop when it stands still for so long", low=0.05, high=5.0, unit="s")
    reach: float = setting(5.0, "a joint that moved this far met no stop", low=0.1, high=6.2, unit="rad")
    torque: float = setting(0.15, "share of the servo's stall torque it may push with", low=0.01, high=0.5)
    disagree: float = setting(
        0.15, "both stops of a joint may disagree about its zero by this", low=0.005, high=1.0, unit="rad"
    )


class StopSearch:
    """One search from horn angle ``start`` rad in ``direction`` (1 or -1). Ask ``goal`` after each ``step``."""

    def __init__(self, start: float, direction: int, config: SearchConfig) -> None:
        self._start, self._direction, self._config = start, direction, config
        self.goal = start
        """Where to drive the horn, rad."""
        self.stop: float | None = None
        """Where the stop is, rad; None while it is looked for."""
        self.missed = False
        """True where the joint went all its way without meeting one."""
        self._mark, self._still_s = start, 0.0

    @property
    def over(self) -> bool:
        """Whether the search has ended."""
        return self.missed or self.stop is not None

    def step(self, horn: float, dt_s: float) -> None:
        """The horn is at ``horn`` rad, ``dt_s`` after the step before."""
        config, way = self._config, self._direction
        if abs(horn - self._mark) > config.still_rad:
            self._mark, self._still_s = horn, 0.0
        ahead = way * (self.goal - horn)
        if ahead >= config.lead - 1e-9:
            # It is pushed with all it may use, and does not move on.
            self._still_s += dt_s
        self.goal = horn + way * min(config.lead, max(ahead, 0.0) + config.speed * dt_s)
        if self._still_s >= config.still_s:
            self.stop = horn
        self.missed = self.stop is None and way * (horn - self._start) > config.reach
