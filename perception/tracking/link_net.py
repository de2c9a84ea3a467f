"""Training of the learned association: pairs that trackers met on films, and who was right."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Several

import numpy as np
import torch
from torch import nn

from knuckle.core.cards import Entry
from knuckle.perception.tracking.boxes import Flags
from knuckle.perception.tracking.candidates import Association
from knuckle.perception.tracking.detection_recipe import Detected
from knuckle.perception.tracking.learned_association import LearnedAssociation
from knuckle.perception.tracking.motion_model import MotionModel
from knuckle.perception.tracking.net_settings import LinkConfig
from knuckle.perception.tracking.pair_features import FEATURES
from knuckle.perception.tracking.sequence import Sequence
from knuckle.perception.tracking.taught_association import NOBODY, TaughtAssociation
from knuckle.perception.tracking.track_features import Floats
from knuckle.perception.tracking.tracker import Tracker
from knuckle.perception.tracking.tracker_config import TrackerConfig
from knuckle.perception.tracking.two_stage import TwoStage

LEARNED_ON = {"high": 0.4, "start": 0.5, "noise": 0.05, "second_iou": 0.35, "common_shift": 1.0}
MEMORY_FRAMES = 50
SEES_AND_SAYS = (Entry("pair_features", (FEATURES,), "sizes of the track's box"), Entry("link", (1,), "logit"))

Make = Callable[[float], MotionModel]


def make_link_net(config: LinkConfig, seed: int) -> nn.Sequential:
    """Features (K, 24) to logits (K, 1)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = config.width
        parts = [nn.Linear(FEATURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)]
        return nn.Sequential(*parts)


def learn_link(
    films: list[Sequence], seen: list[Detected], models: Several[Make], config: LinkConfig, seed: int
) -> tuple[dict[str, Floats], dict[str, float]]:
    """Weights, and how many pairs they were learned from with the last mean loss.

    Every film is followed by every model: first by the truth and in two stages, from which a first network learns, then
    by that network, for it has to know what its own mistakes lead to.
    """
    net = make_link_net(config, seed)
    weights: dict[str, Floats] = {}
    features, right = [], []
    loss = float("nan")
    for stage in range(2):
        for k, (film, made) in enumerate(zip(films, seen, strict=True)):
            for number, make in enumerate(models):
                settings = _settings(1.0 / film.rate_hz)
                inner: Association | None = TwoStage(settings) if (k + number) % 2 else None
                if stage:
                    inner = LearnedAssociation(settings, weights)
                taught = taught_on(film, made, make, settings, inner)
                features += taught.features
                right += taught.right
        x, y = np.concatenate(features), np.concatenate(right)
        loss = _descend(net, x, y, config, seed + stage)
        weights = {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}
    return weights, {"pairs": float(len(y)), "loss": loss}


def taught_on(
    film: Sequence, made: Detected, make: Make, settings: TrackerConfig, inner: Association | None
) -> TaughtAssociation:
    """A film followed by one model, with all pairs that it met."""
    truth = [np.where(rows >= 0, film.track[np.maximum(rows, 0)], NOBODY) for rows in made.rows]
    taught = TaughtAssociation(truth, [frame.boxes for frame in made.frames], inner)
    frame_s = 1.0 / film.rate_hz
    tracker = Tracker(make(frame_s), frame_s, settings, taught)
    for k, frame in enumerate(made.frames):
        tracker.push(film.stamp_ns(k), frame)
    return taught


def _settings(frame_s: float) -> TrackerConfig:
    return TrackerConfig(**LEARNED_ON, memory_s=MEMORY_FRAMES * frame_s)  # type: ignore[arg-type]


def _descend(net: nn.Sequential, x: Floats, y: Flags, config: LinkConfig, seed: int) -> float:
    """Fit the network to the pairs; the mean loss of the last tenth."""
    rng = np.random.default_rng([seed, len(x)])
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.decay)
    total, count = 0.0, 0
    for k in range(config.updates):
        rows = rng.integers(0, len(x), config.batch)
        logits = net(torch.from_numpy(x[rows]))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(y[rows].astype(np.float32)))
        for group in optimizer.param_groups:
            group["lr"] = config.rate * 0.5 * (1.0 + np.cos(np.pi * k / config.updates))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if k >= 0.9 * config.updates:
            total, count = total + float(loss.detach()), count + 1
    return total / max(1, count)
