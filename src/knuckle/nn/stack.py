"""Stacks of sequence layers with one face for every family: pre-norm residual blocks and a norm at the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn.backend import check_backend
from knuckle.nn.families import Option, make_layers, options_of
from knuckle.nn.layer import SequenceLayer

StackState = tuple[Any, ...]
"""The states of the blocks of a stack, from the first to the last."""


class Block(nn.Module):
    """x + dropout(layer(norm(x))): one residual block around a sequence layer."""

    def __init__(self, layer: SequenceLayer, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(layer.width)
        self.layer = layer
        self.dropout = nn.Dropout(dropout)


class Stack(SequenceLayer):
    """Residual blocks one after another and a LayerNorm, (batch, L, width) to the same shape.

    ``family``, ``layers`` and ``options`` (all of them, defaults too) are kept as attributes: with ``width`` they say
    how to make the stack again. ``blocks`` hold ``norm`` and ``layer``; a layer of some families is two blocks.
    """

    def __init__(
        self, family: str, width: int, layers: int, dropout: float, backend: str, options: dict[str, Option]
    ) -> None:
        super().__init__(width)
        if width < 1 or layers < 1 or not 0 <= dropout < 1:
            what = f"width={width}, layers={layers}, dropout={dropout}"
            raise InputError(what, where="stack", right="width and layers of at least 1, dropout from 0 to below 1")
        self.family, self.layers, self.options = family, layers, {**options_of(family), **options}
        made = [layer for _ in range(layers) for layer in make_layers(family, width, check_backend(backend), options)]
        self.blocks = nn.ModuleList([Block(layer, dropout) for layer in made])
        self.norm = nn.LayerNorm(width)

    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> StackState:
        """The states of all blocks before any sample."""
        return tuple(block.layer.initial_state(batch, dtype, device) for block in self._each())

    def _sequence(self, x: Tensor, state: StackState | None) -> tuple[Tensor, StackState]:
        after = []
        for i, block in enumerate(self._each()):
            y, now = block.layer._sequence(block.norm(x), None if state is None else state[i])
            x = x + block.dropout(y)
            after.append(now)
        return self.norm(x), tuple(after)

    def _outputs(self, x: Tensor, state: StackState | None) -> Tensor:
        for i, block in enumerate(self._each()):
            x = x + block.dropout(block.layer._outputs(block.norm(x), None if state is None else state[i]))
        y: Tensor = self.norm(x)
        return y

    def _sample(self, x: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        after = []
        for block, before in zip(self._each(), state, strict=True):
            y, now = block.layer._sample(block.norm(x), before)
            x = x + block.dropout(y)
            after.append(now)
        return self.norm(x), tuple(after)

    def _each(self) -> list[Block]:
        return list(self.blocks)  # type: ignore[arg-type]


def make_stack(
    family: str, width: int, layers: int, *, dropout: float = 0.1, backend: str = "auto", **options: Option
) -> Stack:
    """A stack of ``layers`` layers of ``family`` (a key of knuckle.nn.families.FAMILIES), ``width`` channels wide.

    ``options`` are the family's own (knuckle.nn.families.options_of). ``dropout`` acts on what each block adds, in
    training alone. Raises InputError for an unknown family, option or backend, and for sizes out of range.
    """
    return Stack(family, width, layers, dropout, backend, options)
