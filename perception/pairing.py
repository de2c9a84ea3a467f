"""Pairing depth frames with joint angles by their stamps alone, so that a replay pairs as the live graph did.

The messages of two topics arrive in an order that no run repeats. A frame therefore waits until a joint state at or
after its own stamp is in, and takes the angles interpolated between the two states around it: whatever the order of
arrival, the same stamps and values give the same bits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.hand_spec import Array


@dataclass(frozen=True)
class PairingConfig:
    """How long a frame may wait, in stamps and in number, and how far apart the states around it may be."""

    late_s: float = setting(0.15, "frames older than the newest joint state by more are dropped", low=0.0, high=1e6)
    gap_s: float = setting(0.25, "joint states further apart are not interpolated", low=0.001, high=100.0, unit="s")
    history_s: float = setting(2.0, "joint states are kept so long", low=0.01, high=100.0, unit="s")
    jump_s: float = setting(1.0, "a stamp back by more is a clock set anew", low=0.001, high=100.0, unit="s")
    waiting: int = setting(8, "frames that wait for a joint state at most", low=1, high=1000)


@dataclass(frozen=True)
class Paired:
    """A depth frame and the joint angles ``q`` (dof,) in rad at its stamp."""

    frame: DepthFrame
    q: Array


@dataclass
class PairingCounts:
    """Frames that were not paired, by reason."""

    late: int = 0
    no_joint_state: int = 0
    backwards: int = 0


class StampPairing:
    """Joint states and frames in, pairs out, in the order of the frames' stamps."""

    def __init__(self, config: PairingConfig = PairingConfig()) -> None:
        self.config = validate(config, where="pairing")
        self.counts = PairingCounts()
        self._joints: deque[tuple[int, Array]] = deque()
        self._frames: deque[DepthFrame] = deque()
        self._newest_frame: int | None = None

    def push_joints(self, stamp_ns: int, q: Array) -> list[Paired]:
        """Take the joint angles ``q`` (dof,) of ``stamp_ns``; return the pairs that this completes.

        A second state of the same stamp is ignored. A stamp that goes back by more than ``jump_s`` is a clock that was
        set anew: what was held is forgotten. One that goes back by less is ignored.
        """
        if self._joints and stamp_ns <= self._joints[-1][0]:
            if self._joints[-1][0] - stamp_ns <= int(self.config.jump_s * 1e9):
                return []
            self._forget()
        self._joints.append((stamp_ns, q))
        while stamp_ns - self._joints[0][0] > int(self.config.history_s * 1e9):
            self._joints.popleft()
        return self._complete()

    def push_frame(self, frame: DepthFrame) -> list[Paired]:
        """Take a frame; return the pairs that can be made now.

        A frame is dropped and counted when it is late, not newer than the one before, or more than ``waiting`` wait.
        """
        if self._newest_frame is not None and frame.stamp_ns <= self._newest_frame:
            if self._newest_frame - frame.stamp_ns <= int(self.config.jump_s * 1e9):
                self.counts.backwards += 1
                return []
            self._frames.clear()
        self._newest_frame = frame.stamp_ns
        if self._joints and self._joints[-1][0] - frame.stamp_ns > int(self.config.late_s * 1e9):
            self.counts.late += 1
            return []
        self._frames.append(frame)
        pairs = self._complete()
        while len(self._frames) > self.config.waiting:
            self._frames.popleft()
            self.counts.no_joint_state += 1
        return pairs

    def _complete(self) -> list[Paired]:
        """The waiting frames that the newest joint state has reached."""
        pairs: list[Paired] = []
        while self._frames and self._joints and self._joints[-1][0] >= self._frames[0].stamp_ns:
            frame = self._frames.popleft()
            q = self._angles_at(frame.stamp_ns)
            if q is None:
                self.counts.no_joint_state += 1
            else:
                pairs.append(Paired(frame, q))
        return pairs

    def _angles_at(self, stamp_ns: int) -> Array | None:
        """The angles at a stamp not after the newest state; None where no state before it is held, or a gap is."""
        after = self._joints[-1]
        for before in reversed(self._joints):
            if before[0] <= stamp_ns:
                break
            after = before
        else:
            return None
        if before[0] == stamp_ns:
            return before[1]
        if after[0] - before[0] > int(self.config.gap_s * 1e9):
            return None
        share = (stamp_ns - before[0]) / (after[0] - before[0])
        return np.asarray(before[1] + share * (after[1] - before[1]))

    def _forget(self) -> None:
        self.counts.no_joint_state += len(self._frames)
        self._joints.clear()
        self._frames.clear()
