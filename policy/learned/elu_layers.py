"""Linear layers with ELU, forward and backward by hand, over few rows at a time so that what is between stays in cache.

The arithmetic is autograd's. What is saved is its bookkeeping, and fresh memory for every layer of every minibatch,
which the system hands out page by page: that and the way to main memory cost as much as the multiplications.
Needs extra ``learn``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

_ELU_BACKWARD = torch.ops.aten.elu_backward.grad_input


class EluLayers:
    """The layers ``linear``, each with ELU (alpha 1) after it, for up to ``rows`` rows at once.

    ``gradients`` are (weight, bias) of each layer, what `backward` has added up since `clear`.
    """

    def __init__(self, linear: Sequence[nn.Linear], rows: int) -> None:
        self.linear = list(linear)
        like = self.linear[0].weight.detach()
        units = [part.out_features for part in self.linear]
        # The other way round in memory than the weights: a third faster where the input's width is no power of two.
        self.gradients = [(torch.zeros_like(p.weight.detach().t()).t(), torch.zeros_like(p.bias)) for p in self.linear]
        self._ones = like.new_ones(rows)
        self._out = [like.new_empty(rows, width) for width in units]
        self._back = [like.new_empty(rows, width) for width in units]
        self._below = [like.new_empty(rows, width) for width in units]

    @property
    def top(self) -> torch.Tensor:
        """Room (rows, units) for the gradient that `backward` begins with."""
        return self._back[-1]

    def clear(self) -> None:
        """Forget the gradients."""
        for pair in self.gradients:
            for gradient in pair:
                gradient.zero_()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """What the last layer makes of ``rows`` (n, width): (n, units), valid until the next call."""
        n = len(rows)
        for part, whole, low in zip(self.linear, self._out, self._below, strict=True):
            out, below = whole[:n], low[:n]
            torch.addmm(part.bias.detach(), rows, part.weight.detach().t(), out=out)
            # exp(0) - 1 is 0 where x > 0, and exp(x) - 1 > x elsewhere: ELU is the larger of the two.
            torch.clamp_max(out, 0.0, out=below)
            values = below.numpy()
            np.exp(values, out=values)
            below.sub_(1.0)
            rows = torch.maximum(out, below, out=out)
        return rows

    def backward(self, rows: torch.Tensor, gradient: torch.Tensor) -> None:
        """Add the gradients of the weights for ``rows`` (n, width) of the last `forward`, where the loss has
        ``gradient`` (n, units) in what came out; ``gradient`` is used up."""
        n = len(rows)
        for k in reversed(range(len(self.linear))):
            _ELU_BACKWARD(gradient, 1.0, 1.0, 1.0, True, self._out[k][:n], grad_input=gradient)
            weight, bias = self.gradients[k]
            weight.t().addmm_((self._out[k - 1][:n] if k else rows).t(), gradient)
            bias.addmv_(gradient.t(), self._ones[:n])
            if k:
                gradient = torch.mm(gradient, self.linear[k].weight.detach(), out=self._back[k - 1][:n])


def linear_parts(network: nn.Module) -> list[nn.Linear]:
    """The linear layers of ``network``, the first one first."""
    return [part for part in network.modules() if isinstance(part, nn.Linear)]
