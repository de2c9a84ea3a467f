"""The selective scan in C++ against its recurrence, step by step in float64, on every instruction set."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from knuckle.core.errors import InputError
from knuckle.nn import kernels

if kernels.missing():
    pytest.skip(kernels.missing(), allow_module_level=True)

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")


def recurrence(softplus: bool, u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any, z: Any, bias: Any, h: Any) -> Any:
    """The definition, one step after the other."""
    delta = delta if bias is None else delta + bias[:, None]
    delta = F.softplus(delta) if softplus else delta
    h = u.new_zeros(u.shape[0], *A.shape) if h is None else h
    outputs = []
    for t in range(u.shape[2]):
        drive = (delta[..., t] * u[..., t])[..., None] * B[:, None, :, t]
        h = torch.exp(delta[..., t, None] * A) * h + drive
        outputs.append((h * C[:, None, :, t]).sum(-1))
    y = torch.stack(outputs, -1)
    y = y if D is None else y + D[:, None] * u
    return y if z is None else y * F.silu(z), h


def draw(batch: int, width: int, states: int, length: int, seed: int = 0) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    wide, rows = (batch, width, length), (batch, states, length)
    shapes = dict(zip(NAMES, (wide, wide, (width, states), rows, rows, (width,), wide, (width,), None), strict=True))
    shapes["initial_state"] = (batch, width, states)
    drawn = {name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()}
    drawn["A"] = -torch.exp(drawn["A"])
    return drawn


def with_gradients(run: Any, inputs: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Outputs and the gradients of a loss that weighs every element of both outputs differently."""
    leaves = {k: None if x is None else x.detach().to(dtype, copy=True).requires_grad_() for k, x in inputs.items()}
    y, last = run(**leaves)
    loss = (y * torch.cos(torch.arange(y.numel())).reshape(y.shape)).sum()
    loss = loss + (last * torch.sin(torch.arange(last.numel())).reshape(last.shape)).sum()
    loss.backward()
    grads = {f"grad of {k}": x.grad for k, x in leaves.items() if x is not None}
    return {"y": y.detach(), "last": last.detach(), **grads}


def assert_agrees(inputs: dict[str, Any], softplus: bool, dtype: Any, instructions: str, within: float) -> None:
    def ours(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any, z: Any, delta_bias: Any, initial_state: Any) -> Any:
        given = (u, delta, A, B, C, D, z, delta_bias, softplus, initial_state)
        return kernels.selective_scan(*given, instructions=instructions)

    want = with_gradients(lambda **given: recurrence(softplus, *given.values()), inputs, torch.float64)
    got = with_gradients(ours, inputs, dtype)
    for name, wanted in want.items():
        error = float((got[name].double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))
        assert got[name].dtype == dtype
        assert error < within, f"{name}: {error:.1e} on {instructions}"


@pytest.mark.parametrize("instructions", kernels.available())
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 3, 5, 7), (1, 16, 16, 32), (3, 17, 2, 33), (1, 40, 3, 64), (2, 9, 16, 131)]
)
@pytest.mark.parametrize("softplus", [False, True])
def test_values_and_gradients_are_those_of_the_recurrence(
    instructions: str, shape: tuple[int, int, int, int], softplus: bool
) -> None:
    inputs = draw(*shape)
    if not softplus:
        inputs |= {name: inputs[name].abs() for name in ("delta", "delta_bias")}  # else the recurrence would explode
    assert_agrees(inputs, softplus, torch.float64, instructions, 1e-11)
    assert_agrees(inputs, softplus, torch.float32, instructions, 1e-5)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 1000, pytest.param(4096, marks=pytest.mark.slow)])
def test_long_sequences_lose_nothing(length: int) -> None:
    assert_agrees(draw(1, 2, 3, length), True, torch.float32, "", 2e-5)


@pytest.mark.parametrize("instructions", kernels.available())
@pytest.mark.parametrize("absent", [("D",), ("z",), ("delta_bias",), ("initial_state",), NAMES[5:]])
def test_what_is_optional_may_be_absent(instructions: str, absent: tuple[str, ...]) -> None:
    inputs = draw(2, 6, 4, 40) | dict.fromkeys(absent)
    assert_agrees(inputs, True, torch.float32, instructions, 1e-5)


@pytest.mark.parametrize("instructions", kernels.available())
def test_inputs_may_lie_in_any_order(instructions: str) -> None:
    plain = {name: x.float() for name, x in draw(2, 19, 4, 50).items()}
    run = kernels.selective_scan
    want = run(*list(plain.values())[:8], True, plain["initial_state"], instructions=instructions)
    for order in [(0, 2, 1), (2, 1, 0), (1, 0, 2), (2, 0, 1)]:
        back = [order.index(k) for k in range(3)]
        lying = {k: x.permute(order).contiguous().permute(back) if x.dim() == 3 else x for k, x in plain.items()}
        assert not lying["u"].is_contiguous()
        got = run(*list(lying.values())[:8], True, lying["initial_state"], instructions=instructions)
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


def test_one_row_shared_by_a_batch_gets_the_sum_of_its_gradients() -> None:
    inputs = draw(3, 4, 2, 9) | {"B": draw(1, 4, 2, 9)["B"]}
    for name in ("y", "grad of B", "grad of u"):
        got, want = (
            with_gradients(
                lambda run=run, **given: run(**given | {"B": given["B"].expand(3, -1, -1)}), inputs, torch.float64
            )[name]
            for run in (
                lambda **given: kernels.selective_scan(delta_softplus=True, **given),
                lambda **given: recurrence(True, *given.values()),
            )
        )
        assert torch.allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize("instructions", kernels.available())
def test_a_scan_in_two_halves_is_the_whole(instructions: str) -> None:
    x = {name: value.float() for name, value in draw(2, 20, 8, 90).items()}

    def part(begin: int, end: int, state: Any) -> Any:
        cut = {k: v[..., begin:end] if k in ("u", "delta", "B", "C", "z") else v for k, v in x.items()}
        return kernels.selective_scan(*list(cut.values())[:8], True, state, instructions=instructions)

    whole, last = part(0, 90, None)
    first, middle = part(0, 41, None)
    second, end = part(41, 90, middle)
    assert torch.allclose(torch.cat([first, second], -1), whole, atol=1e-5)
    assert torch.allclose(end, last, atol=1e-5)


@pytest.mark.parametrize("instructions", kernels.available())
def test_extreme_inputs_stay_finite(instructions: str) -> None:
    inputs = draw(2, 18, 4, 70)
    inputs["delta"] = inputs["delta"] * 1e3
    inputs["A"] = inputs["A"] * torch.tensor([1e-30, 1.0, 1e4, 1e20])
    inputs["z"] = inputs["z"] * 1e3
    got = with_gradients(
        lambda **given: kernels.selective_scan(delta_softplus=True, instructions=instructions, **given),
        inputs,
        torch.float32,
    )
    want = with_gradients(lambda **given: recurrence(True, *given.values()), inputs, torch.float64)
    assert all(torch.isfinite(x).all() for x in got.values())
    for name in ("y", "last"):
        assert torch.allclose(got[name].double(), want[name], rtol=1e-4, atol=1e-4 * float(want[name].abs().max()))


@pytest.mark.parametrize("instructions", kernels.available())
def test_nan_is_not_hidden(instructions: str) -> None:
    for name in ("u", "delta", "B", "C", "z"):
        inputs = {k: x.float() for k, x in draw(1, 4, 2, 8).items()}
        inputs[name][0, 1, 3] = float("nan")
        y, _ = kernels.selective_scan(delta_softplus=True, instructions=instructions, **inputs)
        assert torch.isnan(y[0, 1, 3])
        assert not torch.isnan(y[..., :3]).any()


def test_nothing_is_kept_where_no_gradient_is_asked_for() -> None:
    inputs = {k: x.float() for k, x in draw(1, 4, 2, 8).items()}
    y, last = kernels.selective_scan(delta_softplus=True, **inputs)
    assert not y.requires_grad and not last.requires_grad
    inputs["u"].requires_grad_()
    with torch.no_grad():
        assert not kernels.selective_scan(delta_softplus=True, **inputs)[0].requires_grad


def test_second_derivatives_are_refused_rather_than_wrong() -> None:
    inputs = {k: x.requires_grad_() for k, x in draw(1, 2, 2, 5).items()}
    y, _ = kernels.selective_scan(delta_softplus=True, **inputs)
    with pytest.raises(InputError, match="the C\\+\\+ scan has no second derivatives"):
        torch.autograd.grad(y.sum(), inputs["u"], create_graph=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"u": torch.zeros(2, 3)}, r"u has shape \(2, 3\) and A \(3, 4\); u \(batch, D, L\)"),
        ({"u": torch.zeros(2, 3, 0)}, "none of them empty"),
        ({"delta": torch.zeros(2, 3, 6)}, r"delta is torch.float32 of shape \(2, 3, 6\) on cpu; .*\(2, 3, 5\)"),
        ({"B": torch.zeros(2, 3, 5)}, r"B is .*\(2, 3, 5\).*\(2, 4, 5\)"),
        ({"A": torch.zeros(4, 3)}, r"A is .*\(4, 3\).*\(3, 3\)"),
        ({"D": torch.zeros(3, dtype=torch.float64)}, "D is torch.float64 .*torch.float32"),
        ({"u": torch.zeros(2, 3, 5, dtype=torch.int32)}, "u is torch.int32; torch.float32 or torch.float64"),
        ({"C": torch.zeros(2, 4, 5, device="meta")}, "C is torch.float32 .* on meta"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_line(changed: dict[str, Any], said: str) -> None:
    inputs = {k: x.float() for k, x in draw(2, 3, 4, 5).items()} | changed
    with pytest.raises(InputError, match=said) as refused:
        kernels.selective_scan(**inputs)
    assert "\n" not in str(refused.value)
