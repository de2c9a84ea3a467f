"""Sequences read from both ends: for windows that are there as a whole, never for a stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn.backend import check_backend
from knuckle.nn.families import Option, make_layers
from knuckle.nn.layer import SequenceLayer


class Bidirectional(nn.Module):
    """The sum of one layer along the sequence and another, with weights of its own, against it."""

    def __init__(self, along: SequenceLayer, against: SequenceLayer) -> None:
        super().__init__()
        if along.width != against.width:
            what = f"widths {along.width} and {against.width}"
            raise InputError(what, where="Bidirectional", right="two layers of one width")
        self.width = along.width
        self.along, self.against = along, against

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, L, width) to the same shape; of each sequence the first ``lengths`` (batch,) samples are real.

        What follows them has no influence on their outputs, and its own outputs mean nothing.
        """
        backward: Tensor = self.against(reversed_in_time(x, lengths))
        y: Tensor = self.along(x) + reversed_in_time(backward, lengths)
        return y


class BidirectionalStack(nn.Module):
    """Pre-norm residual blocks of ``Bidirectional`` layers and a LayerNorm, (batch, L, width) to the same shape.

    ``family`` and ``options`` are those of knuckle.nn.stack.make_stack. Raises InputError as it does.
    """

    def __init__(
        self, family: str, width: int, layers: int, *, dropout: float = 0.1, backend: str = "auto", **options: Option
    ) -> None:
        super().__init__()
        if width < 1 or layers < 1 or not 0 <= dropout < 1:
            what = f"width={width}, layers={layers}, dropout={dropout}"
            raise InputError(what, where="stack", right="width and layers of at least 1, dropout from 0 to below 1")
        check_backend(backend)
        pairs = []
        for _ in range(layers):
            both = [make_layers(family, width, backend, options) for _ in range(2)]
            pairs += [Bidirectional(along, against) for along, against in zip(*both, strict=True)]
        self.width = width
        self.layers = nn.ModuleList(pairs)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in pairs])
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The output for ``x`` (batch, L, width); ``lengths`` (batch,) as in Bidirectional."""
        if x.dim() != 3 or x.shape[2] != self.width or x.shape[1] == 0:
            what = f"the input has shape {tuple(x.shape)}"
            raise InputError(what, where="BidirectionalStack", right=f"(batch, L, {self.width})")
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + self.dropout(layer(norm(x), lengths))
        y: Tensor = self.norm(x)
        return y


def reversed_in_time(x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """``x`` (batch, L, width) with the first ``lengths`` (batch,) samples of each sequence reversed; all where None."""
    if lengths is None:
        return x.flip(1)
    at = torch.arange(x.shape[1], device=x.device)
    where = torch.where(at < lengths[:, None], lengths[:, None] - 1 - at, at)
    return x.gather(1, where[:, :, None].expand_as(x))
