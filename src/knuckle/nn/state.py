"""The state of a layer or a stack between two samples: nested tuples of tensors, batch first, never written over.

A state is saved as named arrays, and put back only where the names, the shapes and the numbers are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knuckle.core.errors import InputError

S = TypeVar("S")


def leaves(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state with their names: fields of a named tuple, positions of a plain one, joined by dots."""
    if isinstance(state, Tensor):
        yield name, state
        return
    fields = getattr(state, "_fields", None) or tuple(str(i) for i in range(len(state)))
    for field, part in zip(fields, state, strict=True):
        yield from leaves(part, f"{name}.{field}" if name else field)


def to_arrays(state: Any) -> dict[str, NDArray[Any]]:
    """A state as named arrays, copied, to be saved."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in leaves(state)}


def from_arrays(template: S, arrays: Mapping[str, NDArray[Any]], *, where: str = "state") -> S:
    """The state that ``arrays`` hold, in the form, type and place of ``template`` (the layer's ``initial_state``).

    Any batch is taken as long as all arrays agree in it. Raises InputError where a name is missing or foreign (the
    state is of another layer), a shape differs, or a number is not finite.
    """
    wanted = dict(leaves(template))
    if set(arrays) != set(wanted):
        odd = sorted(set(arrays) ^ set(wanted))
        what = f"the state is of another layer or stack: {', '.join(odd[:4])}"
        raise InputError(what, where=where, right=f"{len(wanted)} arrays: {', '.join(list(wanted)[:4])}, ...")
    made = {}
    batches = {np.shape(array)[:1] for array in arrays.values()}
    for name, tensor in wanted.items():
        array = np.asarray(arrays[name])
        if array.shape[1:] != tuple(tensor.shape[1:]) or len(batches) > 1 or not array.shape:
            what = f"{name} has shape {array.shape}"
            raise InputError(what, where=where, right=f"(batch, {', '.join(map(str, tensor.shape[1:]))}), one batch")
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds numbers that are not finite", where=where, right="a state as it was saved")
        made[name] = torch.from_numpy(array.copy()).to(device=tensor.device, dtype=tensor.dtype)
    return _rebuild(template, iter(made.values()))


def join(states: Sequence[S]) -> S:
    """Several states as one batch, in order."""
    parts = [[tensor for _, tensor in leaves(state)] for state in states]
    return _rebuild(states[0], iter([torch.cat(tensors) for tensors in zip(*parts, strict=True)]))


def split(state: S) -> list[S]:
    """A batch of states as states of batch 1, in order."""
    tensors = [tensor for _, tensor in leaves(state)]
    return [_rebuild(state, iter([x[i : i + 1] for x in tensors])) for i in range(len(tensors[0]))]


def choose(which: Tensor, one: S, other: S) -> S:
    """For each stream of a batch the state of ``one`` where ``which`` (batch,) is true, of ``other`` elsewhere.

    With ``one`` an initial state, that begins some streams anew and leaves the rest.
    """
    pairs = zip(leaves(one), leaves(other), strict=True)
    chosen = [torch.where(which.view(-1, *[1] * (a.dim() - 1)), a, b) for (_, a), (_, b) in pairs]
    return _rebuild(one, iter(chosen))


def detached(state: S) -> S:
    """The same state without the graph that made it, for training through pieces of a long sequence."""
    return _rebuild(state, iter([tensor.detach() for _, tensor in leaves(state)]))


def check_state(state: Any, template: Any, batch: int, *, where: str) -> None:
    """InputError where ``state`` is not a batch of states of the form of ``template``: a state of another layer."""
    if type(state) is not type(template):
        what = f"the state is a {type(state).__name__}"
        raise InputError(what, where=where, right=f"a {type(template).__name__}, as initial_state gives")
    given, wanted = dict(leaves(state)), dict(leaves(template))
    if given.keys() != wanted.keys():
        odd = ", ".join(sorted(given.keys() ^ wanted.keys())[:4])
        raise InputError(f"the state is of another layer or stack: {odd}", where=where, right="a state of this one")
    for name, tensor in wanted.items():
        shape = (batch, *tensor.shape[1:])
        if tuple(given[name].shape) != shape:
            raise InputError(f"state {name} has shape {tuple(given[name].shape)}", where=where, right=f"{shape}")


def _rebuild(template: S, tensors: Iterator[Tensor]) -> S:
    if isinstance(template, Tensor):
        return cast(S, next(tensors))
    parts = [_rebuild(part, tensors) for part in cast(Any, template)]
    return cast(S, type(template)(*parts) if hasattr(template, "_fields") else tuple(parts))
