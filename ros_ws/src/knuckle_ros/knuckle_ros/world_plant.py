"""The simulated world as what virtual servos turn: its joints follow the servos' targets, with the servos' torques."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.world import SimWorld

FOR_EVER_NS = 2**62


class WorldPlant:
    """A Plant over ``world``, which moves on by itself. From now on the world is commanded by the servos alone."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._on: NDArray[np.bool_] = np.zeros(world.spec.dof, dtype=np.bool_)
        self._limit = world.spec.effort_limit.copy()
        world.arm()
        self._bound()

    def joint_state(self) -> tuple[Array, Array, Array]:
        """q rad, dq rad/s, effort N m."""
        state = self._world.read()
        return state.q, state.dq, state.effort

    def set_target(self, q: Array) -> None:
        """Position targets, rad."""
        self._world.send(HandCommand(self._world.now_ns, FOR_EVER_NS, q))

    def set_torque(self, on: NDArray[np.bool_]) -> None:
        """Which joints are driven."""
        self._on = on.copy()
        self._bound()

    def set_effort_limit(self, effort: Array) -> None:
        """The largest effort of each joint, N m."""
        self._limit = effort.copy()
        self._bound()

    def advance(self, to_ns: int) -> None:
        """Nothing: the world has a pace of its own."""

    def _bound(self) -> None:
        self._world.limit_effort(np.where(self._on, self._limit, 0.0))
