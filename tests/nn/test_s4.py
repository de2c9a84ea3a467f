"""S4 and S4D against the formulas of their papers in float64, and weights as the originals write them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from knuckle.core.errors import InputError
from knuckle.nn.hippo import legs, legs_diagonal_plus_rank_one
from knuckle.nn.s4 import S4
from knuckle.nn.s4d import S4D


def _convolved(kernel: Tensor, x: Tensor) -> Tensor:
    """Each channel of ``x`` (batch, L, H) with its kernel (H, L), lag by lag."""
    out = torch.zeros_like(x)
    for lag in range(x.shape[1]):
        out[:, lag:] += kernel[:, lag] * x[:, : x.shape[1] - lag]
    return out


def _gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def _gated(y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    a, b = (_gelu(y) @ weight.reshape(len(weight), -1).T + bias).chunk(2, dim=2)
    return a / (1 + torch.exp(-b))


def s4d_reference(layer: S4D, x: Tensor) -> Tensor:
    """Equations 2 and 3 of the S4D paper: a zero-order hold and a Vandermonde product."""
    w = {name: tensor.double() for name, tensor in layer.state_dict().items()}
    A = torch.complex(-torch.exp(w["kernel.log_A_real"]), w["kernel.A_imag"])
    C = torch.view_as_complex(w["kernel.C"])
    scaled = A * torch.exp(w["kernel.log_dt"])[:, None]
    steps = torch.arange(x.shape[1])
    kernel = 2 * torch.einsum("hn,hnl->hl", C * (torch.exp(scaled) - 1) / A, torch.exp(scaled[..., None] * steps)).real
    y = _convolved(kernel, x.double()) + x * w["D"]
    return _gated(y, w["output_linear.0.weight"], w["output_linear.0.bias"])


def s4_kernel(w: dict[str, Tensor], length: int) -> Tensor:
    """The kernel (H, L) as the original makes it of its parameters: at the roots of unity, with C~ in place of C."""
    A = torch.complex(-torch.exp(w["A_real"]), -w["A_imag"])
    P, B, C = (torch.view_as_complex(w[name])[0] for name in ("P", "B", "C"))
    times = len(C) // len(A)
    A, P, B = (x.repeat(times, 1) for x in (A, P, B))
    A, P, B, C = (torch.cat([x, x.conj()], 1) for x in (A, P, B, C))
    n = A.shape[1]
    dense = torch.diag_embed(A) - P[:, :, None] * P.conj()[:, None, :]
    half = torch.exp(w["inv_dt"])[:, :, None] / 2 * dense
    one = torch.eye(n, dtype=torch.complex128)
    step = torch.linalg.solve(one - half, one + half)
    driven = torch.linalg.solve(one - half, (torch.exp(w["inv_dt"]) * B)[:, :, None])
    tuned = int(w["l_kernel"])
    if tuned == 0:
        tuned = length
        C = (C[:, None, :] @ (one - torch.linalg.matrix_power(step, length)))[:, 0]
    roots = torch.exp(-2j * math.pi * torch.arange(tuned // 2 + 1, dtype=torch.float64) / tuned)
    spectrum = [(C[:, None, :] @ torch.linalg.solve(one - root * step, driven))[:, 0, 0] for root in roots]
    return torch.fft.irfft(torch.stack(spectrum, 1), n=tuned)[:, :length]


def s4_reference(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    w = {name: tensor.double() for name, tensor in weights.items()}
    part = "layer.kernel."
    kernel = s4_kernel({k.removeprefix(part): v for k, v in w.items() if k.startswith(part)}, x.shape[1])
    y = _convolved(kernel, x.double()) + x * w["layer.D"][0]
    return _gated(y, w["output_linear.0.weight"], w["output_linear.0.bias"])


@pytest.mark.parametrize(("width", "states", "length"), [(5, 64, 200), (3, 2, 1), (4, 6, 33)])
def test_s4d_computes_what_its_paper_says(width: int, states: int, length: int):
    torch.manual_seed(0)
    layer, x = S4D(width, states), torch.randn(2, length, width)
    assert (layer(x).double() - s4d_reference(layer, x)).abs().max() < 1e-5


@pytest.mark.parametrize(("width", "states", "length", "copies"), [(5, 64, 200, None), (4, 4, 2, 2), (6, 8, 33, 1)])
def test_s4_computes_what_its_paper_says(width: int, states: int, length: int, copies: int | None):
    torch.manual_seed(0)
    layer, x = S4(width, d_state=states, n_ssm=copies), torch.randn(2, length, width)
    assert (layer(x).double() - s4_reference(layer.state_dict(), x)).abs().max() < 1e-5


@pytest.mark.parametrize("tuned", [10, 64, 320])
def test_weights_that_were_trained_at_some_kernel_length_go_on_at_any(tuned: int):
    """What the original wrote over C while it trained is undone: the kernel is the same, shorter and longer."""
    torch.manual_seed(0)
    layer, x = S4(4, d_state=16), torch.randn(1, 50, 4)
    wanted = layer(x)
    theirs = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    kernel = layer.layer.kernel
    system = kernel.system()
    dense = torch.linalg.matrix_power(_step_matrix(system), tuned)
    tilde = system.c - (system.c[:, None, :] @ dense)[:, 0]
    re, im = tilde.chunk(2, dim=1)
    theirs["layer.kernel.C"] = torch.stack([re / 2, -im / 2], 2)[None].float()
    theirs["layer.kernel.l_kernel"] = torch.tensor(tuned)
    if tuned >= 50:
        assert (s4_reference(theirs, x) - wanted).abs().max() < 1e-4
    again = S4(4, d_state=16)
    again.load_state_dict(theirs)
    assert again.layer.kernel.l_kernel == 0
    assert (again(x) - wanted).abs().max() < 1e-4


def _step_matrix(system) -> Tensor:
    turn = torch.complex(1 + system.f_re, system.f_im)
    re, im = torch.diag_embed(turn.real), torch.diag_embed(turn.imag)
    whole = torch.cat([torch.cat([re, -im], 2), torch.cat([im, re], 2)], 1)
    return whole - system.p[:, :, None] * system.q[:, None, :]


def test_weights_of_hiss_are_taken_with_their_output_map_as_a_convolution():
    torch.manual_seed(0)
    layer, again, x = S4(4, d_state=8), S4(4, d_state=8), torch.randn(1, 9, 4)
    theirs = layer.state_dict()
    theirs["output_linear.0.weight"] = theirs["output_linear.0.weight"][:, :, None]
    again.load_state_dict(theirs)
    assert torch.equal(again(x), layer(x))


def test_state_dicts_are_those_of_the_originals():
    shapes = {name: tuple(tensor.shape) for name, tensor in S4(128).state_dict().items()}
    assert shapes == {
        "layer.D": (1, 128),
        "layer.kernel.inv_dt": (128, 1),
        "layer.kernel.C": (1, 128, 32, 2),
        "layer.kernel.B": (1, 128, 32, 2),
        "layer.kernel.P": (1, 128, 32, 2),
        "layer.kernel.A_real": (128, 32),
        "layer.kernel.A_imag": (128, 32),
        "layer.kernel.l_kernel": (),
        "output_linear.0.weight": (256, 128),
        "output_linear.0.bias": (256,),
    }
    assert S4(8, n_ssm=2).layer.kernel.A_real.shape == (2, 32)
    shapes = {name: tuple(tensor.shape) for name, tensor in S4D(128).state_dict().items()}
    assert shapes == {
        "D": (128,),
        "kernel.C": (128, 32, 2),
        "kernel.log_dt": (128,),
        "kernel.log_A_real": (128, 32),
        "kernel.A_imag": (128, 32),
        "output_linear.0.weight": (256, 128, 1),
        "output_linear.0.bias": (256,),
    }


@pytest.mark.parametrize("states", [4, 16, 64])
def test_the_complex_form_of_hippo_is_hippo(states: int):
    """The Markov parameters B^T A^k B, which no change of basis alters, and the trace."""
    A, B = legs(states)
    diagonal, P, B_half = legs_diagonal_plus_rank_one(states, clip=math.inf)
    assert (diagonal.imag < 0).all()
    both = [torch.cat([x, x.conj()]) for x in (diagonal, P, B_half)]
    form = torch.diag(both[0]) - torch.outer(both[1], both[1].conj())
    assert torch.allclose(form.trace().real, A.trace())
    x, z = B, both[2]
    for _ in range(5):
        assert torch.allclose((both[2].conj() @ z).real, B @ x, rtol=1e-9)
        x, z = A @ x, form @ z
    clipped = legs_diagonal_plus_rank_one(states)[2]
    assert clipped.imag.abs().max() <= 2.0


def test_they_begin_as_the_originals_do():
    torch.manual_seed(0)
    kernel = S4(64, dt_min=0.01, dt_max=0.2).layer.kernel
    dt = torch.exp(kernel.inv_dt.detach())
    assert 0.01 * 0.999 <= dt.min() < 0.02 and 0.1 < dt.max() <= 0.2 * 1.001
    assert torch.allclose(torch.exp(kernel.A_real), torch.tensor(0.5))
    assert 0.6 < kernel.C.detach().square().sum(3).mean() < 1.4
    kernel = S4D(64).kernel
    assert torch.allclose(torch.exp(kernel.log_A_real), torch.tensor(0.5))
    assert torch.allclose(kernel.A_imag[3], math.pi * torch.arange(32.0))


def test_the_wishes_for_an_optimiser_are_kept_and_a_rate_of_zero_means_a_constant():
    kernel = S4(4, d_state=8, lr=1e-3).layer.kernel
    assert kernel.inv_dt._optim == {"lr": 1e-3, "weight_decay": 0.0}
    assert kernel.C._optim == {}
    fixed = S4D(4, lr=0.0)
    assert {name for name, _ in fixed.kernel.named_parameters()} == {"C"}
    assert set(fixed.state_dict()) == set(S4D(4).state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S4(4, d_state=7), "d_state=7.*an even d_state"),
        (lambda: S4(4, n_ssm=3), "n_ssm=3.*divides d_model"),
        (lambda: S4(4, init="fout"), "init='fout'; init='legs', the only one built"),
        (lambda: S4(4, bidirectional=True), "bidirectional=True; bidirectional=False"),
        (lambda: S4(4, dstate=3), "unknown argument 'dstate'"),
        (lambda: S4(4, transposed=True), "transposed=True"),
        (lambda: S4D(4, 7), "d_state=7.*an even d_state"),
        (lambda: S4D(4, transposed=True), "transposed=True"),
        (lambda: S4D(4, dt_min=0.2), "dt_min=0.2.*dt_min <= dt_max"),
    ],
)
def test_arguments_that_make_no_layer_are_refused(make, message: str):
    with pytest.raises(InputError, match=message):
        make()
