"""The families of sequence layers that a stack can be made of, and the options that each takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from knuckle.core.errors import unknown_name
from knuckle.nn.attention import CausalAttention, FeedForward
from knuckle.nn.layer import SequenceLayer
from knuckle.nn.mamba import Mamba
from knuckle.nn.mamba2 import Mamba2
from knuckle.nn.recurrent import Gru, Lstm
from knuckle.nn.s4 import S4
from knuckle.nn.s4d import S4D

Option = int | float | str | bool | None


def _lstm(width: int, backend: str) -> list[SequenceLayer]:
    return [Lstm(width)]


def _gru(width: int, backend: str) -> list[SequenceLayer]:
    return [Gru(width)]


def _mamba(
    width: int, backend: str, *, d_state: int = 16, d_conv: int = 4, expand: float = 2, dt_rank: int | str = "auto"
) -> list[SequenceLayer]:
    return [Mamba(width, d_state, d_conv, expand, dt_rank, backend=backend)]


def _mamba2(
    width: int,
    backend: str,
    *,
    d_state: int = 64,
    d_conv: int = 4,
    expand: int = 2,
    headdim: int = 64,
    ngroups: int = 1,
    chunk_size: int = 256,
) -> list[SequenceLayer]:
    layer = Mamba2(
        width,
        d_state,
        d_conv,
        expand=expand,
        headdim=headdim,
        ngroups=ngroups,
        chunk_size=chunk_size,
        backend=backend,
    )
    return [layer]


def _s4(
    width: int, backend: str, *, d_state: int = 64, dt_min: float = 0.001, dt_max: float = 0.1
) -> list[SequenceLayer]:
    return [S4(width, d_state=d_state, dt_min=dt_min, dt_max=dt_max)]


def _s4d(
    width: int, backend: str, *, d_state: int = 64, dt_min: float = 0.001, dt_max: float = 0.1
) -> list[SequenceLayer]:
    return [S4D(width, d_state, dt_min=dt_min, dt_max=dt_max)]


def _transformer(
    width: int, backend: str, *, heads: int = 4, context: int = 256, expand: float = 2
) -> list[SequenceLayer]:
    return [CausalAttention(width, heads, context), FeedForward(width, expand)]


FAMILIES: dict[str, Callable[..., list[SequenceLayer]]] = {
    "gru": _gru,
    "lstm": _lstm,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "s4": _s4,
    "s4d": _s4d,
    "transformer": _transformer,
}
"""Family to what makes the sub-layers of one layer of it, given the width, the backend, and its own options."""


def options_of(family: str) -> dict[str, Option]:
    """The options of a family with their defaults; InputError for an unknown family."""
    if family not in FAMILIES:
        raise unknown_name("family of layers", family, FAMILIES)
    parameters = inspect.signature(FAMILIES[family]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def make_layers(family: str, width: int, backend: str, options: dict[str, Option]) -> list[SequenceLayer]:
    """The sub-layers of one layer of ``family``; InputError for an unknown family or option."""
    known = options_of(family)
    for name in options:
        if name not in known:
            raise unknown_name(f"option of {family}", name, known)
    return FAMILIES[family](width, backend, **options)
