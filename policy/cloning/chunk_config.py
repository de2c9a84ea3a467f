"""The settings of policies that answer with a chunk of actions: how long it is, and how it is learned and drawn."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class ChunkConfig:
    """A chunk is ``length`` postures, one a control step, of which ``executed`` are gone for before the next is drawn.

    ``euler`` steps lead from noise to a chunk (conditional flow matching); none: the mean chunk is learned instead.
    """

    length: int = setting(0, "postures in a chunk, 0: an action a step, no chunks", low=0, high=60)
    executed: int = setting(4, "postures that are gone for before the next chunk is drawn", low=1, high=60)
    euler: int = setting(4, "steps from noise to a chunk, 0: the mean of all chunks", low=0, high=50)
    judged: int = setting(
        14, "chunks drawn at once, of which simulation says the best, 0: one, not judged", low=0, high=64
    )
    foreseen: int = setting(6, "postures of a chunk that are simulated to judge it, 0: all", low=0, high=60)
    width: int = setting(256, "units of a hidden layer", low=1, high=4096)
    layers: int = setting(3, "hidden layers", low=1, high=8)
    updates: int = setting(2000, "gradient steps", low=1, high=10_000_000)
    batch: int = setting(512, "chunks of a gradient", low=2, high=1_000_000)
    rate: float = setting(1e-3, "largest learning rate; it rises over a twentieth and falls to 0", low=1e-7, high=1.0)
    decay: float = setting(1e-2, "weight decay", low=0.0, high=1.0)
    noise: float = setting(0.1, "noise on normalised observations", low=0.0, high=1.0)
    average: float = setting(0.995, "share of the averaged weights that a step keeps", low=0.0, high=0.99999)
    smooth_steps: float = setting(1.0, "deviation of the smoothing of postures over time", low=0.0, high=10.0)
    held_back: float = setting(0.1, "share of episodes that are not learned from, to judge by", low=0.0, high=0.5)
