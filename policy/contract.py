"""The Policy contract: what it sees, what it answers, and what it must say of itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SceneState:
    """The state of hand and object at ``stamp_ns``, privileged or perceived.

    ``q`` rad and ``dq`` rad/s (dof,) in the HandSpec's joint order; the object's centre ``position`` m, ``quaternion``
    w x y z, ``velocity`` m/s and ``spin`` rad/s, all in the world frame (z up, table top at 0).
    """

    stamp_ns: int
    q: Array
    dq: Array
    position: Array
    quaternion: Array
    velocity: Array
    spin: Array


@dataclass(frozen=True)
class Goal:
    """Turn ``object_name`` to ``quaternion`` (w x y z, world frame), within ``tolerance_rad`` and ``time_limit_s``.

    ``table_s`` after the start the table is taken away (infinity: it stays). The time limit then counts from there, and
    done is not asked for before.
    """

    object_name: str
    quaternion: Array
    tolerance_rad: float = 0.4
    time_limit_s: float = 15.0
    table_s: float = math.inf

    @property
    def head_start_s(self) -> float:
        """How long the policy acts before the time counts, s: until the table is taken away."""
        return self.table_s if math.isfinite(self.table_s) else 0.0


@dataclass(frozen=True)
class PolicySpec:
    """What a policy is for: hand, joint names in action order, rate, and the frame its goals are in."""

    name: str
    hand: str
    joint_names: tuple[str, ...]
    rate_hz: float
    goal_frame: str = "world"


class Policy(Protocol):
    """A closed-loop controller of the hand: actions (dof,) in [-1, 1] for the one action map, at ``spec.rate_hz``."""

    @property
    def spec(self) -> PolicySpec:
        """What this policy is for."""
        ...

    def check(self, goal: Goal) -> None:
        """Raise InputError for a goal that this policy cannot take; quick, changes nothing."""
        ...

    def reset(self, goal: Goal) -> None:
        """Begin a new goal, checked before."""
        ...

    def act(self, state: SceneState) -> tuple[Array, float]:
        """The action for this state and the probability, 0 to 1, that the goal is reached and it is time to stop."""
        ...

    def close(self) -> None:
        """Give back threads and memory; the policy is not used again."""
        ...
