"""A model over whole trials, and how far off it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knuckle.sensors.hiss.normaliser import Normaliser
from knuckle.sensors.hiss.pieces import Piece, in_batches

Array = NDArray[np.float64]


def outputs(model: nn.Module, pieces: Sequence[Piece], *, batch: int = 16) -> list[Array]:
    """What ``model`` gives for each piece, (K, P) each, in order."""
    found: list[Array] = [np.zeros((0, 0))] * len(pieces)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for chosen, rows in in_batches(pieces, batch):
            raw = model(torch.from_numpy(rows.features)).numpy().astype(np.float64)
            for k, i in enumerate(chosen):
                found[i] = raw[k, : len(pieces[i].known)]
    model.train(was_training)
    return found


def squared_errors(raw: Array, piece: Piece, normaliser: Normaliser) -> Array:
    """Squared errors of the mean over the scored targets, (n, T), in the task's units."""
    error = normaliser.back(raw[:, : piece.targets.shape[1]]) - piece.targets
    return np.asarray(np.square(error[piece.scored]))


def mean_squared_error(raws: Sequence[Array], pieces: Sequence[Piece], normaliser: Normaliser) -> float:
    """Over all scored targets of all pieces and their columns, by the weights of their trials."""
    errors = [piece.weight * squared_errors(raw, piece, normaliser) for raw, piece in zip(raws, pieces, strict=True)]
    return float(np.mean(np.concatenate(errors)))
