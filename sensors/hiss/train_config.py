"""The settings of a model and of its training, and how the command's words change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from knuckle.core.config import describe, from_mapping, parse_text, setting, validate
from knuckle.core.errors import InputError, unknown_name
from knuckle.sensors.hiss.features import FeatureConfig
from knuckle.sensors.hiss.model_name import model_name

T = TypeVar("T")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes. A flat model has the low level alone, at ``width`` and ``layers``."""

    width: int = setting(64, "width of the blocks that read samples", low=4, high=4096)
    layers: int = setting(2, "blocks that read samples", low=1, high=64)
    high_width: int = setting(64, "width of a chunk's feature and of the blocks that read them", low=4, high=4096)
    high_layers: int = setting(2, "blocks that read chunks", low=1, high=64)
    dropout: float = setting(0.0, "dropout in the blocks", low=0.0, high=0.9)


@dataclass(frozen=True)
class LearnConfig:
    """How a model is trained."""

    epochs: int = setting(20, "passes over the training trials, at the most", low=1, high=100_000)
    window_s: float = setting(24.0, "length of the pieces that a trial is trained in", low=0.2, high=10_000.0, unit="s")
    batch: int = setting(8, "pieces of an update", low=1, high=4096)
    rate: float = setting(1e-3, "learning rate of Adam at its highest", low=1e-7, high=1.0)
    warmup: int = setting(20, "updates over which the rate rises", low=0, high=1_000_000)
    rate_end: float = setting(0.05, "share of the rate that is left after the last epoch (cosine)", low=0.0, high=1.0)
    weight_decay: float = setting(0.0, "decoupled weight decay", low=0.0, high=1.0)
    gradient_norm: float = setting(1.0, "norm at which gradients are cut", low=1e-3, high=1e6)
    covariance: float = setting(
        0.1, "weight of the covariance's likelihood beside the squared error", low=0.0, high=10.0
    )
    hold: float = setting(
        0.0, "weight of how far the weights of candidates stray from those that they begin at", low=0.0, high=1000.0
    )
    patience: int = setting(8, "epochs without a better validation error that end the training", low=1, high=100_000)
    data_share: float = setting(1.0, "share of the training trials that is used", low=1e-4, high=1.0)
    look_ahead: int = setting(0, "samples after its time that a target's input goes on for", low=0, high=1000)
    indexing: str = setting(
        "matched", "matched, or released: HiSS sees 9 samples more than flat models do", choices=("matched", "released")
    )
    augment: bool = setting(True, "the task's augmentation, where it has one")
    checkpoint_every: int = setting(50, "updates between checkpoints within an epoch", low=1, high=1_000_000)


@dataclass(frozen=True)
class Training:
    """All that a run is made of: it stands in the run's folder and in the model's card.

    ``task`` holds the task's name and its options, ``columns`` and the like; ``data`` the folder's name.
    """

    task: dict[str, Any]
    model: str
    sizes: ModelConfig
    features: FeatureConfig
    learn: LearnConfig
    seed: int

    @property
    def look_ahead(self) -> int:
        """Samples of input after the time of a target that the model is given."""
        if self.learn.indexing == "matched":
            return self.learn.look_ahead
        return 0 if model_name(self.model).flat else 9

    def facts(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return asdict(self)


def training_of(facts: Mapping[str, Any], *, where: str) -> Training:
    """The training that `Training.facts` told; InputError where it is none."""
    try:
        return Training(
            task=dict(facts["task"]),
            model=str(model_name(facts["model"], where=where)),
            sizes=from_mapping(ModelConfig, facts["sizes"], where=f"{where}: sizes"),
            features=from_mapping(FeatureConfig, facts["features"], where=f"{where}: features"),
            learn=from_mapping(LearnConfig, facts["learn"], where=f"{where}: learn"),
            seed=int(facts["seed"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"settings are missing ({error})", where=where, right="a run of this version") from error


def changed(training: Training, changes: Mapping[str, str]) -> Training:
    """``training`` with settings as text, each by its name alone; InputError for what is not known or out of range."""
    parts: dict[str, dict[str, str]] = {"sizes": {}, "features": {}, "learn": {}}
    owner = {spec.name: part for part in parts for spec in describe(type(getattr(training, part)))}
    for name, text in changes.items():
        if name not in owner:
            raise unknown_name("setting", name, owner, where="--set")
        parts[owner[name]][name] = text
    new = {part: _changed(getattr(training, part), texts) for part, texts in parts.items()}
    result = replace(training, **new)
    if result.learn.indexing == "released" and result.learn.look_ahead:
        right = "one of the two"
        raise InputError("both look_ahead and indexing=released", where="--set", right=right)
    return result


def _changed(config: T, texts: Mapping[str, str]) -> T:
    known = {spec.name: spec for spec in describe(type(config))}
    values: dict[str, Any] = {name: getattr(config, name) for name in known}
    values |= {name: parse_text(known[name], text, where=f"--set {name}") for name, text in texts.items()}
    return validate(type(config)(**values), where="--set")
