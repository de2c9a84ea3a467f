"""The best, the median and the worst episode, played again and filmed: an MP4 and a strip of frames of each."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.policy.contract import Goal
from knuckle.policy.episode_video import EpisodePainter
from knuckle.policy.reorient_episode import Watcher
from knuckle.policy.reorient_score import EpisodeScore
from knuckle.sim.picture import png, tiled
from knuckle.sim.video import VideoWriter
from knuckle.sim.world import SimWorld

Play = Callable[[int, Watcher], EpisodeScore]
"""Plays the episode of a number again, shown to a watcher at every control step."""

SIZES = {"egl": (480, 360), "rays": (320, 240)}
"""Width and height by renderer."""
STRIP, COLUMNS = 8, 4
STRIP_WIDTH = 240


@dataclass(frozen=True)
class Film:
    """One episode: what it is shown for (``best, median``), its number and score, an MP4, a PNG of its frames.

    ``replayed`` is the score of the filmed run: anything but ``score`` means that the episode did not repeat itself.
    """

    label: str
    episode: int
    score: EpisodeScore
    replayed: EpisodeScore
    mp4: bytes
    strip: bytes

    @property
    def repeated(self) -> bool:
        """Whether the filmed run is the scored one."""
        a, b = self.score, self.replayed
        same = a.still == b.still and a.dropped == b.dropped and math.isclose(a.duration, b.duration, abs_tol=1e-9)
        return same and math.isclose(a.final_angle, b.final_angle, abs_tol=1e-9)


@dataclass(frozen=True)
class VideoSheet:
    """Films, best first; ``renderer`` drew them, at ``rate_hz`` frames a second."""

    films: tuple[Film, ...]
    renderer: str
    rate_hz: float


def rank(score: EpisodeScore) -> tuple[int, float, float]:
    """What episodes are ordered by, best first: still ones, moving ones, drops; then final angle, then duration."""
    tier = 2 if score.dropped else 0 if score.still else 1
    angle = score.final_angle if math.isfinite(score.final_angle) else math.inf
    return tier, angle, score.duration


def choose_episodes(scores: list[EpisodeScore]) -> dict[int, str]:
    """The number of the best, the median and the worst episode, and what it is; one may be several of them."""
    order = sorted(range(len(scores)), key=lambda k: (rank(scores[k]), k))
    if not order:
        return {}
    chosen: dict[int, list[str]] = {}
    for name, place in (("best", 0), ("median", (len(order) - 1) // 2), ("worst", -1)):
        chosen.setdefault(order[place], []).append(name)
    return {k: ", ".join(names) for k, names in chosen.items()}


def film_sheet(scores: list[EpisodeScore], play: Play, *, rate_hz: float, source: str = "auto") -> VideoSheet:
    """Films of the chosen of ``scores``, each played again by ``play``; ``source`` as `choose_renderer` takes it.

    ``rate_hz`` is the rate of control: one frame a step. InputError where PyAV is missing.
    """
    painter = EpisodePainter(source, sizes=SIZES)
    try:
        chosen = choose_episodes(scores)
        films = tuple(_film(painter, label, k, scores[k], play, rate_hz) for k, label in chosen.items())
    finally:
        painter.close()
    return VideoSheet(films, painter.source, rate_hz)


def _film(painter: EpisodePainter, label: str, k: int, score: EpisodeScore, play: Play, rate_hz: float) -> Film:
    small: list[NDArray[np.uint8]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episode.mp4"
        with VideoWriter(path, rate_hz) as video:

            def watch(world: SimWorld, goal: Goal, angle: float) -> None:
                frame = painter.frame(world, goal, angle)
                video.add(frame)
                small.append(_reduced(frame))

            replayed = play(k, watch)
        mp4 = path.read_bytes()
    places = np.linspace(0, len(small) - 1, STRIP).round().astype(int)
    return Film(label, k, score, replayed, mp4, png(tiled([small[i] for i in places], COLUMNS)))


def _reduced(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame at the strip's width: squares of pixels averaged."""
    n = max(frame.shape[1] // STRIP_WIDTH, 1)
    height, width = frame.shape[0] // n, frame.shape[1] // n
    squares = frame[: height * n, : width * n].reshape(height, n, width, n, 3)
    return np.asarray(squares.mean(axis=(1, 3)).round(), dtype=np.uint8)
