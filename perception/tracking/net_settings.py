"""Sizes of the networks, and how they are trained: what the command reads without torch."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class FitConfig:
    """How a network is trained."""

    updates: int = setting(6000, "updates of the weights", low=1, high=10_000_000)
    round: int = setting(100, "updates between checkpoints", low=1, high=100_000)
    batch: int = setting(128, "tracks at once", low=1, high=65_536)
    rate: float = setting(4e-3, "largest step of AdamW, cosine to a hundredth", low=1e-6, high=1.0)
    decay: float = setting(0.01, "weight decay", low=0.0, high=1.0)
    warm: int = setting(50, "updates over which steps grow", low=0, high=100_000)
    clip: float = setting(1.0, "largest norm of a gradient", low=1e-3, high=1e3)
    noise: float = setting(0.05, "noise of the boxes seen, share of their size; of ridge too", low=0.0, high=0.5)


@dataclass(frozen=True)
class MtpConfig:
    """The size of the network."""

    history: int = setting(10, "boxes that it looks back on (q)", low=2, high=64)
    width: int = setting(32, "channels (d)", low=4, high=512)
    layers: int = setting(2, "bi-Mamba layers (L)", low=1, high=12)
    state: int = setting(8, "states of each channel", low=1, high=64)
    expand: int = setting(2, "inner channels for each channel", low=1, high=4)
    convolution: int = setting(3, "frames of the causal filter", low=1, high=8)


@dataclass(frozen=True)
class TrackSsmConfig:
    """The size of the network."""

    history: int = setting(10, "boxes that it looks back on", low=2, high=64)
    width: int = setting(64, "channels", low=8, high=512)
    encoder: int = setting(2, "Mamba layers of the encoder", low=1, high=12)
    decoder: int = setting(3, "steps of the flow", low=1, high=12)
    state: int = setting(16, "states of each channel", low=1, high=64)
    rank: int = setting(4, "rank of the step sizes", low=1, high=64)


@dataclass(frozen=True)
class LinkConfig:
    """The learned association: its size, and how it is trained."""

    width: int = setting(32, "units of each of two layers", low=4, high=1024)
    updates: int = setting(1500, "updates of the weights, in each of two rounds", low=1, high=1_000_000)
    batch: int = setting(2048, "pairs at once", low=8, high=1_000_000)
    rate: float = setting(4e-3, "largest step of AdamW, cosine to nothing", low=1e-6, high=1.0)
    decay: float = setting(0.01, "weight decay", low=0.0, high=1.0)
    frames: int = setting(150, "frames of each film", low=10, high=100_000)
