"""How fast worlds to learn in step: the batch world against bare physics, and against one process a world.

- Ours: a step of the batch world as Stable-Baselines3 sees it, with action map, randomisation, observation, reward,
  success, new goals, and the resets of worlds that end.
- Bare: the same physics and nothing else. Each control step that ours did is done again from the same states with the
  same controls and the same models, sensors and all, by one call of `mujoco.rollout` with its checks left out and its
  buffers laid out beforehand.
- Processes: the same task, a single-world environment in each process of Stable-Baselines3's SubprocVecEnv.

Ours and bare take turns, every few steps; the actions are uniform and drawn beforehand.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
import psutil

from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.sim.engine import mujoco, rollout
from knuckle.sim.reorient.batch_config import BatchConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.sb3_env import ReorientVecEnv
from knuckle.sim.reorient.single_env import ReorientEnv
from knuckle.sim.reorient.stepper import Stepper

WARM_UP = 24
# Control steps that ours and bare do in turn within a repeat: the machine's other work then falls on both.
TURN = 10
# The resolution of what the system says of other processes' time.
CLOCK_TICK_S = 0.01


@dataclass(frozen=True)
class Cost:
    """``steps`` control steps of single worlds took ``wall_s`` seconds and ``cpu_s`` of the processor."""

    steps: int
    wall_s: float
    cpu_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.steps + other.steps, self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    @property
    def rate(self) -> float:
        """Steps a second of wall clock."""
        return self.steps / self.wall_s

    @property
    def cpu_rate(self) -> float:
        """Steps a second of processor time."""
        return self.steps / self.cpu_s


@dataclass
class BenchResult:
    """A cost each repeat, in order; ``load`` is the machine's before each. ``broken`` of ``episodes`` broke down."""

    ours: list[Cost] = field(default_factory=list)
    bare: list[Cost] = field(default_factory=list)
    processes: list[Cost] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    episodes: int = 0
    broken: int = 0


def run_bench(
    hand: HandSpec,
    objects: tuple[str, ...],
    config: BatchConfig,
    *,
    repeats: int,
    steps: int,
    processes: int,
    cache_folder: Path | None = None,
    said: Callable[[str], None] = lambda line: None,
) -> BenchResult:
    """Time ``steps`` control steps of all worlds, ``repeats`` times; no single-world processes where that is 0.

    States of worlds that break down are saved in the system's folder for temporary files.
    """
    result = BenchResult()
    faults = Path(tempfile.gettempdir()) / "knuckle-bench-faults"
    env = ReorientVecEnv(BatchWorld(hand, objects, config, cache_folder=cache_folder, fault_folder=faults))
    rng = np.random.default_rng(config.seed)
    recorder = _Recorder(env.world.stepper)
    env.reset()
    _ours(env, _actions(rng, WARM_UP, config.worlds, hand.dof))
    rivals = _Processes(hand, objects, config, processes, cache_folder) if processes else None
    try:
        for k in range(repeats):
            result.load.append(psutil.getloadavg()[0])
            ours, bare = Cost(0, 0.0, 0.0), Cost(0, 0.0, 0.0)
            for begun in range(0, steps, TURN):
                turn = min(TURN, steps - begun)
                ours += _ours(env, _actions(rng, turn, config.worlds, hand.dof), recorder)
                bare += recorder.replay()
            result.ours.append(ours)
            result.bare.append(bare)
            if rivals is not None:
                result.processes.append(rivals.time(_actions(rng, steps, processes, hand.dof)))
            said(f"repeat {k + 1} of {repeats}: {result.ours[-1].rate:.0f} steps/s")
        result.episodes, result.broken = env.world.guard.episodes, env.world.guard.broken
    finally:
        env.close()
        if rivals is not None:
            rivals.close()
    return result


def figures_of(result: BenchResult) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Medians and ranges over the repeats; a ratio is taken within each repeat."""
    series: dict[str, list[float]] = {
        "ratio_to_bare_rollout": [a.rate / b.rate for a, b in zip(result.ours, result.bare, strict=True)],
        "cpu_ratio_to_bare_rollout": [a.cpu_rate / b.cpu_rate for a, b in zip(result.ours, result.bare, strict=True)],
    }
    if result.processes:
        pairs = list(zip(result.ours, result.processes, strict=True))
        series["ratio_to_subprocvecenv"] = [a.rate / b.rate for a, b in pairs]
        series["cpu_ratio_to_subprocvecenv"] = [a.cpu_rate / b.cpu_rate for a, b in pairs]
    for name, costs in (("", result.ours), ("bare_", result.bare), ("subprocvecenv_", result.processes)):
        if costs:
            series[f"{name}steps_per_s"] = [cost.rate for cost in costs]
            series[f"{name}steps_per_cpu_s"] = [cost.cpu_rate for cost in costs]
            series[f"{name}cpu_s"] = [cost.cpu_s for cost in costs]
    series["load_1min"] = result.load
    figures = {name: float(median(values)) for name, values in series.items()}
    figures |= {"episodes": float(result.episodes), "broken_episodes": float(result.broken)}
    return figures, {name: (min(values), max(values)) for name, values in series.items()}


class _Recorder:
    """Notes from which states and with which controls a stepper stepped, and does it again without anything around."""

    def __init__(self, stepper: Stepper) -> None:
        self._stepper = stepper
        self._calls: list[tuple[Array, Array, int]] = []
        model = stepper.models[0]
        self._data = [mujoco.MjData(model) for _ in range(stepper.threads)]
        self._pool = rollout.Rollout(nthread=stepper.threads if stepper.threads > 1 else 0)
        shape = (len(stepper.models), stepper.substeps)
        self._path = np.zeros((*shape, stepper.scenes[0].nstate))
        self._sensed = np.zeros((*shape, int(model.nsensordata)))

    def note(self) -> None:
        """Keep what the stepper's last call was given."""
        self._calls.append((self._stepper.before.copy(), self._stepper.given.copy(), self._stepper.given_spec))

    def replay(self) -> Cost:
        """The cost of all noted calls, done again; they are forgotten."""
        calls, self._calls = self._calls, []
        models, substeps = self._stepper.models, self._stepper.substeps
        wall, cpu = time.perf_counter(), time.process_time()
        for states, control, spec in calls:
            self._pool.rollout(
                models,
                self._data,
                states,
                control,
                control_spec=spec,
                skip_checks=True,
                nstep=substeps,
                state=self._path,
                sensordata=self._sensed,
            )
        return Cost(len(calls) * len(models), time.perf_counter() - wall, time.process_time() - cpu)


class _Processes:
    """SubprocVecEnv over ``count`` single worlds of the same task."""

    def __init__(
        self, hand: HandSpec, objects: tuple[str, ...], config: BatchConfig, count: int, folder: Path | None
    ) -> None:
        from stable_baselines3.common.vec_env import SubprocVecEnv

        makers: list[Callable[[], gymnasium.Env[Any, Any]]] = [
            functools.partial(ReorientEnv, hand.name, objects[k % len(objects)], config, cache_folder=folder)
            for k in range(count)
        ]
        self.env = SubprocVecEnv(makers)
        self.env.reset()

    def time(self, actions: Array) -> Cost:
        """The cost, of this process and its children, of ``actions`` (steps, count, dof)."""
        family = [psutil.Process(), *(psutil.Process(process.pid) for process in self.env.processes)]
        wall, cpu = time.perf_counter(), _cpu_s(family)
        for action in actions:
            self.env.step(action)
        spent = max(_cpu_s(family) - cpu, CLOCK_TICK_S)
        return Cost(actions.shape[0] * actions.shape[1], time.perf_counter() - wall, spent)

    def close(self) -> None:
        """End the processes."""
        self.env.close()


def _ours(env: ReorientVecEnv, actions: Array, recorder: _Recorder | None = None) -> Cost:
    """The cost of ``actions`` (steps, worlds, dof); noting them down is not counted."""
    wall = cpu = 0.0
    for action in actions:
        begun, used = time.perf_counter(), time.process_time()
        env.step(action)
        wall, cpu = wall + time.perf_counter() - begun, cpu + time.process_time() - used
        if recorder is not None:
            recorder.note()
    return Cost(actions.shape[0] * actions.shape[1], wall, cpu)


def _actions(rng: np.random.Generator, steps: int, worlds: int, dof: int) -> Array:
    return np.asarray(rng.uniform(-1.0, 1.0, (steps, worlds, dof)).astype(np.float32))


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(spent.user + spent.system for spent in times))
