"""The phase-staggered model on a recording: an estimate at every sample, by the same weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.sensors.hiss.model import Flat, Hiss
from knuckle.sensors.hiss.trial import CHUNK

Array = NDArray[np.float32]


def staggered(network: Hiss | Flat, features: Array) -> Array:
    """Outputs (L - 9, P) for ``features`` (L, F): row i is what the network gives at sample i + 9.

    A hierarchy's is that of the phase whose chunks end there: the network on the features from sample i % 10 on.
    """
    network.eval()
    rows = len(features) - CHUNK + 1
    with torch.no_grad():
        if isinstance(network, Flat):
            return np.asarray(network.low(torch.from_numpy(features)[None])[0, CHUNK - 1 :].numpy())
        found: list[Array] = []
        for phase in range(min(CHUNK, rows)):
            chunks = (len(features) - phase) // CHUNK
            piece = torch.from_numpy(features[phase : phase + chunks * CHUNK])
            found.append(network(piece[None])[0].numpy())
    out = np.zeros((rows, found[0].shape[1]), dtype=np.float32)
    for phase, part in enumerate(found):
        out[phase::CHUNK] = part
    return out
