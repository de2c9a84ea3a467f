"""The settings of the batch world, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.cards import Entry
from knuckle.core.config import setting

SURFACES = ("table", "air")
STARTS = ("settled", "grasp", "mixed", "table")


@dataclass(frozen=True)
class BatchConfig:
    """How many worlds, of what task. ``rung``, ``physics`` and ``randomisation`` are names of their own tables."""

    worlds: int = setting(256, "worlds stepped together", low=1, high=65536)
    rung: str = setting("so3", "how far goals are turned: yaw60, 30, 60, 90, so3")
    surface: str = setting("table", "table, or air: the table goes after 2 s", choices=SURFACES)
    starts: str = setting(
        "settled", "resting poses, grasps, half of each, or a fresh drop on the table", choices=STARTS
    )
    held_share: float = setting(
        0.0, "share of episodes that begin in a grasp that holds, without the table", low=0.0, high=1.0
    )
    physics: str = setting("training", "training (1/60 s), coarse (softer friction) or execution (1/120 s)")
    randomisation: str = setting("off", "off or default")
    episode_s: float = setting(10.0, "when an episode is cut off", low=0.1, high=3600.0, unit="s")
    cached_starts: int = setting(64, "stable starts kept of each object", low=1, high=100_000)
    threads: int = setting(2, "rollout threads", low=1, high=256)
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class BatchSpec:
    """What goes in and comes out: ``observation`` parts and ``columns`` (name, unit), ``actions`` in joint order.

    Observations are (worlds, width) and actions (worlds, dof) in [-1, 1]; ``rate_hz`` is that of control.
    """

    hand: str
    objects: tuple[str, ...]
    worlds: int
    observation: tuple[Entry, ...]
    columns: tuple[tuple[str, str], ...]
    actions: tuple[str, ...]
    rate_hz: float
    episode_steps: int

    @property
    def width(self) -> int:
        """Numbers in one world's observation."""
        return len(self.columns)
