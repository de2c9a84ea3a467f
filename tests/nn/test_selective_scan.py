"""The selective scan against a float64 reference that takes one step after another: values, gradients, refusals."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn import backend, scan_torch
from knuckle.nn.selective_scan import selective_scan
from tests.nn import sequential

LENGTHS = [1, 2, 3, 7, 31, 33, 64, 100, 257, 1000, pytest.param(4096, marks=pytest.mark.slow)]
SIZES = [(2, 5, 3), (1, 7, 16), (3, 16, 1)]


def _gradients(outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of one weighted sum of all outputs, the same weights for the same shapes."""
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs:
        total = total + (output.double() * torch.randn(output.shape, generator=generator, dtype=torch.float64)).sum()
    return torch.autograd.grad(total, inputs)


def _run(function, tensors: Sequence[Tensor], **more: object) -> tuple[Sequence[Tensor], tuple[Tensor, ...]]:
    inputs = [x.clone().requires_grad_() for x in tensors]
    outputs = function(*inputs[:8], delta_softplus=True, initial_state=inputs[8], **more)
    return [x.detach() for x in outputs], _gradients(outputs, inputs)


def _agree(got: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float) -> None:
    for mine, reference in zip(got, wanted, strict=True):
        scale = reference.abs().max().clamp(min=1.0)
        assert ((mine.double() - reference).abs().max() / scale).item() < tolerance


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("size", SIZES)
def test_values_and_gradients_are_those_of_the_recurrence_at_every_length(length: int, size: tuple[int, int, int]):
    tensors = sequential.scan_inputs(*size, length)
    outputs, gradients = _run(sequential.selective_scan, tensors)
    exact, exact_gradients = _run(selective_scan, tensors, backend="torch")
    _agree([*exact, *exact_gradients], [*outputs, *gradients], 1e-12)
    single, single_gradients = _run(selective_scan, [x.float() for x in tensors], backend="torch")
    _agree(single, outputs, 1e-5)
    _agree(single_gradients, gradients, 1e-5)


def test_a_sequence_of_many_chunks_equals_one_of_a_single_chunk(monkeypatch: pytest.MonkeyPatch):
    tensors = sequential.scan_inputs(2, 5, 3, 50)
    whole = _run(selective_scan, tensors, backend="torch")
    for elements in (1, 7 * 30, 50 * 30 - 1):
        monkeypatch.setattr(scan_torch, "CHUNK_ELEMENTS", elements)
        outputs, gradients = _run(selective_scan, tensors, backend="torch")
        _agree([*outputs, *gradients], [*whole[0], *whole[1]], 1e-12)


def test_the_gradient_passes_from_a_later_piece_into_an_earlier_one_through_the_state():
    tensors = sequential.scan_inputs(2, 5, 3, 40)
    whole = _run(selective_scan, tensors, backend="torch")

    def two_pieces(u, delta, A, B, C, D, z, bias, delta_softplus, initial_state):
        cut = [[x[..., :13], x[..., 13:]] for x in (u, delta, B, C, z)]
        first, state = selective_scan(*_at(cut, 0, A, D, bias), delta_softplus, initial_state, "torch")
        second, state = selective_scan(*_at(cut, 1, A, D, bias), delta_softplus, state, "torch")
        return torch.cat([first, second], 2), state

    outputs, gradients = _run(two_pieces, tensors)
    _agree([*outputs, *gradients], [*whole[0], *whole[1]], 1e-12)


def _at(cut: list[list[Tensor]], i: int, A: Tensor, D: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    u, delta, B, C, z = (x[i] for x in cut)
    return u, delta, A, B, C, D, z, bias


def test_what_is_left_out_is_left_out():
    u, delta, A, B, C, *_ = sequential.scan_inputs(2, 5, 3, 20)
    delta = delta.abs()
    got = selective_scan(u, delta, A, B, C, backend="torch")
    _agree(got, sequential.selective_scan(u, delta, A, B, C), 1e-12)


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**31))
def test_the_output_is_linear_in_the_input_and_the_state_together(batch, width, states, length, seed):
    u, delta, A, B, C, D, z, bias, state = sequential.scan_inputs(batch, width, states, length, seed)
    one = selective_scan(u, delta, A, B, C, D, z, bias, True, state, "torch")
    three = selective_scan(3 * u, delta, A, B, C, D, z, bias, True, 3 * state, "torch")
    _agree(three, [3 * x for x in one], 1e-12)


def test_the_output_never_looks_ahead():
    tensors = sequential.scan_inputs(1, 4, 3, 30)
    changed = [x.clone() for x in tensors]
    for i in (0, 1, 3, 4, 6):
        changed[i][..., 17:] += 1.0
    before = selective_scan(*tensors[:8], True, backend="torch")[0]
    after = selective_scan(*changed[:8], True, backend="torch")[0]
    assert torch.equal(before[..., :17], after[..., :17])
    assert not torch.allclose(before[..., 17:], after[..., 17:])


@pytest.mark.parametrize("wrong", ["delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state"])
def test_a_tensor_of_another_shape_is_refused_by_name(wrong: str):
    names = ["u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state"]
    given = dict(zip(names, sequential.scan_inputs(2, 5, 3, 8), strict=True))
    given[wrong] = torch.cat([given[wrong]] * 2)
    with pytest.raises(InputError, match=rf"^selective_scan: {wrong} has shape .*, as u is \(2, 5, 8\)"):
        selective_scan(**given)


def test_backends_that_cannot_run_say_what_is_missing():
    tensors = sequential.scan_inputs(1, 2, 2, 4)
    with pytest.raises(
        InputError,
        match="backend 'mamba_ssm' cannot run: (mamba_ssm|selective_scan_cuda|its kernels need CUDA)",
    ):
        selective_scan(*tensors[:5], backend="mamba_ssm")
    with pytest.raises(InputError, match=r"backend 'cpp' cannot run: the C\+\+ kernel needs tensors on the CPU"):
        selective_scan(*(x.to("meta") for x in tensors[:5]), backend="cpp")
    with pytest.raises(InputError, match="unknown backend 'numpy'; known: auto, cpp, mamba_ssm, torch"):
        selective_scan(*tensors[:5], backend="numpy")


def test_auto_takes_torch_where_the_kernels_are_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend, "_original", lambda kernels: "not installed")
    monkeypatch.setattr(backend, "_ours", lambda: "no compiler")
    cpu = torch.device("cpu")
    assert backend.resolve("auto", cpu) == "torch"
    with pytest.raises(InputError, match="backend 'cpp' cannot run: no compiler"):
        backend.resolve("cpp", cpu)
    monkeypatch.setattr(backend, "_ours", lambda: "")
    assert backend.resolve("auto", cpu) == "cpp"
    assert backend.resolve("auto", cpu, "ssd") == "torch"
    with pytest.raises(InputError, match="no C\\+\\+ kernel for the scan of Mamba-2"):
        backend.resolve("cpp", cpu, "ssd")
    monkeypatch.setattr(backend, "_original", lambda kernels: "")
    assert backend.resolve("auto", torch.device("cuda")) == "mamba_ssm"
    assert backend.resolve("auto", cpu) == "cpp"
    assert backend.resolve("auto", cpu, "ssd") == "torch"
    with pytest.raises(InputError, match="no C\\+\\+ kernel for the scan of Mamba-2"):
        backend.resolve("cpp", cpu, "ssd")
