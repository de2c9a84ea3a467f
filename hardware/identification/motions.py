"""The motions that servos are identified from: steps and sines of one finger, a joint at a time (Visual Dexterity).

Steps show how fast a joint answers and its fastest rate, slow sines its stiffness against gravity, fast ones its
damping. Each joint moves about the middle of the range in which the finger keeps clear of everything; the others rest
there too. Nothing may be in the hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.core.errors import InputError
from knuckle.hardware.identification.clearance import Finger
from knuckle.hardware.spec.hand_spec import Array, HandSpec

SINES_HZ = (0.05, 0.15, 0.4, 0.8, 1.5)
GRID_RAD = 0.05


@dataclass(frozen=True)
class MotionConfig:
    """How much is moved, and how long. The defaults take about 45 s a joint."""

    rate_hz: float = setting(100.0, "commands a second, those of the servo loop", low=20.0, high=1000.0, unit="Hz")
    clearance: float = setting(0.008, "what the finger keeps from everything", low=0.0, high=0.05, unit="m")
    margin: float = setting(0.05, "what joints keep from their limits", low=0.0, high=0.5, unit="rad")
    step: float = setting(1.2, "largest step, where there is room", low=0.05, high=2.0, unit="rad")
    hold_s: float = setting(0.8, "time at each end of a step", low=0.2, high=5.0, unit="s")
    steps: int = setting(4, "pairs of steps, of growing size", low=1, high=20)
    sine: float = setting(0.4, "amplitude of the slow sines, where there is room", low=0.02, high=1.0, unit="rad")
    lowest_hz: float = setting(0.05, "slowest sine", low=0.05, high=1.5, unit="Hz")
    approach: float = setting(0.5, "speed on the way to the first posture", low=0.05, high=2.0, unit="rad/s")


@dataclass(frozen=True)
class Motion:
    """Targets (T, dof) in rad at ``rate_hz``; ``start`` (dof,) is where they begin and end, ``finger`` which moves.

    ``moved`` (T,) names the place in the finger of the joint that moves, -1 at rest.
    """

    hand: str
    finger: int
    rate_hz: float
    start: Array
    targets: Array
    moved: Array

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return len(self.targets) / self.rate_hz


def plan_motion(hand: HandSpec, finger: int = 0, config: MotionConfig | None = None) -> Motion:
    """The motion of finger number ``finger``. InputError where a joint has no room to move in."""
    config = validate(config or MotionConfig(), where="sysid")
    moving = Finger(hand, finger)
    start = _clear_start(moving, config)
    rows: list[Array] = [np.tile(start, (round(config.rate_hz * config.hold_s), 1))]
    moved = [np.full(len(rows[0]), -1)]
    for place, joint in enumerate(moving.joints):
        low, high = _room(moving, start, int(joint), config)
        for offset in _offsets(start[joint] - low, high - start[joint], config):
            part = np.tile(start, (len(offset), 1))
            part[:, joint] = np.clip(start[joint] + offset, low, high)
            rows.append(part)
            moved.append(np.full(len(part), place))
    return Motion(hand.name, finger, config.rate_hz, start, np.concatenate(rows), np.concatenate(moved))


def _offsets(below: float, above: float, config: MotionConfig) -> list[Array]:
    """Offsets from the start of one joint: growing steps to either side, then sines from slow to fast."""
    hold = round(config.rate_hz * config.hold_s)
    parts: list[Array] = []
    for k in range(1, config.steps + 1):
        size = config.step * k / config.steps
        up, down = min(size / 2, above), min(size / 2, below)
        parts += [np.full(hold, up), np.full(hold, -down), np.full(hold, up), np.zeros(hold)]
    for hz in SINES_HZ:
        if hz < config.lowest_hz:
            continue
        # As fast as it gets, a sine stays as far as its joint can follow: its rate does not grow with the frequency.
        size = min(config.sine, above, below, config.sine * 0.6 / hz)
        periods = max(1, round(3.0 * hz))
        t = np.arange(round(config.rate_hz * periods / hz)) / config.rate_hz
        parts.append(size * np.sin(2.0 * math.pi * hz * t))
    return parts


def _clear_start(finger: Finger, config: MotionConfig) -> Array:
    """Home, with each joint of the finger moved to the middle of the room it has, from the root outwards, twice."""
    q = finger.hand.home.copy()
    for _ in range(2):
        for joint in finger.joints:
            low, high = _room(finger, q, int(joint), config)
            q[joint] = 0.5 * (low + high)
    return q


def _room(finger: Finger, q: Array, joint: int, config: MotionConfig) -> tuple[float, float]:
    """The range in rad about ``q`` in which ``joint`` moves and the finger keeps clear."""
    hand = finger.hand
    low, high = hand.lower[joint] + config.margin, hand.upper[joint] - config.margin
    ends = []
    for way, end in ((-1.0, low), (1.0, high)):
        reached = float(np.clip(q[joint], low, high))
        while way * (end - reached) > 0.0:
            further = reached + way * min(GRID_RAD, way * (end - reached))
            if finger.clearance(_with(q, joint, further)) < config.clearance:
                break
            reached = further
        ends.append(reached)
    if ends[1] - ends[0] < 2 * GRID_RAD:
        what = f"{hand.joint_names[joint]} has no room to move in: {ends[0]:.2f} to {ends[1]:.2f} rad"
        raise InputError(what, where="sysid", right="a smaller clearance, or another finger")
    return ends[0], ends[1]


def _with(q: Array, joint: int, angle: float) -> Array:
    changed = q.copy()
    changed[joint] = angle
    return changed
