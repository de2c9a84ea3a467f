"""The settings of learning from rows."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class FitConfig:
    """The network, which is of the form of PPO's, and how it is fitted."""

    width: int = setting(128, "units of a hidden layer", low=1, high=4096)
    layers: int = setting(2, "hidden layers", low=1, high=8)
    epochs: int = setting(15, "passes over the rows", low=1, high=10_000)
    batch: int = setting(512, "rows of a gradient", low=2, high=1_000_000)
    rate: float = setting(1e-3, "learning rate at first; it falls to 0 as a cosine", low=1e-7, high=1.0)
    decay: float = setting(1e-3, "weight decay", low=0.0, high=1.0)
    noise: float = setting(0.03, "noise on normalised observations", low=0.0, high=1.0)
    forget: float = setting(0.0, "share of rows whose previous action is hidden", low=0.0, high=1.0)
    symmetric: bool = setting(True, "one network for every finger, by the hand's symmetry about the vertical")
    held_back: float = setting(0.1, "share of episodes that are not learned from, to judge by", low=0.0, high=0.5)
    normaliser_clip: float = setting(10.0, "bound of normalised observations", low=1.0, high=1000.0)
