"""The energy score (Gneiting and Raftery 2007): a proper score of a forecast given as samples."""

from __future__ import annotations

import torch
from torch import Tensor

from knuckle.core.errors import InputError


def energy_score(samples: Tensor, truth: Tensor) -> Tensor:
    """E|X - y| - E|X - X'| / 2 in the samples' unit: samples (S, ..., D), truth (..., D) to (...).

    Smaller is better; with one outcome for certain it is the distance. The second expectation is over the pairs of
    different samples, so that the estimate has no bias. Raises InputError for fewer than two samples.
    """
    count = len(samples)
    if count < 2:
        raise InputError(f"{count} samples", where="energy score", right="two or more")
    accuracy = (samples - truth).norm(dim=-1).mean(0)
    spread = torch.zeros_like(accuracy)
    for k in range(1, count):
        spread = spread + (samples[k:] - samples[:-k]).norm(dim=-1).sum(0)
    score: Tensor = accuracy - spread / (count * (count - 1))
    return score
