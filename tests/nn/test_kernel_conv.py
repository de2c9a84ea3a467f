"""The causal filter in C++ against torch's convolution in float64, values and gradients, on every instruction set."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from knuckle.core.errors import InputError
from knuckle.nn import kernels

if kernels.missing():
    pytest.skip(kernels.missing(), allow_module_level=True)

NAMES = ("x", "weight", "bias", "before")


def definition(x: Any, weight: Any, bias: Any, before: Any) -> Any:
    padded = torch.cat([before[:, :, 1:], x], 2)
    return F.silu(F.conv1d(padded, weight[:, None], bias, groups=len(weight)))


def draw(batch: int, channels: int, taps: int, length: int) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(0)
    shapes = ((batch, channels, length), (channels, taps), (channels,), (batch, channels, taps))
    return {
        name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in zip(NAMES, shapes, strict=True)
    }


def with_gradients(run: Any, inputs: dict[str, Any], dtype: Any) -> list[Any]:
    leaves = [x.to(dtype, copy=True).requires_grad_() for x in inputs.values()]
    y = run(*leaves)
    (y * torch.cos(torch.arange(y.numel())).reshape(y.shape)).sum().backward()
    return [y.detach(), *(x.grad for x in leaves)]


@pytest.mark.parametrize("instructions", kernels.available())
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 5, 4, 3), (3, 16, 4, 40), (1, 37, 2, 9), (2, 64, 7, 5)])
def test_values_and_gradients_are_those_of_the_convolution(instructions: str, shape: tuple[int, int, int, int]) -> None:
    inputs = draw(*shape)
    want = with_gradients(definition, inputs, torch.float64)
    for dtype, within in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        got = with_gradients(lambda *x: kernels.causal_conv(*x, instructions=instructions), inputs, dtype)
        for name, mine, wanted in zip(("y", *NAMES), got, want, strict=True):
            assert mine.dtype == dtype
            assert float((mine.double() - wanted).abs().max()) <= within * max(1.0, float(wanted.abs().max())), name


def test_channels_are_contiguous_in_what_comes_out_however_they_lie() -> None:
    inputs = {name: x.float() for name, x in draw(2, 21, 4, 30).items()}
    plain = kernels.causal_conv(**inputs)
    x = inputs["x"]
    for lying in (x.transpose(1, 2).contiguous().transpose(1, 2), torch.cat([x, x], 1).transpose(1, 2)[..., 21:].mT):
        got = kernels.causal_conv(**inputs | {"x": lying})
        assert torch.equal(got, plain)
        assert got.stride(1) == 1


def test_what_is_before_and_the_bias_may_be_absent() -> None:
    inputs = draw(2, 3, 4, 6)
    zeros = {"bias": torch.zeros(3).double(), "before": torch.zeros(2, 3, 4).double()}
    got = kernels.causal_conv(inputs["x"], inputs["weight"], None, None)
    assert torch.allclose(got, definition(**inputs | zeros))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"x": torch.zeros(2, 3)}, r"x has shape \(2, 3\)"),
        ({"weight": torch.zeros(3, 65)}, "1 to 64 taps"),
        ({"bias": torch.zeros(4)}, r"bias is torch.float32 of shape \(4,\)"),
        ({"before": torch.zeros(2, 3, 3)}, r"before is .*\(2, 3, 4\)"),
        ({"weight": torch.zeros(3, 4).double()}, "weight is torch.float64"),
        ({"x": torch.zeros(2, 3, 5, dtype=torch.int64)}, "float32 or float64"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_line(changed: dict[str, Any], said: str) -> None:
    inputs = {k: x.float() for k, x in draw(2, 3, 4, 5).items()} | changed
    with pytest.raises(InputError, match=said) as refused:
        kernels.causal_conv(**inputs)
    assert "\n" not in str(refused.value)
