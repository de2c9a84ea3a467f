"""Association that is learned: the logit that a detection goes on a track, and the assignment with the largest sum.

One network for every motion model; ``knuckle.perception.tracking.link_fit`` trains it. It runs without torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knuckle.perception.tracking.association import assign
from knuckle.perception.tracking.boxes import Ints
from knuckle.perception.tracking.candidates import Candidates
from knuckle.perception.tracking.mamba_forward import linear
from knuckle.perception.tracking.pair_features import FRAMES, pair_features
from knuckle.perception.tracking.track_features import Floats
from knuckle.perception.tracking.tracker_config import TrackerConfig

TENSORS = {"0.weight": 2, "0.bias": 1, "2.weight": 2, "2.bias": 1, "4.weight": 2, "4.bias": 1}


class LearnedAssociation:
    """All detections from ``low`` on and all tracks at once; a pair needs a logit above ``link``."""

    rows = FRAMES + 1

    def __init__(self, config: TrackerConfig, weights: Mapping[str, Floats]) -> None:
        self.config, self.weights = config, weights

    def match(self, given: Candidates) -> Ints:
        """For every track the number of its detection, -1 for none (N,)."""
        found = np.full(len(given.mean), -1, dtype=np.int64)
        features, possible = pair_features(given)
        worth = np.full(possible.shape, -np.inf)
        worth[possible] = self.logits(features) - self.config.link
        allowed = (worth > 0.0) & (given.seen.scores >= self.config.low)[None, :]
        rows, columns = assign(worth, allowed)
        found[rows] = columns
        return found

    def logits(self, features: Floats) -> Floats:
        """(K,) of features (K, 24), as the network has them."""
        w = self.weights
        x = np.maximum(linear(features, w, "0"), 0.0)
        x = np.maximum(linear(x, w, "2"), 0.0)
        return linear(x, w, "4")[:, 0]
