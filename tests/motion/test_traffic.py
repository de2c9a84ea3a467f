from __future__ import annotations

import numpy as np
import pytest
import torch

from knuckle.core.errors import InputError
from knuckle.motion.bicycle import Bicycle
from knuckle.motion.feasibility import Limits, implied_controls, infeasible
from knuckle.motion.traffic import Traffic, TrafficConfig, simulate_traffic

CONFIG = TrafficConfig()
LIMITS = Limits(length_m=CONFIG.length_m, acceleration_mps2=CONFIG.brake_mps2, steering_rad=CONFIG.steering_rad)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return simulate_traffic(CONFIG, vehicles=120, steps=300, seed=0)


def test_every_track_is_one_of_the_bicycle_within_its_bounds(traffic: Traffic) -> None:
    a, d = traffic.controls[..., 0], traffic.controls[..., 1]
    assert a.min() >= -CONFIG.brake_mps2 and a.max() <= CONFIG.throttle_mps2
    assert np.abs(d).max() <= CONFIG.steering_rad
    assert np.abs(np.diff(d, axis=1)).max() <= CONFIG.steering_rate_radps * CONFIG.dt_s + 1e-12
    assert traffic.states[..., 3].min() >= -1e-12
    states, controls = torch.from_numpy(traffic.states), torch.from_numpy(traffic.controls)
    stepped = Bicycle(CONFIG.length_m).step(states[:, :-1], controls, CONFIG.dt_s)
    assert torch.equal(stepped, states[:, 1:])


def test_positions_alone_show_that_every_track_is_feasible(traffic: Traffic) -> None:
    positions = torch.from_numpy(traffic.states[..., :2].copy())
    assert not infeasible(positions, CONFIG.dt_s, LIMITS).any()


def test_vehicles_stop_and_go_on_turn_and_drive_fast(traffic: Traffic) -> None:
    speed = traffic.states[..., 3]
    stood = speed.min(1) < 0.3
    assert 0.1 < stood.mean() < 0.6
    gone_on = [speed[i, speed[i].argmin() :].max() > 2 for i in np.flatnonzero(stood)]
    assert np.mean(gone_on) > 0.5
    turned = np.ptp(traffic.states[..., 2], axis=1)
    assert (turned > 1.2).mean() > 0.3 and (turned < 0.3).mean() > 0.01
    assert speed.max() > 12
    sideways = np.abs(speed[:, :-1] ** 2 * np.tan(traffic.controls[..., 1]) / CONFIG.length_m)
    assert np.quantile(sideways, 0.999) < 2 * CONFIG.lateral_mps2


def test_the_seed_decides_everything() -> None:
    one, same, other = (simulate_traffic(CONFIG, vehicles=3, steps=50, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.states, same.states) and np.array_equal(one.controls, same.controls)
    assert not np.array_equal(one.states, other.states)


def test_controls_are_read_back_from_positions() -> None:
    rng = np.random.default_rng(3)
    controls = torch.from_numpy(rng.uniform([-2, -0.5], [2, 0.5], (5, 20, 2)))
    start = torch.tensor([0.0, 0, 3.0, 9], dtype=torch.float64).repeat(5, 1)
    mean = Bicycle().forecast(start, controls, torch.zeros_like(controls), 0.1).mean
    _, acceleration, steering = implied_controls(torch.cat([start[:, None, :2], mean], 1), 0.1, 2.8)
    torch.testing.assert_close(acceleration, controls[:, :-1, 0])
    torch.testing.assert_close(steering, controls[:, :-1, 1])


@pytest.mark.parametrize("bad", ["jump", "sideways"])
def test_a_track_that_no_vehicle_can_drive_is_found(bad: str) -> None:
    x = torch.arange(20, dtype=torch.float64)
    track = torch.stack([x, torch.zeros_like(x)], -1)
    assert not infeasible(track, 0.1, LIMITS)
    track[10:, 0 if bad == "jump" else 1] += 0.3 if bad == "jump" else 2.0
    assert infeasible(track, 0.1, LIMITS)


def test_nothing_to_simulate_is_refused() -> None:
    with pytest.raises(InputError, match="0 vehicles"):
        simulate_traffic(CONFIG, 0, 10, seed=0)
    with pytest.raises(InputError, match=r"positions of shape \(2, 2\)"):
        implied_controls(torch.zeros(2, 2), 0.1, 2.8)
