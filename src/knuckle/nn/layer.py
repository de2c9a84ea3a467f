"""What every sequence layer offers: a whole sequence at once, or sample by sample with an explicit state."""

from __future__ import annotations

import abc
import functools
from typing import Any

import torch
from torch import Tensor, nn

from knuckle.core.errors import InputError
from knuckle.nn.state import check_state


class SequenceLayer(nn.Module, abc.ABC):
    """A causal map of sequences of ``width`` channels, (batch, L, width) to the same shape.

    Feeding the samples of a sequence one by one gives what ``forward`` gives for all of it (dropout aside), from any
    state. A state is a named tuple of tensors, batch first, and is never written over: keep it, copy it, batch it with
    knuckle.nn.state. Every method raises InputError for a wrong width or a state of another layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, state: Any = None) -> Tensor:
        """The output (batch, L, width) for ``x`` (batch, L, width), after ``state`` or from the beginning."""
        self._check_sequence(x, state)
        return self._outputs(x, state)

    def forward_with_state(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """``forward``, and the state after the last sample."""
        self._check_sequence(x, state)
        return self._sequence(x, state)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The output (batch, width) for one sample ``x`` (batch, width), and the state after it."""
        where = type(self).__name__
        if x.dim() != 2 or x.shape[1] != self.width:
            raise InputError(f"the sample has shape {tuple(x.shape)}", where=where, right=f"(batch, {self.width})")
        check_state(state, self._form, x.shape[0], where=where)
        return self._sample(x, state)

    @abc.abstractmethod
    def initial_state(
        self, batch: int = 1, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Any:
        """The state before any sample; of the parameters' type and device where none is given."""

    @abc.abstractmethod
    def _sequence(self, x: Tensor, state: Any) -> tuple[Tensor, Any]: ...

    @abc.abstractmethod
    def _sample(self, x: Tensor, state: Any) -> tuple[Tensor, Any]: ...

    def _outputs(self, x: Tensor, state: Any) -> Tensor:
        """``_sequence`` without the state after it, for layers where that is cheaper."""
        return self._sequence(x, state)[0]

    def _check_sequence(self, x: Tensor, state: Any) -> None:
        where = type(self).__name__
        if x.dim() != 3 or x.shape[2] != self.width or x.shape[1] == 0:
            raise InputError(f"the input has shape {tuple(x.shape)}", where=where, right=f"(batch, L, {self.width})")
        if state is not None:
            check_state(state, self._form, x.shape[0], where=where)

    @functools.cached_property
    def _form(self) -> Any:
        """A state without numbers, to hold others against."""
        return self.initial_state(1, device="meta")

    def _zeros(self, *shape: int, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
        like = next(self.parameters())
        return torch.zeros(shape, dtype=dtype or like.dtype, device=device or like.device)
