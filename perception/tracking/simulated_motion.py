"""Films of boxes that nobody filmed: players, dancers and vehicles, who turn, stop, swap places and cover each other.

Everything that ships is learned and tuned on these alone. What is drawn here was chosen from what such motion is known
to be (speeds, accelerations, sizes); no number was fitted to a data set.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from knuckle.core.errors import unknown_name
from knuckle.perception.tracking.boxes import Array, Flags, iou
from knuckle.perception.tracking.sequence import Sequence, make_sequence

SIZE_PX = (1280, 720)
COVERED = 0.85
SMALLEST_PX = 12.0


@dataclass(frozen=True)
class Kind:
    """A kind of film. Lengths in m, speeds in m/s: the area (across, along), where the camera stands (height, and
    distance before the area), its focal length in px, how many there are, their speeds, how often a second they
    change their minds, their largest acceleration, and height and width with their wobble (share, correlation in s)."""

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
    follows: bool


KINDS = {
    "players": Kind(
        25.0,
        (28.0, 15.0),
        (8.0, 22.0),
        1300.0,
        (8, 22),
        (0.0, 1.5, 3.5, 6.5),
        0.7,
        5.0,
        (1.9, 0.42),
        (0.06, 0.28, 0.35),
        True,
    ),
    "dancers": Kind(
        20.0,
        (9.0, 5.0),
        (1.6, 7.0),
        900.0,
        (4, 10),
        (0.0, 0.6, 1.4, 3.0),
        1.2,
        7.0,
        (1.7, 0.5),
        (0.08, 0.35, 0.25),
        False,
    ),
    "vehicles": Kind(
        10.0,
        (40.0, 60.0),
        (1.7, 6.0),
        720.0,
        (6, 16),
        (0.0, 4.0, 9.0, 15.0),
        0.12,
        3.0,
        (1.5, 1.9),
        (0.015, 0.03, 1.5),
        True,
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


def _film(spec: Kind, frames: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Boxes (frames, N, 4) and depths (frames, N) of everyone, in sight or not."""
    n, dt = int(rng.integers(spec.count[0], spec.count[1] + 1)), 1.0 / spec.rate_hz
    area = np.array(spec.area)
    place, goal = (rng.random((n, 2)) - 0.5) * area, (rng.random((n, 2)) - 0.5) * area
    speed = rng.choice(spec.speeds, n)
    velocity, wobble = np.zeros((n, 2)), np.zeros((n, 2))
    body = np.array(spec.size) * rng.uniform(0.88, 1.12, (n, 2))
    phase, turning = rng.uniform(0.0, 2.0 * np.pi, n), rng.normal(0.0, 1.2, n)
    pan, boxes, depths = 0.0, np.zeros((frames, n, 4)), np.zeros((frames, n))
    decay = np.exp(-dt / spec.wobble[2])
    spread = np.array(spec.wobble[:2]) * np.sqrt(1.0 - decay**2)
    for k in range(frames):
        changed = (rng.random(n) < spec.changes * dt) | (np.linalg.norm(goal - place, axis=1) < 0.5)
        goal[changed] = (rng.random((int(changed.sum()), 2)) - 0.5) * area
        # Every third change is of place with another: paths cross where boxes look alike.
        swap = changed & (rng.random(n) < 0.33)
        goal[swap] = place[rng.integers(0, n, int(swap.sum()))]
        speed[changed] = rng.choice(spec.speeds, int(changed.sum()))
        turning[changed] = rng.normal(0.0, 1.2, int(changed.sum()))
        away = goal - place
        wanted = speed[:, None] * away / np.maximum(np.linalg.norm(away, axis=1), 1e-6)[:, None]
        wanted = wanted + turning[:, None] * 0.3 * np.stack([-wanted[:, 1], wanted[:, 0]], axis=1)
        push = (wanted - velocity) / 0.3
        force = np.linalg.norm(push, axis=1)
        velocity = velocity + dt * push * np.minimum(1.0, spec.acceleration / np.maximum(force, 1e-6))[:, None]
        place = place + dt * velocity
        wobble = decay * wobble + spread * rng.standard_normal((n, 2))
        pace = np.linalg.norm(velocity, axis=1)
        phase = phase + dt * (2.0 + 2.2 * pace)
        stride = spec.wobble[1] * 0.5 * np.sin(phase) * np.minimum(pace / 4.0, 1.0)
        if spec.follows:
            pan += dt * np.clip(2.0 * (np.median(place[:, 0]) - pan), -6.0, 6.0)
        shape = body * np.exp(wobble + np.stack([np.zeros(n), stride], axis=1))
        boxes[k], depths[k] = _projected(spec, place, shape, pan)
    return boxes, depths


def _projected(spec: Kind, place: Array, shape: Array, pan: float) -> tuple[Array, Array]:
    """Boxes (N, 4) and depths (N,) of bodies of ``shape`` (height, width) that stand at ``place``."""
    height, distance = spec.camera
    depth = np.maximum(place[:, 1] + 0.5 * spec.area[1] + distance, 1.0)
    scale = spec.focal_px / depth
    horizon = 0.5 * SIZE_PX[1] - spec.focal_px * height / (distance + 0.5 * spec.area[1])
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
