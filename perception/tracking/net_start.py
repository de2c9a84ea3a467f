"""A network before training, and after it: made by a seed, begun from a linear map, and exported for numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from knuckle.perception.tracking.boxes import Array
from knuckle.perception.tracking.detection_recipe import NOISE
from knuckle.perception.tracking.mtp_net import MtpNet
from knuckle.perception.tracking.net_fit import NetFit
from knuckle.perception.tracking.net_settings import FitConfig, MtpConfig, TrackSsmConfig
from knuckle.perception.tracking.ridge_fit import fit_ridge, gap_spread
from knuckle.perception.tracking.ridge_motion import RidgeMotion
from knuckle.perception.tracking.track_features import GAIN, Floats
from knuckle.perception.tracking.track_ssm_motion import TrackSsmMotion
from knuckle.perception.tracking.track_ssm_net import TrackSsmNet
from knuckle.perception.tracking.unrolled_tracks import UnrolledTracks, sampled

HISTORY = 10
SAMPLED_TRACKS, SAMPLED_STEPS = 500, 40
SPREAD_WINDOWS = 2000
PENALTY = 3.0


def make_net(name: str, mtp: MtpConfig, trackssm: TrackSsmConfig, seed: int) -> MtpNet | TrackSsmNet:
    """A network, ``mtp`` or ``trackssm``, with weights that ``seed`` draws."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MtpNet(mtp) if name == "mtp" else TrackSsmNet(trackssm)


def start(net: MtpNet | TrackSsmNet, windows: Array, config: FitConfig, seed: int) -> NetFit:
    """Training at its beginning; the linear path is set to the best linear map already.

    The other layers then have only to learn what no linear map can say.
    """
    rows = net.config.history
    if rows <= HISTORY:
        rng = np.random.default_rng(seed)
        step = RidgeMotion(1.0, fit_ridge(windows, rng, noise=config.noise)).step
        tracks = UnrolledTracks(windows, HISTORY, SAMPLED_TRACKS, rng, config.noise)
        features, target = sampled(tracks, step, SAMPLED_STEPS)
        x = features[:, -rows:].reshape(len(features), -1).astype(np.float64)
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        best = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ (GAIN * target)).astype(np.float32)
        with torch.no_grad():
            net.straight.weight.copy_(torch.from_numpy(np.ascontiguousarray(best[:-1].T)))
            net.straight.bias.copy_(torch.from_numpy(best[-1]))
    return NetFit(net, windows, net.config.history, config, seed)


def exported(net: MtpNet | TrackSsmNet, windows: Array, seed: int, noise: float = NOISE) -> dict[str, Floats]:
    """The weights as numpy arrays; for TrackSSM also its rows of history and its errors over gaps."""
    tensors: dict[str, Any] = {key: value.detach().numpy() for key, value in net.state_dict().items()}
    if isinstance(net, TrackSsmNet):
        rng = np.random.default_rng(seed)
        some = windows[rng.permutation(len(windows))[:SPREAD_WINDOWS]]
        tensors["rows"] = np.array([net.config.history], dtype=np.float32)
        tensors["spread"] = np.ones((1, 4), dtype=np.float32)
        tensors["spread"] = gap_spread(TrackSsmMotion(1.0, tensors).step, some, rng, noise).astype(np.float32)
    return tensors
