"""The networks of the offline learners, with their gradients written out.

A network is linear layers with ReLU between them, and layer norm before each ReLU where that is asked for. The weights
of all networks that one optimiser moves are one vector with named views, so that Adam, a moving average or a projection
is one call over it. Going back is written by hand instead of by autograd, for two reasons: what lies on the way is kept
in buffers that live as long as the learner, and one pass back gives as many gradients as are asked for, as
``backward`` of a row's output is a factor (`Part.scale`) times the same row.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NORM_EPS = 1e-5


@dataclass(frozen=True)
class Mlp:
    """The form of a network: ``sizes`` are its input's, hidden layers' and output's columns."""

    sizes: tuple[int, ...]
    norm: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of its parameters by name, layer by layer: weights (out, in) as torch's."""
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (before, after) in enumerate(itertools.pairwise(self.sizes)):
            shapes |= {f"{k}.weight": (after, before), f"{k}.bias": (after,)}
            if self.norm and k + 2 < len(self.sizes):
                shapes |= {f"{k}.gain": (after,), f"{k}.shift": (after,)}
        return shapes


@dataclass(frozen=True)
class Layer:
    """Views of a layer's parameters, or of a gradient of them: weight (out, in), bias, and the norm's two if any."""

    weight: Tensor
    bias: Tensor
    gain: Tensor | None
    shift: Tensor | None


class Tape:
    """What a pass forward leaves for the pass back, and room for both, for at most ``rows`` rows."""

    def __init__(self, mlp: Mlp, rows: int, dtype: torch.dtype) -> None:
        def room(columns: Sequence[int]) -> list[Tensor]:
            return [torch.zeros(rows, n, dtype=dtype) for n in columns]

        self.rows = rows
        self.before = room(mlp.sizes[1:])  # of each layer, before norm and ReLU; the last is the output
        self.delta = room(mlp.sizes[:-1])
        self.scaled = room(mlp.sizes[1:])
        self.inputs: list[Tensor] = []
        self.normed: list[tuple[Tensor, Tensor]] = []


@dataclass(frozen=True)
class Part:
    """A gradient that a pass back is to give: of the outputs of ``rows``, each times its ``scale`` (rows,), summed."""

    rows: slice
    scale: Tensor | None
    into: Network


class Network:
    """A network over views of its parameters, or (as `Part.into`) a gradient of the same form."""

    def __init__(self, mlp: Mlp, views: Mapping[str, Tensor]) -> None:
        self.mlp = mlp
        self.layers = [
            Layer(views[f"{k}.weight"], views[f"{k}.bias"], views.get(f"{k}.gain"), views.get(f"{k}.shift"))
            for k in range(len(mlp.sizes) - 1)
        ]

    def __call__(self, x: Tensor) -> Tensor:
        """The output (rows, out) for ``x`` (rows, in), with nothing kept."""
        for k, layer in enumerate(self.layers):
            x = torch.addmm(layer.bias, x, layer.weight.t())
            if k + 1 < len(self.layers):
                if layer.gain is not None:
                    x = torch.nn.functional.layer_norm(x, (x.shape[1],), layer.gain, layer.shift, NORM_EPS)
                x = torch.relu(x)
        return x

    def tape(self, rows: int) -> Tape:
        """A tape for at most ``rows`` rows."""
        return Tape(self.mlp, rows, self.layers[0].weight.dtype)

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """The output (rows, out) for ``x`` (rows, in), a view into ``tape``, which keeps what `backward` needs."""
        n = len(x)
        tape.inputs, tape.normed = [x], []
        for k, layer in enumerate(self.layers):
            z = torch.addmm(layer.bias, tape.inputs[-1], layer.weight.t(), out=tape.before[k][:n])
            if k + 1 == len(self.layers):
                return z
            if layer.gain is None:
                tape.inputs.append(z.relu_())
            else:
                y, mean, rstd = torch.native_layer_norm(z, (z.shape[1],), layer.gain, layer.shift, NORM_EPS)
                tape.normed.append((mean, rstd))
                tape.inputs.append(y.relu_())
        raise AssertionError("a network has a last layer")

    def backward(self, tape: Tape, outward: Tensor, parts: Sequence[Part], *, inward: bool = False) -> Tensor | None:
        """Write the gradient of each of ``parts`` into it, from ``outward`` (rows, out), the loss by the output.

        Those are the first rows of the pass forward, all of them or fewer. The gradient by the input (rows, in) where
        ``inward`` is asked for: a view into the tape, without any scale.
        """
        n, delta = len(outward), outward
        for k in reversed(range(len(self.layers))):
            layer, x = self.layers[k], tape.inputs[k][:n]
            for part in parts:
                self._sum(delta[part.rows], x[part.rows], part, k, tape)
            if k == 0:
                return _times(delta, layer.weight, tape.delta[0][:n]) if inward else None
            delta = _times(delta, layer.weight, tape.delta[k][:n])
            torch.ops.aten.threshold_backward.grad_input(delta, x, 0.0, grad_input=delta)
            if (below := self.layers[k - 1]).gain is not None:
                delta = self._through_norm(below, delta, tape, k - 1, parts)
        return None

    def _sum(self, delta: Tensor, x: Tensor, part: Part, k: int, tape: Tape) -> None:
        """The gradient of layer k, from ``delta`` after it and its inputs ``x``; the narrower of both is scaled.

        A product that comes out tall and narrow takes several times as long as its transpose, so that is made.
        """
        into, scale = part.into.layers[k], part.scale
        if scale is None:
            torch.sum(delta, 0, out=into.bias)
        else:
            torch.mv(delta.t(), scale, out=into.bias)
        if x.shape[1] < delta.shape[1]:
            narrow = x if scale is None else x * scale[:, None]
            into.weight.copy_(torch.mm(narrow.t(), delta).t())
        else:
            if scale is not None:
                delta = torch.mul(delta, scale[:, None], out=tape.scaled[k][: len(delta)])
            torch.mm(delta.t(), x, out=into.weight)

    def _through_norm(self, layer: Layer, delta: Tensor, tape: Tape, k: int, parts: Sequence[Part]) -> Tensor:
        """The gradient before layer k's norm, from ``delta`` after it; the norm's own gradients go into ``parts``.

        Its gain's is the sum of delta (z - mean) rstd over the rows, taken apart so that no normed row is made again.
        """
        z = tape.before[k][: len(delta)]
        mean, rstd = (each[: len(delta)] for each in tape.normed[k])
        columns = (delta.shape[1],)
        if parts:
            product = torch.mul(delta, z, out=tape.scaled[k][: len(delta)])
            for part in parts:
                into, rows = part.into.layers[k], part.rows
                if into.gain is None or into.shift is None:
                    raise AssertionError("a gradient has the form of its network")
                scale = torch.ones_like(rstd[rows, 0]) if part.scale is None else part.scale
                by_rstd = scale * rstd[rows, 0]
                torch.mv(delta[rows].t(), scale, out=into.shift)
                centred = torch.mv(delta[rows].t(), by_rstd * mean[rows, 0])
                torch.addmv(centred, product[rows].t(), by_rstd, beta=-1.0, out=into.gain)
        mask = [True, False, False]
        back: Tensor = torch.ops.aten.native_layer_norm_backward(
            delta, z, columns, mean, rstd, layer.gain, layer.shift, mask
        )[0]
        return back


def _times(delta: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """delta (rows, out) times weight (out, in): an outer product where there is one output."""
    return torch.mul(delta, weight, out=out) if len(weight) == 1 else torch.mm(delta, weight, out=out)


class Weights:
    """The parameters of several networks, and of ``extras`` (name to columns), as one vector ``flat`` with views.

    Everything is 0 until it is filled.
    """

    def __init__(self, forms: Mapping[str, Mlp], extras: Mapping[str, int], dtype: torch.dtype) -> None:
        self.forms, self.dtype = dict(forms), dtype
        shapes: dict[str, tuple[int, ...]] = {
            f"{name}.{part}": shape for name, mlp in forms.items() for part, shape in mlp.shapes().items()
        }
        shapes |= {name: (columns,) for name, columns in extras.items()}
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()]).tolist()
        self.flat = torch.zeros(ends[-1], dtype=dtype)
        self.spans = {name: slice(a, b) for name, a, b in zip(shapes, [0, *ends[:-1]], ends, strict=True)}
        self.views = {name: self.flat[self.spans[name]].view(shape) for name, shape in shapes.items()}
        self.extras = dict(extras)
        self.networks = {
            name: Network(mlp, {part: self.views[f"{name}.{part}"] for part in mlp.shapes()})
            for name, mlp in forms.items()
        }

    def like(self) -> Weights:
        """Zeros of the same form: a gradient, or a copy to be filled."""
        return Weights(self.forms, self.extras, self.dtype)

    def copy(self) -> Weights:
        """The same numbers, to be moved apart."""
        other = self.like()
        other.flat.copy_(self.flat)
        return other

    def draw(self, rng: np.random.Generator) -> None:
        """Fill as torch does: weights and biases uniform within one over the root of the layer's inputs; norms 1, 0."""
        for name, view in self.views.items():
            part = name.rpartition(".")[2]
            if part == "gain":
                view.fill_(1.0)
            elif part == "weight":
                bound = 1.0 / float(np.sqrt(view.shape[1]))
                view.copy_(torch.from_numpy(rng.uniform(-bound, bound, tuple(view.shape))))
                bias = self.views[f"{name.rpartition('.')[0]}.bias"]
                bias.copy_(torch.from_numpy(rng.uniform(-bound, bound, tuple(bias.shape))))

    def layers(self) -> list[slice]:
        """The spans of ``flat`` that belong to one layer of one network each, and those of the extras."""
        spans: dict[str, slice] = {}
        for name, span in self.spans.items():
            layer = name if name in self.extras else name.rpartition(".")[0]
            spans[layer] = slice(spans[layer].start if layer in spans else span.start, span.stop)
        return list(spans.values())

    def follow(self, other: Weights, tau: float) -> None:
        """Move the share ``tau`` of the way to ``other``: the moving average of a target network."""
        self.flat.lerp_(other.flat, tau)
