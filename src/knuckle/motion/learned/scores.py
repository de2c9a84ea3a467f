"""What a forecaster is scored by, window by window, and intervals by drawing tracks anew, the same ones for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.motion.displacement import min_ade, min_fde, missed
from knuckle.motion.feasibility import Limits, infeasible
from knuckle.motion.learned.heads import Forecasts
from knuckle.motion.mixture import mixture_nll, sample_mixture

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
RESAMPLES = 2000
SAMPLES = 60
NAMES = ("nll", "min_ade_m", "min_fde_m", "miss_2m", "coverage_50", "coverage_90", "infeasible")


@dataclass(frozen=True)
class Scores:
    """Figures of each of W windows (W,) by the names in NAMES; ``nll`` is the mean over steps, in nats a step."""

    values: dict[str, Array]

    def means(self) -> dict[str, float]:
        """Their means over windows."""
        return {name: float(value.mean()) for name, value in self.values.items()}


def score(forecasts: Forecasts, future: torch.Tensor, dt_s: float, seed: int) -> Scores:
    """Scores of forecasts against what came, ``future`` (W, T, 2) in the same frame.

    A coverage is the share of steps inside the smallest region of that probability, by 60 samples; infeasible is the
    share of the six modes' motions, from the origin on, that no vehicle could drive.
    """
    motions = forecasts.motions
    generator = torch.Generator().manual_seed(seed)
    start = torch.zeros_like(motions[..., :1, :])
    found = {
        "nll": mixture_nll(forecasts.mixture, future).mean(-1),
        "min_ade_m": min_ade(motions, future),
        "min_fde_m": min_fde(motions, future),
        "miss_2m": missed(motions, future).float(),
        "infeasible": infeasible(torch.cat([start, motions], -2).double(), dt_s, Limits()).float().mean(-1),
    }
    # As `inside_region`, both levels from the same samples: drawing and weighing them is what scoring costs.
    here, denser = mixture_nll(forecasts.mixture, future), torch.zeros(future.shape[:-1])
    for drawn in sample_mixture(forecasts.mixture, SAMPLES, generator):
        denser += mixture_nll(forecasts.mixture, drawn) < here
    for level in (0.5, 0.9):
        found[f"coverage_{round(100 * level)}"] = (denser < level * SAMPLES).float().mean(-1)
    return Scores({name: found[name].numpy().astype(np.float64) for name in NAMES})


def interval(values: Array, track: Ints, rng: np.random.Generator) -> tuple[float, float]:
    """95% bounds of the mean of ``values`` (S, W), S seeds over W windows of tracks (W,): both are drawn anew.

    Windows of a track overlap, so tracks are drawn whole. Differences of two models in the same places are paired so.
    """
    owners, where = np.unique(track, return_inverse=True)
    counts = np.bincount(where, minlength=len(owners)).astype(np.float64)
    sums = np.stack([np.bincount(where, row, minlength=len(owners)) for row in values])
    by_seed = _times_drawn(rng, len(values))
    by_track = _times_drawn(rng, len(owners))
    means = ((by_seed @ sums) * by_track).sum(1) / (len(values) * (by_track @ counts))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _times_drawn(rng: np.random.Generator, many: int) -> Array:
    """How often each of ``many`` is among as many drawn with repetition: (RESAMPLES, many)."""
    return rng.multinomial(many, np.full(many, 1 / many), RESAMPLES).astype(np.float64)
