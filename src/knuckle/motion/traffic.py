"""Simulated traffic: vehicles that follow lanes with bends, junctions and stops, each step one of the bicycle.

Speed keeps below what the bend, the line to stop at and the driver's own wish allow, braking in time; steering is pure
pursuit of a point ahead on the lane (Coulter 1992). Both wander as a driver's do, and both are cut to what the vehicle
can do, so that every track is feasible by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.motion.bicycle import Bicycle
from knuckle.motion.road import SPACING_M, Road, random_road

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrafficConfig:
    """Vehicles, lanes and drivers."""

    dt_s: float = setting(0.1, "Step", low=0.01, high=0.2, unit="s")
    length_m: float = setting(2.8, "Between the axles", low=1.0, high=10.0, unit="m")
    throttle_mps2: float = setting(2.5, "Largest acceleration", low=0.5, high=8.0, unit="m/s^2")
    brake_mps2: float = setting(5.0, "Largest deceleration", low=1.0, high=10.0, unit="m/s^2")
    steering_rad: float = setting(0.55, "Largest steering", low=0.1, high=1.0, unit="rad")
    steering_rate_radps: float = setting(0.8, "Fastest steering", low=0.1, high=5.0, unit="rad/s")
    lateral_mps2: float = setting(
        2.5, "Sideways acceleration a driver likes in a bend", low=0.5, high=8.0, unit="m/s^2"
    )
    slowest_mps: float = setting(5.0, "Lowest wished speed", low=1.0, high=40.0, unit="m/s")
    fastest_mps: float = setting(18.0, "Highest wished speed", low=1.0, high=40.0, unit="m/s")
    stop_share: float = setting(0.4, "Lanes with a line to stop at", low=0.0, high=1.0)
    longest_wait_s: float = setting(4.0, "Longest stop", low=0.1, high=60.0, unit="s")


@dataclass(frozen=True)
class Traffic:
    """Tracks of N vehicles: ``states`` (N, steps + 1, 4) and ``controls`` (N, steps, 2) as in the bicycle."""

    states: Array
    controls: Array


def simulate_traffic(config: TrafficConfig, vehicles: int, steps: int, seed: int) -> Traffic:
    """``vehicles`` tracks of ``steps`` steps, each on a lane of its own; the same seed gives the same bits.

    Raises InputError where there is nothing to simulate, or the lowest wished speed is above the highest.
    """
    if vehicles < 1 or steps < 1 or config.slowest_mps > config.fastest_mps:
        what = f"{vehicles} vehicles, {steps} steps, from {config.slowest_mps} to {config.fastest_mps} m/s"
        raise InputError(what, where="traffic", right="at least 1 vehicle and step, speeds in order")
    rng = np.random.default_rng(seed)
    length = config.fastest_mps * 1.2 * steps * config.dt_s + 60
    roads = [random_road(rng, length, config.stop_share) for _ in range(vehicles)]
    drivers = _Drivers(config, roads, rng)
    bicycle = Bicycle(config.length_m)
    state, states, controls = drivers.start(), [], []
    for _ in range(steps):
        control = drivers.drive(state)
        states.append(state)
        controls.append(control)
        state = bicycle.step(torch.from_numpy(state), torch.from_numpy(control), config.dt_s).numpy()
    return Traffic(np.stack([*states, state], 1), np.stack(controls, 1))


class _Drivers:
    """All drivers at once: where each is on its lane, what it wishes, how long it has still to wait."""

    def __init__(self, config: TrafficConfig, roads: list[Road], rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        longest = max(len(road.curvature) for road in roads)
        self.centre = np.stack([np.pad(r.centre, ((0, longest - len(r.centre)), (0, 0)), mode="edge") for r in roads])
        self.heading = np.array([road.heading[0] for road in roads])
        self.stop = np.array([road.stop for road in roads])
        wish = rng.uniform(config.slowest_mps, config.fastest_mps, len(roads))
        self.free = np.stack(
            [self._limit(road, v, longest, stopping=False) for road, v in zip(roads, wish, strict=True)]
        )
        self.stopping = np.stack(
            [self._limit(road, v, longest, stopping=True) for road, v in zip(roads, wish, strict=True)]
        )
        self.at = np.zeros(len(roads), dtype=np.int64)
        self.wait_s = rng.uniform(0.5, 1.0, len(roads)) * config.longest_wait_s
        self.steering = np.zeros(len(roads))
        self.wander = np.zeros((len(roads), 2))

    def _limit(self, road: Road, wish: float, longest: int, *, stopping: bool) -> Array:
        """The speed from which what is ahead can be braked for at 60% of the brake, at each point of the lane."""
        bend = np.sqrt(self.config.lateral_mps2 / np.maximum(np.abs(road.curvature), 1e-6))
        limit = np.minimum(wish, bend)
        if stopping and road.stop < len(limit):
            limit[road.stop :] = 0.0
        for k in range(len(limit) - 2, -1, -1):
            limit[k] = min(limit[k], np.sqrt(limit[k + 1] ** 2 + 2 * 0.6 * self.config.brake_mps2 * SPACING_M))
        return np.pad(limit, (0, longest - len(limit)), mode="edge")

    def start(self) -> Array:
        """On the lane's first point, at a speed that suits it."""
        speed = self.stopping[:, 0] * self.rng.uniform(0.5, 1.0, len(self.at))
        return np.column_stack([self.centre[:, 0], self.heading, speed])

    def drive(self, state: Array) -> Array:
        """Acceleration and steering (N, 2) for states (N, 4)."""
        config, rows, dt = self.config, np.arange(len(state)), self.config.dt_s
        self._advance(state)
        # Wanders for about 2 s, with standard deviations of 0.3 m/s^2 and 0.004 rad.
        self.wander += -self.wander * dt / 2 + self.rng.normal(size=self.wander.shape) * np.sqrt(dt)
        speed = state[:, 3]
        before_line = (self.wait_s > 0) & (self.stop < self.centre.shape[1])
        limit = np.where(before_line, self.stopping[rows, self.at], self.free[rows, self.at])
        self.wait_s -= np.where(before_line & (speed < 0.4), dt, 0.0)
        acceleration = (limit - speed) / 0.5 + 0.3 * self.wander[:, 0] * (speed > 1.0)
        acceleration = np.clip(acceleration, -config.brake_mps2, config.throttle_mps2)
        steering = self._pursue(state) + 0.004 * self.wander[:, 1]
        turn = np.clip(steering - self.steering, -config.steering_rate_radps * dt, config.steering_rate_radps * dt)
        self.steering = np.clip(self.steering + turn, -config.steering_rad, config.steering_rad)
        return np.column_stack([np.maximum(acceleration, -speed / dt), self.steering])

    def _advance(self, state: Array) -> None:
        """The nearest of the next points of each lane."""
        window = np.minimum(self.at[:, None] + np.arange(24), self.centre.shape[1] - 1)
        points = self.centre[np.arange(len(state))[:, None], window]
        nearest = np.linalg.norm(points - state[:, None, :2], axis=-1).argmin(1)
        self.at = window[np.arange(len(state)), nearest]

    def _pursue(self, state: Array) -> Array:
        """The steering whose circle meets the lane a few metres ahead."""
        ahead = 3.0 + 0.5 * state[:, 3]
        index = np.minimum(self.at + np.rint(ahead / SPACING_M).astype(np.int64), self.centre.shape[1] - 1)
        x, y = (self.centre[np.arange(len(state)), index] - state[:, :2]).T
        sideways = -np.sin(state[:, 2]) * x + np.cos(state[:, 2]) * y
        steering: Array = np.arctan(2 * self.config.length_m * sideways / np.maximum(x**2 + y**2, 1.0))
        return steering
