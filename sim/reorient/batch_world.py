"""Many worlds of reorientation at once: the task of Visual Dexterity on `mujoco.rollout`, mixed objects in one batch.

A step is one control step (1/12 s): action map, a rollout of the physics, observation, reward, success, and a new goal
where one was reached. Worlds that end are not begun anew by themselves: `reset` with their mask does that.
Left out, as `cut_joint_rates` says: the servos' limit of speed, which the world that executes alone has.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core import rotations
from knuckle.core.config import validate
from knuckle.core.errors import InputError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.sim.objects import object_shape
from knuckle.sim.reorient.batch_config import BatchConfig, BatchSpec
from knuckle.sim.reorient.batch_guard import BatchGuard
from knuckle.sim.reorient.demonstrations import Demonstrations, Shown
from knuckle.sim.reorient.episode_goals import EpisodeGoals
from knuckle.sim.reorient.episode_starts import EpisodeStarts
from knuckle.sim.reorient.model_draws import ModelDraws
from knuckle.sim.reorient.observation import ReorientObservation
from knuckle.sim.reorient.physics import task_scenes
from knuckle.sim.reorient.random_force import RandomForce
from knuckle.sim.reorient.randomisation import Randomisation, randomisation
from knuckle.sim.reorient.reward import Outcome, RewardConfig, reward_terms, servo_torque
from knuckle.sim.reorient.stepper import Stepper
from knuckle.sim.reorient.success import SUCCESS_ANGLE, at_rest, norms
from knuckle.sim.scene import Scene, set_table
from knuckle.sim.world import DROP_BELOW_TIPS, DROP_DISTANCE, TABLE_REMOVAL_S

TABLE_FORCE = 0.2
ALWAYS = 1 << 40
HELD = "held"
"""What an episode counts as that begins in a grasp, without the table."""
SHOWN_SLACK_S = 2.0
"""How much longer than the expert a learner has that begins in the midst of what the expert did."""
Mask = NDArray[np.bool_]


class BatchWorld:
    """N worlds; world k has the object ``objects[k % len(objects)]``.

    ``draws`` replaces the randomisation that ``config`` names. The start cache lies in ``cache_folder`` (the user's if
    None) and is made anew with ``remake_starts``; ``fault_folder`` gets the states of worlds that break. ``goals`` says
    from which rungs goals are drawn. ``shown_share`` of the episodes begin in a moment of an expert's, whose
    observations ``shown`` holds by object (`Demonstrations`). After a step ``info`` holds arrays (N,): each reward term
    (``reward_...``), ``angle``, ``success`` (as the reward has it), ``five`` (the conditions all hold), ``dropped``,
    ``broken``. InputError for names, actions or settings that cannot be used; RunError for objects of different size
    signature.
    """

    def __init__(
        self,
        hand: HandSpec,
        objects: tuple[str, ...],
        config: BatchConfig | None = None,
        *,
        reward: RewardConfig | None = None,
        draws: Randomisation | None = None,
        cache_folder: Path | None = None,
        remake_starts: bool = False,
        fault_folder: Path | None = None,
        shown: Mapping[str, Shown] | None = None,
        shown_share: float = 0.0,
    ) -> None:
        self.config = config = validate(config or BatchConfig(), where="batch world")
        if config.surface == "air" and hand.palm_up:
            what = f"the palm of hand {hand.name} faces up: there is no table to be taken away from under the object"
            raise InputError(what, where="batch world", right="surface table, or a hand that hangs palm down")
        self.reward = validate(reward or RewardConfig(), where="reward")
        self.goals = EpisodeGoals(config.worlds, config.rung)
        varied = draws if draws is not None else randomisation(config.randomisation, where="batch world")
        for name in objects:
            object_shape(name, where="batch world")
        nominal = task_scenes(hand, objects, config.physics, where="batch world")
        self.hand, self.chart, self.build = hand, ActionMap(hand), ReorientObservation(hand)
        self._layout, n = nominal[0], config.worlds
        of_world = [nominal[k % len(nominal)] for k in range(n)]
        self.stepper = Stepper([Scene(copy(s.model), s.hand, s.thing) for s in of_world], config.threads)
        self.models = ModelDraws(self.stepper.scenes, varied)
        self.guard = BatchGuard(self.stepper, fault_folder if fault_folder is not None else Path())
        self.starts = self._episode_starts(nominal, cache_folder, remake_starts)
        self.shown = self._demonstrations(nominal, shown, shown_share)
        self._rng = np.random.default_rng(config.seed)
        self._rows = {name: varied.row(name) for name in ("observation_noise", "action_noise", "action_offset")}
        kicks = varied.row("random_force")
        self._force = RandomForce(kicks, n, 1.0 / hand.control_rate_hz) if kicks is not None else None
        self.spec = BatchSpec(
            hand.name,
            objects,
            n,
            self.build.entries,
            self.build.columns,
            hand.joint_names,
            hand.control_rate_hz,
            round(config.episode_s * hand.control_rate_hz),
        )
        removal = round(TABLE_REMOVAL_S * hand.control_rate_hz) if config.surface == "air" else ALWAYS
        self._removal = removal
        self._table_until = np.full(n, removal, dtype=np.int64)
        self._table_gone = np.zeros(n, dtype=bool)
        self.smoothed: Array = np.zeros((n, hand.dof))
        self.info: dict[str, NDArray[Any]] = {}
        self._goal: Array = np.zeros((4, n))
        self._steps = np.zeros(n, dtype=np.int64)
        self._limit = np.full(n, self.spec.episode_steps, dtype=np.int64)
        self._start: Array = np.zeros((n, 3))
        self._angle: Array = np.zeros(n)
        self._offset: Array = np.zeros((n, hand.dof))
        self._seen: Array = np.zeros((n, self.build.width))
        self.reset()

    @property
    def goal(self) -> Array:
        """Each world's goal (N, 4), w x y z, world frame."""
        return self._goal.T.copy()

    @property
    def states(self) -> Array:
        """Each world's full-physics state (N, nstate), as `Scene` lays it out."""
        return self.stepper.states.copy()

    @property
    def shown_steps(self) -> int:
        """After how many control steps an episode is cut off that begins in the midst of an expert's."""
        slack = self.shown.reach + self.shown.slack if self.shown is not None else self.spec.episode_steps
        return min(slack, self.spec.episode_steps)

    @property
    def steps(self) -> NDArray[np.int64]:
        """Control steps (N,) since each world's episode began."""
        return self._steps.copy()

    def reset(self, mask: ArrayLike | None = None) -> Array:
        """Begin new episodes in the worlds of ``mask`` (N,) bool, all if None; all observations (N, width)."""
        chosen = np.ones(self.spec.worlds, dtype=bool) if mask is None else np.asarray(mask)
        if chosen.shape != (self.spec.worlds,) or chosen.dtype != np.bool_:
            what = f"a mask of shape {chosen.shape} and type {chosen.dtype}"
            raise InputError(what, where="batch world", right=f"({self.spec.worlds},) bool")
        worlds = np.flatnonzero(chosen)
        if len(worlds):
            self._begin(worlds)
            rows = self._observe(worlds)
            self._angle[worlds] = self._angle_of(rows)
            self._seen[worlds] = self._noisy(np.ascontiguousarray(rows.T))
        return self._seen.copy()

    def step(self, action: ArrayLike) -> tuple[Array, Array, Mask, Mask]:
        """Act (N, dof) in [-1, 1] for one control step; observation (N, width), reward, terminated and truncated (N,).

        Terminated: the object has left. Truncated: the time is over, or the world broke down, and its observation is
        then that of the step before.
        """
        self.smoothed = self.chart.smooth(self._perturbed(self._checked(action)), self.smoothed)
        target = self.chart.target(self._layout.joints_of(self.stepper.states), self.smoothed)
        force = self._force.step(self.models.mass, self._rng) if self._force is not None else None
        self.set_tables(np.flatnonzero(self._steps == self._table_until), False)
        self.stepper.advance(target, force)
        broken = self.guard.check(target, force)
        self._steps += 1
        rows = self._observe(None)
        outcome, five = self._outcome(rows, target)
        self._angle = outcome.angle.copy()
        terms = reward_terms(outcome, self.reward)
        reward = np.sum(list(terms.values()), axis=0)
        reward[broken] = 0.0
        success = outcome.success & ~broken
        self.info = {"angle": outcome.angle, "success": success, "dropped": outcome.fallen, "broken": broken}
        self.info["five"] = five & ~broken
        self.info |= {f"reward_{name}": term for name, term in terms.items()}
        if success.any():
            self._next_goals(rows, np.flatnonzero(success))
        self._seen = self._noisy(np.ascontiguousarray(rows.T))
        truncated = ((self._steps >= self._limit) & ~outcome.fallen) | broken
        return self._seen.copy(), reward, outcome.fallen, truncated

    def set_goals(self, goals: ArrayLike) -> Array:
        """Give every world a goal (N, 4), w x y z, world frame, in the midst of its episode; the observations."""
        wanted = np.asarray(goals, dtype=np.float64)
        if wanted.shape != (self.spec.worlds, 4) or not (np.abs(norms(wanted) - 1.0) < 1e-3).all():
            right = f"({self.spec.worlds}, 4) unit quaternions"
            raise InputError(f"goals of shape {wanted.shape}", where="batch world", right=right)
        self._goal[:] = rotations.normalize(wanted).T
        rows = self._observe(None)
        self._angle = self._angle_of(rows)
        self._seen = self._noisy(np.ascontiguousarray(rows.T))
        return self._seen.copy()

    def set_tables(self, worlds: NDArray[np.intp], there: bool) -> None:
        """Put the tables of ``worlds`` there, or take them away."""
        for world in worlds:
            set_table(self.stepper.models[world], there)
        self._table_gone[worlds] = not there

    def kind_of(self, world: int) -> str:
        """What the episode that ``world`` is in counts as: `HELD`, or the rung of its goals (`EpisodeGoals`)."""
        return HELD if self._table_until[world] < 0 else self.goals.rung_of(world)

    def seed(self, seed: int) -> None:
        """Draw everything that follows from ``seed``: episodes begun from now on, goals and noise."""
        self._rng = np.random.default_rng(seed)

    def close(self) -> None:
        """End the threads."""
        self.stepper.close()

    def _begin(self, worlds: NDArray[np.intp]) -> None:
        self.set_tables(worlds[self._table_gone[worlds]], True)
        self._table_until[worlds] = self._removal
        self.models.draw(worlds, self._rng)
        states = self.starts.draw(worlds, self.models.scale[worlds], self._rng)
        if self.config.held_share > 0.0:
            self._hold(worlds, states)
        given = self._show(worlds, states) if self.shown is not None else None
        self.stepper.states[worlds] = states
        position, quaternion = self._layout.object_pose_of(states)
        self._start[worlds] = position
        self.goals.begin(worlds, self._rng)
        self._limit[worlds] = self.spec.episode_steps
        self._goal[:, worlds] = self.goals.draw(worlds, rotations.normalize(quaternion), self._rng).T
        if given is not None:
            chosen, goals = given
            self.goals.give(worlds[chosen])
            self._limit[worlds[chosen]] = self.shown_steps
            self._goal[:, worlds[chosen]] = goals.T
        self.smoothed[worlds], self._steps[worlds] = 0.0, 0
        if (row := self._rows["action_offset"]) is not None:
            self._offset[worlds] = row.draw(self._rng, (len(worlds), self.hand.dof))
        if self._force is not None:
            self._force.reset(worlds)
        self.guard.episodes += len(worlds)

    def _episode_starts(self, nominal: list[Scene], folder: Path | None, remake: bool) -> EpisodeStarts:
        config = self.config
        return EpisodeStarts(
            config.starts,
            nominal,
            self.stepper,
            count=config.cached_starts,
            seed=config.seed,
            threads=config.threads,
            folder=folder,
            remake=remake,
        )

    def _hold(self, worlds: NDArray[np.intp], states: Array) -> None:
        """Put grasps that hold without the table in the place of some of ``states``, and take the table away."""
        chosen = np.flatnonzero(self._rng.random(len(worlds)) < self.config.held_share)
        states[chosen], holds = self.starts.held(worlds[chosen], self._rng)
        self._table_until[worlds[chosen[holds]]] = -1
        self.set_tables(worlds[chosen[holds]], False)

    def _demonstrations(
        self, nominal: list[Scene], shown: Mapping[str, Shown] | None, share: float
    ) -> Demonstrations | None:
        if shown is None:
            return None
        return Demonstrations(nominal, shown, share=share, slack=round(SHOWN_SLACK_S * self.hand.control_rate_hz))

    def _show(self, worlds: NDArray[np.intp], states: Array) -> tuple[NDArray[np.intp], Array]:
        """Put an expert's moments in the place of some of ``states``, those of ``worlds``: which, and their goals."""
        assert self.shown is not None
        tables = np.flatnonzero(self._table_until[worlds] >= 0)
        chosen, moment = self.shown.draw(worlds[tables], self._rng)
        chosen = tables[chosen]
        if len(chosen):
            states[chosen] = moment.states
            states[chosen, 1 + self._layout.object_q.start + 2] *= self.models.scale[worlds[chosen]]
        return chosen, moment.goals.reshape(-1, 4)

    def _next_goals(self, rows: Array, worlds: NDArray[np.intp]) -> None:
        """A new goal for ``worlds``, begun as the runner of goals begins one: no action is remembered."""
        here = rows[:, worlds]
        quaternion = here[self.build.slices["object_quaternion"]].T
        goal = self.goals.draw(worlds, rotations.normalize(quaternion), self._rng).T
        self._goal[:, worlds], self.smoothed[worlds] = goal, 0.0
        self.build.write_goal(here, goal)
        here[self.build.slices["previous_action"]] = 0.0
        self._angle[worlds] = self._angle_of(here)
        rows[:, worlds] = here

    def _observe(self, worlds: NDArray[np.intp] | None) -> Array:
        """Observations without noise, batch last (width, n), of ``worlds`` or of all."""
        some = slice(None) if worlds is None else worlds
        layout, columns = self._layout, np.ascontiguousarray(self.stepper.states[some].T)
        qpos, qvel = columns[1 : 1 + layout.model.nq], columns[1 + layout.model.nq :]
        pose, twist = qpos[layout.object_q], qvel[layout.object_v]
        spin = _turned(pose[3:], twist[3:])
        joints = qpos[layout.joint_q], qvel[layout.joint_v]
        action = np.ascontiguousarray(self.smoothed[some].T)
        return self.build.rows(*joints, pose[:3], pose[3:], twist[:3], spin, self._goal[:, some], action)

    def _angle_of(self, rows: Array) -> Array:
        """The angle (n,) that is left in observations without noise (width, n), rad."""
        difference = rows[self.build.slices["quaternion_difference"]]
        return np.asarray(2.0 * np.arctan2(np.sqrt((difference[1:] ** 2).sum(axis=0)), difference[0]))

    def _outcome(self, rows: Array, target: Array) -> tuple[Outcome, Mask]:
        """What the step led to, and where the five conditions hold."""
        layout, states, part = self._layout, self.stepper.states, self.build.slices
        angle = self._angle_of(rows)
        q, dq = layout.joints_of(states), layout.joint_rates_of(states)
        position = rows[part["object_position"]].T
        tips = rows[part["tip_state"]].reshape(len(self.hand.tips), -1, rows.shape[1])[:, :3].transpose(2, 0, 1)
        velocity, spin = states[:, 1 + layout.model.nq :][:, layout.object_v].reshape(-1, 2, 3).swapaxes(0, 1)
        on_table = layout.table_force_of(self.stepper.sensors) > TABLE_FORCE
        near = angle <= SUCCESS_ANGLE
        if self.reward.table_contact != 0.0:
            near &= ~on_table
        five = near & at_rest(norms(dq), norms(velocity), norms(spin), norms(self.smoothed))
        slack = self.reward.rest_slack
        loose = at_rest(0, norms(velocity) / slack, norms(spin) / slack, 0)
        success = five if self.reward.success_needs == "five" else near & loose
        moved = position - self._start
        fallen = norms(moved) > DROP_DISTANCE
        aloft = self._steps > self._table_until
        fallen |= aloft & (position[:, 2] < tips[..., 2].min(axis=1) - DROP_BELOW_TIPS)
        models = self.models
        torque = servo_torque(target, q, dq, models.stiffness, models.damping, self.hand.effort_limit)
        way = norms(moved[:, :2])
        reached = Outcome(angle, success, fallen, on_table, tips, position, dq, torque, self._angle, self.smoothed, way)
        return reached, five

    def _checked(self, action: ArrayLike) -> Array:
        values, shape = np.asarray(action, dtype=np.float64), (self.spec.worlds, self.hand.dof)
        if values.shape != shape:
            raise InputError(f"actions of shape {values.shape}", where="batch world", right=f"{shape}: worlds, joints")
        if not np.isfinite(values).all():
            world, joint = (int(k) for k in np.argwhere(~np.isfinite(values))[0])
            what = f"the action of world {world} for {self.hand.joint_names[joint]} is {values[world, joint]}"
            raise InputError(what, where="batch world", right="finite numbers in -1 to 1")
        return values

    def _perturbed(self, action: Array) -> Array:
        if (row := self._rows["action_noise"]) is not None:
            action = action + row.draw(self._rng, action.shape)
        return action if self._rows["action_offset"] is None else action + self._offset

    def _noisy(self, observation: Array) -> Array:
        if (row := self._rows["observation_noise"]) is not None:
            observation += row.draw(self._rng, observation.shape)
        return observation


def _turned(quaternion: Array, vector: Array) -> Array:
    """``vector`` (3, N) turned by ``quaternion`` (4, N), batch last."""
    w, x, y, z = quaternion
    vx, vy, vz = vector
    tx, ty, tz = 2.0 * (y * vz - z * vy), 2.0 * (z * vx - x * vz), 2.0 * (x * vy - y * vx)
    out = np.empty_like(vector)
    out[0] = vx + w * tx + y * tz - z * ty
    out[1] = vy + w * ty + z * tx - x * tz
    out[2] = vz + w * tz + x * ty - y * tx
    return out
