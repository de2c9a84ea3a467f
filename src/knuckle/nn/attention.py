"""Causal attention over a bounded past, sample by sample with the keys and values it still sees, and a feed-forward.

Positions are rotary (Su et al. 2021, arXiv 2104.09864): only the distance between two samples counts, so a stream may
go on for ever. Keys are kept as they are and turned where they stand in the window.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn.layer import SequenceLayer


class AttentionState(NamedTuple):
    """The last ``context`` keys and values, oldest first, and how many of them are samples that were."""

    k: Tensor
    """(batch, heads, context, width / heads), before rotation."""
    v: Tensor
    filled: Tensor
    """(batch,), int64."""


class NoState(NamedTuple):
    """What a layer carries that looks at one sample at a time: nothing."""


class CausalAttention(SequenceLayer):
    """Multi-head attention of each sample to itself and the ``context`` - 1 before it.

    Costs L times ``context``, in time; memory is that of ``context`` squared, per head and batch. Raises InputError
    where ``heads`` does not divide ``width`` into even parts, or a size is below 1.
    """

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__(width)
        if min(width, heads, context) < 1 or width % heads or (width // heads) % 2:
            what = f"width={width}, heads={heads}, context={context}"
            raise InputError(
                what, where="transformer", right="a width that heads divides into even parts, context >= 1"
            )
        self.heads, self.context = heads, context
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        half = width // heads // 2
        rate = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.outer(torch.arange(2 * context, dtype=torch.float64), rate)
        self.register_buffer("turn", torch.stack([angle.cos(), angle.sin()]).float(), persistent=False)

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> AttentionState:
        """The state before any sample: an empty window."""
        shape = (batch, self.heads, self.context, self.width // self.heads)
        k, v = (self._zeros(*shape, dtype=dtype, device=device) for _ in range(2))
        return AttentionState(k, v, torch.zeros(batch, dtype=torch.int64, device=k.device))

    def _sequence(self, x: Tensor, state: AttentionState | None) -> tuple[Tensor, AttentionState]:
        length, context = x.shape[1], self.context
        q, k, v = self._split(x)
        before = 0 if state is None else context
        start = self.initial_state(x.shape[0], x.dtype, x.device) if state is None else state
        keys = k if state is None else torch.cat([state.k, k], 2)
        values = v if state is None else torch.cat([state.v, v], 2)
        # A block of queries sees its own samples and at most the context before them: the cost stays linear.
        blocks = []
        for first in range(0, length, context):
            last = min(first + context, length)
            seen = max(-before, first - context + 1)
            window = slice(seen + before, last + before)
            at = torch.arange(first, last, device=x.device)[:, None]
            of = torch.arange(seen, last, device=x.device)[None, :]
            mask = (of <= at) & (of > at - context)
            if seen < 0:
                mask = mask & (of >= -start.filled[:, None, None])
                mask = mask[:, None]
            turned = self._turned(q[:, :, first:last], first - seen)
            blocks.append(self._attend(turned, keys[:, :, window], values[:, :, window], mask))
        kept_k, kept_v = (torch.cat(x, 2)[:, :, -context:].contiguous() for x in ((start.k, k), (start.v, v)))
        filled = (start.filled + length).clamp(max=context)
        return self._merge(torch.cat(blocks, 2)), AttentionState(kept_k, kept_v, filled)

    def _sample(self, x: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        context = self.context
        q, k, v = self._split(x[:, None])
        k, v = torch.cat([state.k[:, :, 1:], k], 2), torch.cat([state.v[:, :, 1:], v], 2)
        filled = (state.filled + 1).clamp(max=context)
        at = torch.arange(context, device=x.device)
        mask = (at >= context - filled[:, None])[:, None, None]
        y = self._attend(self._turned(q, context - 1), k, v, mask)
        return self._merge(y)[:, 0], AttentionState(k, v, filled)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _turned(self, x: Tensor, first: int) -> Tensor:
        """``x`` (batch, heads, n, even) turned to the positions ``first`` and on."""
        cos, sin = self.get_buffer("turn")[:, first : first + x.shape[2]]
        a, b = x.chunk(2, dim=3)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], 3)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, self._turned(k, 0), v, attn_mask=mask)

    def _merge(self, y: Tensor) -> Tensor:
        merged: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return merged


class FeedForward(SequenceLayer):
    """A network of one hidden layer on each sample alone, ``expand`` times as wide inside."""

    def __init__(self, width: int, expand: float) -> None:
        super().__init__(width)
        hidden = int(width * expand)
        if hidden < 1:
            raise InputError(f"expand={expand}", where="transformer", right="a hidden layer of at least one unit")
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> NoState:
        """Nothing."""
        return NoState()

    def _sequence(self, x: Tensor, state: NoState | None) -> tuple[Tensor, NoState]:
        return self.net(x), NoState()

    def _sample(self, x: Tensor, state: NoState) -> tuple[Tensor, NoState]:
        return self.net(x), NoState()
