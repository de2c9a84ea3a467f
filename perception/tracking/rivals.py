"""The motion models by name, each with the settings that tuning may change and where its weights come from.

A name with ``-link`` behind it is the same model with learned association.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from knuckle.core.errors import unknown_name
from knuckle.perception.tracking.kalman_motion import ByteTrackKalman, ObservationCentred, SortKalman
from knuckle.perception.tracking.learned_association import TENSORS as LINK_TENSORS
from knuckle.perception.tracking.motion_model import MotionModel
from knuckle.perception.tracking.mtp_motion import MtpMotion
from knuckle.perception.tracking.ridge_motion import RidgeMap, RidgeMotion
from knuckle.perception.tracking.simple_motion import ConstantVelocity, LastBox
from knuckle.perception.tracking.track_features import Floats
from knuckle.perception.tracking.track_ssm_motion import TrackSsmMotion
from knuckle.perception.tracking.weights_folder import load_weights

Weights = dict[str, Floats]
LINK, LINKED, LINK_PREFIX = "link", "-link", "link/"
"""Weights of the learned association, the end of the names of models that it serves, and of its own tensors there."""
NOISE_SCALES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class Rival:
    """``make(frame_s, settings, weights)``; ``choices``, the first of which is the default; ``tensors`` that its
    weights must have, with their dimensions, none where it has no weights."""

    make: Callable[[float, Mapping[str, float], Weights], MotionModel]
    choices: dict[str, tuple[float, ...]] = field(default_factory=dict)
    tensors: dict[str, int] = field(default_factory=dict)
    momentum: bool = False


def _ridge(frame_s: float, settings: Mapping[str, float], weights: Weights) -> MotionModel:
    maps, spread = weights["maps"].astype(np.float64), weights["spread"].astype(np.float64)
    return RidgeMotion(frame_s, RidgeMap(maps, spread))


KALMAN: dict[str, tuple[float, ...]] = {"process": (1.0, *NOISE_SCALES), "measurement": (1.0, *NOISE_SCALES)}

RIVALS: dict[str, Rival] = {
    "last": Rival(lambda t, s, w: LastBox(t, spread=s["spread"]), {"spread": (0.1, 0.03, 0.06, 0.2, 0.4)}),
    "cv": Rival(
        lambda t, s, w: ConstantVelocity(t, spread=s["spread"], span=int(s["span"])),
        {"span": (3, 1, 2, 5, 8), "spread": (0.1, 0.03, 0.06, 0.2, 0.4)},
    ),
    "sort": Rival(lambda t, s, w: SortKalman(t, process=s["process"], measurement=s["measurement"]), KALMAN),
    "bytetrack": Rival(lambda t, s, w: ByteTrackKalman(t, process=s["process"], measurement=s["measurement"]), KALMAN),
    "ocsort": Rival(
        lambda t, s, w: ObservationCentred(t, process=s["process"], measurement=s["measurement"]), KALMAN, momentum=True
    ),
    "ridge": Rival(_ridge, tensors={"maps": 3, "spread": 2}),
    "mtp": Rival(lambda t, s, w: MtpMotion(t, w), tensors={"place": 2, "embed.weight": 2, "head.weight": 2}),
    "trackssm": Rival(lambda t, s, w: TrackSsmMotion(t, w), tensors={"rows": 1, "spread": 2, "decoder.0.A_log": 2}),
}


def rival(name: str) -> Rival:
    """The rival called ``name``, which may have ``-link`` behind it. InputError for an unknown one."""
    own = plain(name)
    if own not in RIVALS:
        raise unknown_name("model", own, RIVALS, where="--models")
    return RIVALS[own]


def plain(name: str) -> str:
    """A model's name without ``-link``."""
    return name.removesuffix(LINKED)


def is_linked(name: str) -> bool:
    """Whether the association of this model is the learned one."""
    return name.endswith(LINKED)


def defaults(name: str) -> dict[str, float]:
    """The settings of a model before it is tuned."""
    return {key: values[0] for key, values in rival(name).choices.items()}


def weights_of(name: str, folder: Path) -> Weights:
    """The weights of a model in ``folder``, none where it needs none; those of its learned association beside them."""
    tensors = rival(name).tensors
    weights = load_weights(folder, plain(name), tensors) if tensors else {}
    if is_linked(name):
        weights |= {LINK_PREFIX + key: value for key, value in load_weights(folder, LINK, LINK_TENSORS).items()}
    return weights
