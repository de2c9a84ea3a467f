"""Simulated traffic as tracks: several vehicles to a sequence, seen with an error that differs from track to track."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from knuckle.core.config import setting
from knuckle.motion.tracks.track import Track, make_track
from knuckle.motion.traffic import TrafficConfig, simulate_traffic

VEHICLES_A_SEQUENCE = 10


@dataclass(frozen=True)
class SimulatedTracks:
    """How much traffic there is, and how it is seen."""

    vehicles: int = setting(200, "vehicles", low=1, high=1_000_000)
    seconds: float = setting(20.0, "length of each track", low=1.0, high=3600.0, unit="s")
    noise_m: float = setting(0.1, "largest standard deviation of a track's error", low=0.0, high=2.0, unit="m")
    traffic: TrafficConfig = field(default_factory=TrafficConfig)


def simulated_tracks(config: SimulatedTracks, seed: int) -> list[Track]:
    """The tracks, ``traffic.dt_s`` apart; the same seed gives the same bits."""
    steps = round(config.seconds / config.traffic.dt_s)
    driven = simulate_traffic(config.traffic, config.vehicles, steps, seed).states[..., :2]
    rng = np.random.default_rng([seed, 1])
    spread = rng.uniform(0.0, config.noise_m, config.vehicles)
    seen = driven + rng.normal(size=driven.shape) * spread[:, None, None]
    frames = np.arange(seen.shape[1], dtype=np.int64)
    dt = config.traffic.dt_s
    return [
        make_track(f"{k}", f"simulated-{seed}-{k // VEHICLES_A_SEQUENCE}", "vehicle", frames, path, dt, "simulated map")
        for k, path in enumerate(seen)
    ]
