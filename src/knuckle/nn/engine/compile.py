"""Compile a stack, or a hierarchy of two, to a program of the streaming engine."""

from __future__ import annotations

from typing import Any

from knuckle.nn.engine import lower
from knuckle.nn.engine.builder import Builder, Vector
from knuckle.nn.engine.program import Program


def compile_stack(stack: Any, *, embed: Any = None, decode: Any = None) -> Program:
    """A program for a `knuckle.nn.stack.Stack`, between two linear layers where those are given.

    Raises InputError for layers that the engine does not know.
    """
    build = Builder(stack.width if embed is None else embed.in_features)
    x = build.input if embed is None else lower.linear(build, build.input, embed)
    y = _stack(build, x, stack)
    return build.program(y if decode is None else lower.linear(build, y, decode))


def compile_hierarchy(low: Any, high: Any, chunk: int, *, staggered: bool = False) -> Program:
    """A program for two levels: ``low`` over each chunk of samples from a fresh state, ``high`` over what it ends in.

    A level has ``embed`` and ``decode``, linear, and ``blocks``, a stack. There is an output at the last sample of
    each chunk; where ``staggered``, at every sample from the first chunk's last on: ``chunk`` states of both levels
    then run side by side, each a sample behind the one before, and every output is what the plain hierarchy gives
    where its chunks end there. Raises InputError for layers that the engine does not know.
    """
    build = Builder(low.embed.in_features)
    counter = build.state(1)
    x = lower.linear(build, build.input, low.embed)
    if staggered:
        with build.holding_states("stagger", chunk, counter):
            y = _stack(build, x, low.blocks)
        with build.holding_states("phase", chunk, counter):
            result = _upper(build, y, low, high)
    else:
        begin = build.state(1)  # so that there is something to reset even where the low level keeps nothing
        reset = build.emit("reset", m=chunk, state=begin, aux=counter)
        y = _stack(build, x, low.blocks)
        reset["n"] = build.state_size - begin
        with build.holding("every", m=chunk, aux=counter):
            result = _upper(build, y, low, high)
    build.emit("tick", m=chunk, aux=counter)
    return build.program(result)


def _upper(build: Builder, y: Vector, low: Any, high: Any) -> Vector:
    """From the low level's last output of a chunk to the output."""
    x = lower.linear(build, lower.linear(build, y, low.decode), high.embed)
    return lower.linear(build, _stack(build, x, high.blocks), high.decode)


def _stack(build: Builder, x: Vector, stack: Any) -> Vector:
    """Residual blocks and a norm; ``x`` stays as it is."""
    sum_ = build.vector(x.size)
    for i, block in enumerate(stack.blocks):
        before = x if i == 0 else sum_
        with build.temporary():
            y = lower.layer(build, lower.layer_norm(build, before, block.norm), block.layer)
            build.binary("add", before, y, sum_)
    return lower.layer_norm(build, sum_, stack.norm)
