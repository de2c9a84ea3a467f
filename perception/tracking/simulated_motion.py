"""Films of boxes that nobody filmed: players, dancers and vehicles, who turn, stop, swap places and cover each other.

Everything that ships is learned and tuned on these alone. What is drawn here was chosen from what such motion is known
to be (speeds, accelerations, sizes), and wider than that; no number was fitted to a data set.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from knuckle.core.errors import unknown_name
from knuckle.perception.tracking.boxes import Array, Flags, iou
from knuckle.perception.tracking.sequence import Sequence, make_sequence

SIZE_PX = (1280, 720)
COVERED = 0.85
SMALLEST_PX = 12.0
TURNING = 1.2
LABELLED_EVERY = (1, 2, 4, 6, 8)


@dataclass(frozen=True)
class Kind:
    """A kind of film. Lengths in m, speeds in m/s: the area (across, along), where the camera stands (height, and
    distance before the area), its focal length in px, how many there are, their speeds, how often a second they
    change their minds, their largest acceleration, height and width with their wobble (shares, correlation in s), and
    how the camera follows one of them: least and largest gain a second and fastest m/s, None where it stands."""

    rate_hz: float
    area: tuple[float, float]
    camera: tuple[float, float]
    focal_px: float
    count: tuple[int, int]
    speeds: tuple[float, ...]
    changes: float
    acceleration: float
    size: tuple[float, float]
    wobble: tuple[float, float, float]
    follows: tuple[float, float, float] | None


KINDS = {
    "players": Kind(
        25.0,
        (28.0, 15.0),
        (8.0, 22.0),
        1300.0,
        (8, 22),
        (0.0, 1.0, 2.5, 5.0),
        0.7,
        5.0,
        (1.9, 0.8),
        (0.07, 0.36, 0.3),
        (0.3, 0.9, 3.5),
    ),
    "dancers": Kind(
        20.0,
        (9.0, 5.0),
        (1.6, 7.0),
        900.0,
        (4, 10),
        (0.0, 0.2, 0.6, 1.4),
        1.2,
        7.0,
        (1.7, 0.75),
        (0.07, 0.26, 0.2),
        None,
    ),
    "vehicles": Kind(
        10.0,
        (40.0, 60.0),
        (1.7, 6.0),
        720.0,
        (6, 16),
        (0.0, 3.0, 7.0, 12.0),
        0.12,
        3.0,
        (1.5, 1.9),
        (0.015, 0.03, 1.5),
        (0.2, 0.8, 4.0),
    ),
    "walkers": Kind(
        25.0,
        (16.0, 12.0),
        (3.0, 8.0),
        1000.0,
        (8, 24),
        (0.0, 0.8, 1.2, 1.6),
        0.08,
        2.0,
        (1.72, 0.7),
        (0.03, 0.2, 0.3),
        None,
    ),
}


def simulated(kind: str, seed: int, frames: int = 400) -> Sequence:
    """A film of one of ``KINDS``, the same for the same seed. InputError for an unknown kind."""
    if kind not in KINDS:
        raise unknown_name("kind of film", kind, KINDS, where="simulated")
    spec = KINDS[kind]
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    boxes, depth = _film(spec, frames, rng)
    visible = _visible(boxes, depth)
    frame, track = np.nonzero(visible)
    rows = (frame.astype(np.int64), track.astype(np.int64), boxes[visible], np.ones(len(frame), dtype=np.int64))
    return make_sequence(f"{kind}-{seed}", spec.rate_hz, SIZE_PX, frames, *rows)


def _varied(spec: Kind, rng: np.random.Generator) -> Kind:
    """A film's own kind: how lively, quick and near it is differs from film to film, more than in real ones."""
    lively, quick, speed, near = rng.uniform((0.3, 0.4, 0.5, 0.7), (1.4, 1.6, 1.3, 1.6))
    tall, wide, long = spec.wobble
    return replace(
        spec,
        focal_px=near * spec.focal_px,
        speeds=tuple(speed * value for value in spec.speeds),
        changes=spec.changes * rng.uniform(0.5, 2.0),
        acceleration=quick * spec.acceleration,
        wobble=(lively * tall, lively * wide, long * rng.uniform(0.5, 3.0)),
    )


def _film(spec: Kind, frames: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Boxes (frames, N, 4) and depths (frames, N) of everyone, in sight or not."""
    spec = _varied(spec, rng)
    crowd, operator = _Crowd(spec, rng), _Operator(spec, rng)
    n = len(crowd.place)
    boxes, depths = np.zeros((frames, n, 4)), np.zeros((frames, n))
    for k in range(frames):
        shape = crowd.step()
        boxes[k], depths[k] = _projected(spec, crowd.place, shape, operator.step(crowd.place), operator.zoom)
    # People label every few frames of a film and let the boxes between go straight.
    every = int(rng.choice(LABELLED_EVERY))
    every_frame = np.arange(frames)
    before = every_frame // every * every
    after = np.minimum(before + every, frames - 1)
    share = ((every_frame - before) / np.maximum(after - before, 1))[:, None, None]
    return np.asarray((1.0 - share) * boxes[before] + share * boxes[after]), depths


class _Crowd:
    """Everyone's place, way and posture."""

    def __init__(self, spec: Kind, rng: np.random.Generator) -> None:
        self.spec, self.rng, self.dt = spec, rng, 1.0 / spec.rate_hz
        n = int(rng.integers(spec.count[0], spec.count[1] + 1))
        self.area = np.array(spec.area)
        self.place, self.goal = (rng.random((n, 2)) - 0.5) * self.area, (rng.random((n, 2)) - 0.5) * self.area
        self.speed, self.turning = rng.choice(spec.speeds, n), rng.normal(0.0, TURNING, n)
        self.velocity, self.wobble = np.zeros((n, 2)), np.zeros((n, 2))
        self.body = np.array(spec.size) * rng.uniform(0.88, 1.12, (n, 2))
        self.phase = rng.uniform(0.0, 2.0 * np.pi, n)

    def step(self) -> Array:
        """A frame later; heights and widths (N, 2) in m."""
        spec, rng, dt = self.spec, self.rng, self.dt
        n = len(self.place)
        changed = (rng.random(n) < spec.changes * dt) | (np.linalg.norm(self.goal - self.place, axis=1) < 0.5)
        m = int(changed.sum())
        self.goal[changed] = (rng.random((m, 2)) - 0.5) * self.area
        # Every third goes where another is: paths cross where boxes look alike.
        swap = changed & (rng.random(n) < 0.33)
        self.goal[swap] = self.place[rng.integers(0, n, int(swap.sum()))]
        self.speed[changed], self.turning[changed] = rng.choice(spec.speeds, m), rng.normal(0.0, TURNING, m)
        away = self.goal - self.place
        wanted = self.speed[:, None] * away / np.maximum(np.linalg.norm(away, axis=1), 1e-6)[:, None]
        wanted = wanted + self.turning[:, None] * 0.3 * np.stack([-wanted[:, 1], wanted[:, 0]], axis=1)
        push = (wanted - self.velocity) / 0.3
        force = np.linalg.norm(push, axis=1)
        self.velocity = (
            self.velocity + dt * push * np.minimum(1.0, spec.acceleration / np.maximum(force, 1e-6))[:, None]
        )
        self.place = self.place + dt * self.velocity
        decay = np.exp(-dt / spec.wobble[2])
        spread = np.array(spec.wobble[:2]) * np.sqrt(1.0 - decay**2)
        self.wobble = decay * self.wobble + spread * rng.standard_normal((n, 2))
        pace = np.linalg.norm(self.velocity, axis=1)
        self.phase = self.phase + dt * (2.0 + 2.2 * pace)
        stride = spec.wobble[1] * 0.5 * np.sin(self.phase) * np.minimum(pace / 4.0, 1.0)
        return np.asarray(self.body * np.exp(self.wobble + np.stack([np.zeros(n), stride], axis=1)))


class _Operator:
    """Who turns and zooms the camera: after one of them, and another a while later; or leaves it as it is."""

    def __init__(self, spec: Kind, rng: np.random.Generator) -> None:
        self.spec, self.rng, self.dt = spec, rng, 1.0 / spec.rate_hz
        low, high, self.fastest = spec.follows or (0.0, 0.0, 0.0)
        self.gain, self.patience = rng.uniform((low, 1.0), (high, 4.0))
        self.pan = self.turn = self.log_zoom = 0.0
        self.who = 0

    @property
    def zoom(self) -> float:
        """Focal length as a share of the usual one."""
        return float(np.exp(self.log_zoom))

    def step(self, place: Array) -> float:
        """Where the camera looks a frame later, m along the area."""
        if self.fastest > 0.0:
            if self.rng.random() < self.dt / self.patience:
                self.who = int(self.rng.integers(0, len(place)))
            wanted = self.gain * (place[self.who % len(place), 0] - self.pan)
            wanted = np.clip(wanted, -self.fastest, self.fastest)
            self.turn += (wanted - self.turn) * min(1.0, self.dt / 0.25)
            self.pan += self.dt * self.turn
            self.log_zoom += -0.3 * self.dt * self.log_zoom + 0.08 * np.sqrt(self.dt) * self.rng.standard_normal()
        return float(self.pan)


def _projected(spec: Kind, place: Array, shape: Array, pan: float, zoom: float) -> tuple[Array, Array]:
    """Boxes (N, 4) and depths (N,) of bodies of ``shape`` (height, width) that stand at ``place``."""
    height, distance = spec.camera
    depth = np.maximum(place[:, 1] + 0.5 * spec.area[1] + distance, 1.0)
    scale = zoom * spec.focal_px / depth
    horizon = 0.5 * SIZE_PX[1] - zoom * spec.focal_px * height / (distance + 0.5 * spec.area[1])
    x = 0.5 * SIZE_PX[0] + scale * (place[:, 0] - pan)
    bottom = horizon + scale * height
    h, w = scale * shape[:, 0], scale * shape[:, 1]
    return np.stack([x, bottom - 0.5 * h, w, h], axis=1), depth


def _visible(boxes: Array, depth: Array) -> Flags:
    """Who is in the image, large enough, and not covered by one that stands before it: (frames, N)."""
    inside = (boxes[..., :2] > 0.0).all(axis=2) & (boxes[..., 0] < SIZE_PX[0]) & (boxes[..., 1] < SIZE_PX[1])
    seen = inside & (boxes[..., 2:] >= SMALLEST_PX).all(axis=2)
    for k in range(len(boxes)):
        overlap, area = iou(boxes[k], boxes[k]), boxes[k, :, 2] * boxes[k, :, 3]
        shared = overlap * (area[:, None] + area[None, :]) / (1.0 + overlap)
        before = (depth[k][None, :] < depth[k][:, None]) & seen[k][None, :]
        seen[k] &= ~((shared / area[:, None] > COVERED) & before).any(axis=1)
    return seen
