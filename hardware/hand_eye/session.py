"""Going about the postures with a guarded hand, and looking at the marker in each. Time is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting
from knuckle.core.errors import RunError
from knuckle.hardware.hand_eye.hand_eye import View
from knuckle.hardware.hand_eye.postures import tip_pose
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.contracts import HandState
from knuckle.hardware.spec.hand_spec import Array

COMMANDER = "knuckle calibrate camera"
CYCLE_NS = 20_000_000
VALID_NS = 100_000_000
STEADY_PX = 1.0


@dataclass(frozen=True)
class SessionConfig:
    """How the hand goes about, and how it is looked at."""

    speed: float = setting(0.4, "fastest joint", low=0.05, high=1.0, unit="rad/s")
    settle_s: float = setting(0.5, "rest in a posture before looking", low=0.05, high=5.0, unit="s")
    looks: int = setting(5, "images of each posture", low=1, high=50)
    look_s: float = setting(1.0, "longest look at a posture", low=0.1, high=10.0, unit="s")


def look_about(
    hand: GuardedHand,
    finger: int,
    postures: Sequence[Array],
    look: Callable[[], Array | None],
    *,
    now_ns: Callable[[], int],
    wait_until: Callable[[int], None],
    config: SessionConfig = SessionConfig(),
    said: Callable[[str], None] = lambda line: None,
) -> list[View]:
    """Views of the marker in those ``postures`` (dof,) in which ``look`` finds it, steadily; the hand then holds.

    ``look`` gives the marker's corners (4, 2) in the newest image, None where there is none; it must not wait.
    ``now_ns`` is the clock of the hand's stamps, ``wait_until`` lets it pass. Raises CommandRefused, DeviceError and
    RunError as the hand does; it then holds, or is as the safety layer left it.
    """
    walker = _Walker(hand, now_ns, wait_until)
    walker.measured()
    lease, views = hand.arm(COMMANDER), []
    try:
        for number, posture in enumerate(postures, 1):
            for step in _way(walker.measured().q, posture, config.speed * CYCLE_NS * 1e-9):
                walker.keep(step, lease)
            for _ in range(round(config.settle_s * 1e9 / CYCLE_NS)):
                walker.keep(posture, lease)
            view = _look(walker, posture, lease, finger, look, config)
            said(f"posture {number} of {len(postures)}: {'marker seen' if view else 'no marker, or not steady'}")
            views += [view] if view else []
    finally:
        if hand.status().state is State.ARMED:
            hand.hold(COMMANDER)
    return views


def _look(
    walker: _Walker,
    posture: Array,
    lease: str,
    finger: int,
    look: Callable[[], Array | None],
    config: SessionConfig,
) -> View | None:
    """The mean of several looks and of the joint angles meanwhile; None where the corners move or are not seen."""
    seen: list[Array] = []
    angles: list[Array] = []
    for _ in range(round(config.look_s * 1e9 / CYCLE_NS)):
        angles.append(walker.keep(posture, lease).q)
        corners = look()
        if corners is not None:
            seen.append(corners)
        if len(seen) == config.looks:
            break
    if len(seen) < config.looks or np.ptp(np.stack(seen), axis=0).max() > STEADY_PX:
        return None
    pose = tip_pose(walker.hand.spec, finger, np.mean(angles, axis=0))
    return View(*pose, np.mean(seen, axis=0))


class _Walker:
    """Cycles of reading, commanding and waiting."""

    def __init__(self, hand: GuardedHand, now_ns: Callable[[], int], wait_until: Callable[[int], None]) -> None:
        self.hand, self._now, self._wait = hand, now_ns, wait_until
        self._names = list(hand.spec.joint_names)
        self._due_ns = now_ns()

    def measured(self) -> HandState:
        """The joints now; RunError where the hand is not to be believed."""
        state = self.hand.tick(self._now())
        if state is None:
            what = self.hand.status().problem or "no joint state"
            raise RunError(what, where=COMMANDER, right="a hand that answers well")
        return state

    def keep(self, posture: Array, lease: str) -> HandState:
        """One cycle towards ``posture``; the state that it answered."""
        state = self.measured()
        now = self._now()
        self.hand.command(self._names, posture, state.stamp_ns, state.stamp_ns + VALID_NS, lease, now)
        self._due_ns = max(self._due_ns + CYCLE_NS, now)
        self._wait(self._due_ns)
        return state


def _way(start: Array, end: Array, step: float) -> Array:
    """Postures (n, dof) from ``start`` to ``end``, no joint faster than ``step`` rad a posture."""
    n = max(1, int(np.ceil(np.abs(end - start).max() / step)))
    share = np.arange(1, n + 1)[:, None] / n
    return np.asarray((1.0 - share) * start + share * end)
