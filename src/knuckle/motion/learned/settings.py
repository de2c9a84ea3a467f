"""The settings of a forecasting network and of its training."""

from __future__ import annotations

from dataclasses import dataclass, field

from knuckle.core.config import setting
from knuckle.motion.tracks.windows import WindowConfig

ENCODERS = ("gru", "mlp")
KINEMATIC = ("velocity", "acceleration", "heading", "bicycle")
LEARNED, DETERMINISTIC = "learned", "deterministic"
HEADS = (*KINEMATIC, LEARNED, DETERMINISTIC)
FORMS = ("marginal", "full", "curved")
MODES = 6


@dataclass(frozen=True)
class NetConfig:
    """A network: what reads the history, and what its outputs are taken for."""

    encoder: str = setting("gru", "what reads the history", choices=ENCODERS)
    head: str = setting(
        "bicycle", "a formulation, learned means and variances, or deterministic kinematics", choices=HEADS
    )
    form: str = setting("full", "how a formulation carries variances in training", choices=FORMS)
    width: int = setting(48, "numbers that the history is read into", low=4, high=1024)


@dataclass(frozen=True)
class LearnConfig:
    """How it is trained. The loss is the mixture's -log density, the mean over steps, plus ``nearest`` mean m."""

    updates: int = setting(300, "updates, at the most", low=1, high=10_000_000)
    begin: int = setting(60, "first updates, in which only the head's own spreads are learned", low=0, high=10_000_000)
    begin_rate: float = setting(5e-2, "learning rate of AdamW in these", low=1e-7, high=1.0)
    batch: int = setting(64, "windows of an update", low=1, high=65_536)
    rate: float = setting(1e-3, "learning rate of AdamW afterwards, at its highest", low=1e-7, high=1.0)
    decay: float = setting(1e-2, "decoupled weight decay", low=0.0, high=10.0)
    warm: int = setting(20, "updates over which the rate rises", low=0, high=1_000_000)
    clip: float = setting(5.0, "norm at which gradients are cut", low=1e-3, high=1e6)
    nearest: float = setting(0.1, "weight of the nearest mode's mean distance, nats to the m", low=0.0, high=100.0)
    mirror: bool = setting(True, "half of the windows of an update are seen in a mirror")
    balance: bool = setting(False, "tracks are drawn as often as each other, not windows")
    check_every: int = setting(10, "updates from one validation to the next", low=1, high=1_000_000)
    patience: int = setting(20, "validations without a better one that end the training", low=1, high=1_000_000)
    data_share: float = setting(1.0, "share of the training windows that is used", low=1e-4, high=1.0)


@dataclass(frozen=True)
class Training:
    """All that a run is made of, but for the windows."""

    net: NetConfig = field(default_factory=NetConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    seed: int = 0
