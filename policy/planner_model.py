"""The planner's own simulation: many candidate plans rolled out from one state under the action map.

One ``mujoco.rollout`` call a control step, because the map is relative to the posture reached so far:
target_t = clamp(q_t + a_bar_t v_max / rate), and only simulation knows q_t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.contract import SceneState
from knuckle.sim.engine import mujoco, rollout
from knuckle.sim.scene import Scene, without_table


@dataclass(frozen=True)
class Futures:
    """What N candidates lead to, over T control steps; world frame, SI.

    ``position`` (N, T, 3), ``quaternion`` (N, T, 4), ``velocity`` (N, T, 3) and ``spin`` (N, T, 3) of the object,
    ``dq`` (N, T, dof), ``tips`` (N, T, tips, 3), ``action`` (N, T, dof) smoothed, ``table_force`` (N, T) in N, what the
    table bears of the object.
    """

    position: Array
    quaternion: Array
    velocity: Array
    spin: Array
    dq: Array
    tips: Array
    action: Array
    table_force: Array


@dataclass(frozen=True)
class Way:
    """The way of N candidates over T control steps, as simulated: full-physics ``states`` (N, T, nstate), what was
    ``sensed`` (N, T, nsensordata) and the smoothed ``action`` (N, T, dof)."""

    states: Array
    sensed: Array
    action: Array


@dataclass(frozen=True)
class Course:
    """Where N candidates have got to: full-physics ``states`` (N, nstate), joint angles ``q`` (N, dof), rad, the
    ``smoothed`` action (N, dof) in force, and how many control ``steps`` were simulated."""

    states: Array
    q: Array
    smoothed: Array
    steps: int = 0

    def some(self, chosen: NDArray[np.intp]) -> Course:
        """The candidates ``chosen`` (n,)."""
        return Course(self.states[chosen], self.q[chosen], self.smoothed[chosen], self.steps)


class PlannerModel:
    """Rolls candidate knot plans out with ``threads`` threads of the planner's scene."""

    def __init__(self, scene: Scene, chart: ActionMap, threads: int) -> None:
        self.scene, self.chart = scene, chart
        self._air = without_table(scene).model
        self.substeps = round(1.0 / (chart.spec.control_rate_hz * scene.model.opt.timestep))
        self._data = [mujoco.MjData(scene.model) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)

    def close(self) -> None:
        """End the rollout threads."""
        self._pool.close()

    def roll(self, state: SceneState, postures: Array, previous: Array, table_steps: int | None = None) -> Futures:
        """The futures of ``postures`` (N, T, dof), one absolute posture a control step, from ``state``.

        ``previous`` (dof,) is the smoothed action in force. The table is there for the first ``table_steps`` control
        steps, or for all.
        """
        return self.futures(self.go_on(self.begin(state, len(postures), previous), postures, table_steps)[1])

    def begin(self, state: SceneState, n: int, previous: Array) -> Course:
        """``n`` candidates that are all at ``state``, with the smoothed action ``previous`` (dof,) in force."""
        physics = self.scene.physics_state(
            state.q, state.dq, state.position, state.quaternion, state.velocity, state.spin
        )
        return Course(np.tile(physics, (n, 1)), np.tile(state.q, (n, 1)), np.tile(previous, (n, 1)))

    def go_on(self, course: Course, postures: Array, table_steps: int | None = None) -> tuple[Course, Way]:
        """Where ``postures`` (N, T, dof), one a control step, lead from ``course``, and the way there.

        The table is there for the first ``table_steps`` control steps of the course, or for all.
        """
        n, horizon, dof = postures.shape
        scene, now, q, smoothed = self.scene, course.states, course.q, course.smoothed
        states = np.empty((n, horizon, now.shape[1]))
        sensed = np.empty((n, horizon, scene.model.nsensordata))
        actions = np.empty((n, horizon, dof))
        for t in range(horizon):
            smoothed = self.chart.smooth(self.chart.towards(q, postures[:, t], smoothed), smoothed)
            control = np.repeat(self.chart.target(q, smoothed)[:, None], self.substeps, axis=1)
            model = scene.model if table_steps is None or course.steps + t < table_steps else self._air
            path, read = self._pool.rollout(model, self._data, now, control)
            now = path[:, -1]
            states[:, t], sensed[:, t], actions[:, t] = now, read[:, -1], smoothed
            q = scene.joints_of(now)
        return Course(now, q, smoothed, course.steps + horizon), Way(states, sensed, actions)

    def futures(self, way: Way) -> Futures:
        """What ``way`` is for the object, the hand and its tips."""
        scene, states = self.scene, way.states
        position, quaternion = scene.object_pose_of(states)
        velocity, spin = scene.object_twist_of(states)
        tips, forces = scene.tips_of(way.sensed), scene.table_force_of(way.sensed)
        return Futures(position, quaternion, velocity, spin, scene.joint_rates_of(states), tips, way.action, forces)
