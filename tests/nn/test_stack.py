"""What holds for every family of layers: a stream equals the whole, a state is kept, put back, batched and refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn import state as states
from knuckle.nn.families import FAMILIES, options_of
from knuckle.nn.stack import Stack, make_stack

SMALL: dict[str, dict[str, int]] = {
    "mamba": {"d_state": 5},
    "mamba2": {"d_state": 5, "headdim": 6, "ngroups": 2},
    "s4": {"d_state": 8},
    "s4d": {"d_state": 6},
    "transformer": {"heads": 2, "context": 16},
}
WIDTH = 12


def _stack(family: str, layers: int = 2) -> Stack:
    torch.manual_seed(0)
    return make_stack(family, WIDTH, layers, **SMALL.get(family, {})).eval()


def _samples(length: int, batch: int = 3, seed: int = 1) -> Tensor:
    return torch.randn(batch, length, WIDTH, generator=torch.Generator().manual_seed(seed))


def _stream(stack: Stack, x: Tensor, state: object) -> tuple[Tensor, object]:
    outputs = []
    for sample in x.unbind(1):
        y, state = stack.step(sample, state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


def _equal(one: object, other: object, tolerance: float = 1e-5) -> None:
    for (name, a), (also, b) in zip(states.leaves(one), states.leaves(other), strict=True):
        assert name == also
        assert (a - b).abs().max() < tolerance, name


every_family = pytest.mark.parametrize("family", sorted(FAMILIES))


@every_family
@torch.no_grad()
def test_sample_by_sample_equals_the_whole_sequence_from_the_start_and_from_any_state(family: str):
    stack, x = _stack(family), _samples(90)
    whole, end = stack.forward_with_state(x)
    assert torch.equal(stack(x), whole)
    _equal(stack(x[:, :30]), whole[:, :30])
    streamed, after = _stream(stack, x, stack.initial_state(3))
    _equal(streamed, whole)
    _equal(after, end)
    first, middle = stack.forward_with_state(x[:, :37])
    second, after = stack.forward_with_state(x[:, 37:40], middle)
    third, after = _stream(stack, x[:, 40:70], after)
    fourth, after = stack.forward_with_state(x[:, 70:], after)
    _equal(torch.cat([first, second, third, fourth], 1), whole)
    _equal(after, end)


@every_family
@torch.no_grad()
def test_many_samples_later_the_stream_still_equals_the_whole(family: str):
    stack, x = _stack(family, 1), _samples(400, batch=1)
    _equal(_stream(stack, x, stack.initial_state())[0], stack(x))


@every_family
@torch.no_grad()
def test_a_state_saved_as_arrays_and_put_back_goes_on_with_the_same_numbers(family: str):
    stack, x = _stack(family), _samples(30)
    _, middle = stack.forward_with_state(x[:, :20])
    arrays = states.to_arrays(middle)
    wanted, _ = _stream(stack, x[:, 20:], middle)
    restored = states.from_arrays(stack.initial_state(), arrays)
    assert torch.equal(_stream(stack, x[:, 20:], restored)[0], wanted)
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


@every_family
@torch.no_grad()
def test_streams_of_one_batch_do_not_touch_each_other(family: str):
    stack, x = _stack(family), _samples(24)
    alone = [stack.forward_with_state(x[i : i + 1, :16]) for i in range(3)]
    together = states.join([state for _, state in alone])
    y, after = stack.step(x[:, 16], together)
    for i, part in enumerate(states.split(after)):
        one, one_after = stack.step(x[i : i + 1, 16], alone[i][1])
        _equal(y[i : i + 1], one)
        _equal(part, one_after)


@every_family
@torch.no_grad()
def test_one_stream_of_a_batch_begins_anew_and_the_others_go_on(family: str):
    stack, x = _stack(family), _samples(12)
    _, state = stack.forward_with_state(x[:, :8])
    some = states.choose(torch.tensor([False, True, False]), stack.initial_state(3), state)
    y, _ = stack.forward_with_state(x[:, 8:], some)
    whole = stack(x)[:, 8:]
    _equal(y[[0, 2]], whole[[0, 2]])
    _equal(y[1:2], stack(x[1:2, 8:]))


@every_family
@torch.no_grad()
def test_a_step_leaves_the_state_it_was_given_as_it_was(family: str):
    stack, x = _stack(family), _samples(3)
    _, state = stack.forward_with_state(x)
    before = states.to_arrays(state)
    stack.step(x[:, 0], state)
    stack.forward_with_state(x, state)
    for name, array in states.to_arrays(state).items():
        np.testing.assert_array_equal(array, before[name])


@every_family
def test_no_output_depends_on_a_later_sample_and_the_last_one_on_all(family: str):
    stack, x = _stack(family), _samples(25, batch=1).requires_grad_()
    weight = torch.randn(WIDTH, generator=torch.Generator().manual_seed(2))
    (seen,) = torch.autograd.grad((stack(x)[:, 11] * weight).sum(), x)
    assert (seen[:, 12:] == 0).all()
    assert (seen[:, :12].abs().amax(2) > 0).all()


@every_family
def test_every_parameter_learns(family: str):
    stack = _stack(family)
    (stack(_samples(20)) * _samples(20, seed=3)).sum().backward()
    still = [name for name, p in stack.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still


@every_family
def test_the_gradient_goes_on_through_a_state_until_it_is_detached(family: str):
    stack, x = _stack(family, 1), _samples(20).requires_grad_()
    _, state = stack.forward_with_state(x)
    (seen,) = torch.autograd.grad(stack(_samples(5, seed=4), state).square().sum(), x, retain_graph=True)
    assert seen.abs().sum() > 0
    assert all(not tensor.requires_grad for _, tensor in states.leaves(states.detached(state)))


@every_family
def test_dropout_acts_in_training_alone(family: str):
    torch.manual_seed(0)
    stack, x = make_stack(family, WIDTH, 1, dropout=0.5, **SMALL.get(family, {})), _samples(10)
    assert not torch.equal(stack.train()(x), stack(x))
    assert torch.equal(stack.eval()(x), stack(x))


@every_family
def test_what_is_no_input_or_no_state_of_this_stack_is_refused_in_one_line(family: str):
    stack = _stack(family)
    state = stack.initial_state(3)
    with pytest.raises(InputError, match=rf"the input has shape \(3, 5, 11\); \(batch, L, {WIDTH}\)"):
        stack(_samples(5)[:, :, 1:])
    with pytest.raises(InputError, match=r"the input has shape \(3, 0, 12\)"):
        stack(_samples(5)[:, :0])
    with pytest.raises(InputError, match=r"the sample has shape \(3, 5, 12\)"):
        stack.step(_samples(5), state)
    with pytest.raises(InputError, match="state .* has shape"):
        stack.step(_samples(1, batch=2)[:, 0], state)
    with pytest.raises(InputError, match="a state of this one|has shape"):
        stack.step(_samples(1)[:, 0], _stack(family, 3).initial_state(3))
    with pytest.raises(InputError, match="the state is a "):
        stack.step(_samples(1)[:, 0], None)
    other = _stack("gru" if family != "gru" else "lstm").initial_state(3)
    with pytest.raises(InputError, match="the state is of another layer or stack"):
        stack.step(_samples(1)[:, 0], other)


@every_family
def test_arrays_that_are_no_state_of_this_stack_are_refused_in_one_line(family: str):
    stack = _stack(family)
    arrays = states.to_arrays(stack.initial_state(3))
    template = stack.initial_state()
    name = next(iter(arrays))
    with pytest.raises(InputError, match=rf"s.npz: {name} holds numbers that are not finite"):
        states.from_arrays(template, arrays | {name: np.full_like(arrays[name], np.nan, dtype=float)}, where="s.npz")
    with pytest.raises(InputError, match=rf"{name} has shape"):
        states.from_arrays(template, arrays | {name: arrays[name][:, :-1]})
    with pytest.raises(InputError, match=r"has shape .*one batch"):
        states.from_arrays(template, arrays | {name: arrays[name][:-1]})
    with pytest.raises(InputError, match=f"the state is of another layer or stack: {name}"):
        states.from_arrays(template, {key: value for key, value in arrays.items() if key != name})


class _Step(torch.nn.Module):
    """One step with the tensors of the state as plain arguments and results, as a graph has them."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack

    def forward(self, x: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        y, after = self.stack.step(x, _filled(self.stack.initial_state(), iter(parts)))
        return y, *[tensor for _, tensor in states.leaves(after)]


def _filled(template, parts):
    if isinstance(template, Tensor):
        return next(parts)
    made = [_filled(part, parts) for part in template]
    return type(template)(*made) if hasattr(template, "_fields") else tuple(made)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first export of a process imports for ten seconds, and longer on a busy machine
@every_family
@torch.no_grad()
def test_a_step_can_be_exported_as_a_graph_of_real_numbers(family: str):
    stack = _stack(family, 1)
    x, state = _samples(1)[:, 0], stack.forward_with_state(_samples(7))[1]
    parts = [tensor for _, tensor in states.leaves(state)]
    program = torch.export.export(_Step(stack), (x, *parts))
    values = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert values and not any(value.is_complex() for value in values)
    for got, wanted in zip(program.module()(x, *parts), _Step(stack)(x, *parts), strict=True):
        assert torch.allclose(got, wanted, atol=1e-6)


def test_a_stack_that_cannot_be_made_is_refused_and_what_can_be_is_listed():
    with pytest.raises(InputError, match="unknown family of layers 'manba'; did you mean 'mamba'"):
        make_stack("manba", 8, 1)
    with pytest.raises(InputError, match="unknown option of mamba 'dstate'; did you mean 'd_state'"):
        make_stack("mamba", 8, 1, dstate=3)
    with pytest.raises(InputError, match="layers=0"):
        make_stack("gru", 8, 0)
    with pytest.raises(InputError, match="dropout=1"):
        make_stack("gru", 8, 1, dropout=1.0)
    with pytest.raises(InputError, match="unknown backend"):
        make_stack("gru", 8, 1, backend="jax")


def test_a_stack_says_how_to_make_it_again():
    stack = _stack("mamba")
    assert (stack.family, stack.width, stack.layers) == ("mamba", WIDTH, 2)
    assert stack.options == options_of("mamba") | {"d_state": 5}
    again = make_stack(stack.family, stack.width, stack.layers, **stack.options)
    again.load_state_dict(stack.state_dict())
    assert torch.equal(again.eval()(_samples(9)), stack(_samples(9)))
