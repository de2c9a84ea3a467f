"""Learning what chunks do from labelled decisions: smooth-L1 regression of how the chunks of a decision differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import smooth_l1_loss
from torch.optim.lr_scheduler import LambdaLR

from knuckle.core.errors import RunError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.cloning.chunk_fit import share_of_rate
from knuckle.policy.foresight.batches import Batches
from knuckle.policy.foresight.foresight_config import NetConfig
from knuckle.policy.foresight.told import Told
from knuckle.policy.learned.contact_features import FingerFrames
from knuckle.policy.learned.foresight_graph import ROUNDS, ForesightWeights, to_world
from knuckle.policy.learned.mirrored import Mirror


class ForesightNet(nn.Module):
    """The network of `foresight_graph.py`, to be learned; reads normalised numbers, gives normalised ones.

    With ``half`` its layers multiply in bfloat16, by weights that are kept in single precision.
    """

    def __init__(
        self, fingers: int, chunks: int, width: int, out: int, frames: FingerFrames, half: bool = False
    ) -> None:
        super().__init__()
        self.half_precision = half
        self.first, self.split = nn.Linear(fingers + chunks, width), fingers
        self.beside = torch.as_tensor(frames.next), torch.as_tensor(frames.previous)
        self.to_world = torch.as_tensor(to_world(frames, out // 3).astype(np.float32))
        self.second = nn.Linear(width, width)
        for k in range(ROUNDS):
            setattr(self, f"hears_{k}", nn.Linear(3 * width, width))
            setattr(self, f"answers_{k}", nn.Linear(width, width))
        self.third, self.last = nn.Linear(width, width), nn.Linear(width, out)

    def forward(self, fingers: torch.Tensor, chunks: torch.Tensor) -> torch.Tensor:
        """What is foretold (b, out) from fingers (b, G, F') and chunks (b, G, F)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half_precision):
            said = self._said(torch.cat([fingers, chunks], dim=-1))
        return said.float().flatten(1) @ self.to_world

    def _said(self, told: torch.Tensor) -> torch.Tensor:
        """What each finger says (b, G, out), along its own axes."""
        elu = nn.functional.elu
        h = elu(self.second(elu(self.first(told))))
        for k in range(ROUNDS):
            heard = torch.cat([h, *(h[:, places] for places in self.beside)], dim=-1)
            h = h + getattr(self, f"answers_{k}")(elu(getattr(self, f"hears_{k}")(heard)))
        said: torch.Tensor = self.last(elu(self.third(elu(h))))
        return said

    def arrays(self) -> dict[str, Array]:
        """Weights, rounded to half precision, and biases by the names of `foresight_graph.array_names`."""
        held = {name.replace(".", "_"): _array(value) for name, value in self.named_parameters()}
        held = {
            name: value.astype(np.float16).astype(np.float64) if value.ndim == 2 else value
            for name, value in held.items()
        }
        weight = held.pop("first_weight")
        return held | {"first_fingers": weight[:, : self.split], "first_chunks": weight[:, self.split :]}


def fit_foresight(
    data: Told,
    hand: HandSpec,
    config: NetConfig,
    looked_at: tuple[int, ...],
    *,
    seed: int,
    seen: Callable[[int, float], None] = lambda _update, _loss: None,
) -> ForesightWeights:
    """What was learned of ``data`` of ``hand``. ``seen`` hears of every hundredth update.

    InputError for a hand that has no mirror image where half is to be mirrored; RunError where the weights are no
    longer finite.
    """
    steps = (data.moved.shape[-1] - 3) // 3
    mirror = Mirror(hand, len(looked_at), steps) if config.mirrored else None
    batches, frames = Batches(data, config, mirror, seed), FingerFrames(hand)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = (data.fingers.shape[-1], data.chunks.shape[-1], config.width, data.moved.shape[-1])
        net = ForesightNet(*widths, frames, config.half)
    # A far tail of ELU is a denormal number, for which a processor takes many times as long.
    torch.set_flush_denormal(True)
    try:
        _learn(net, batches, config, seen)
    finally:
        torch.set_flush_denormal(False)
    return ForesightWeights(net.arrays() | batches.scales(), looked_at, steps, frames, mirror)


def _learn(net: ForesightNet, batches: Batches, config: NetConfig, seen: Callable[[int, float], None]) -> None:
    optimisers = _optimisers(net, config)
    plans = [LambdaLR(each, lambda k: share_of_rate(k / config.updates)) for each in optimisers]
    total = 0.0
    for update in range(1, config.updates + 1):
        fingers, chunks, wanted = batches.draw()
        loss = chosen_loss(net(fingers, chunks) - wanted, batches.beside, config.common)
        net.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser, plan in zip(optimisers, plans, strict=True):
            optimiser.step()
            plan.step()
        total += float(loss.detach())
        if update % 100 == 0 or update == config.updates:
            if not math.isfinite(total):
                raise RunError(f"update {update} broke down", where="foresight", right="a lower net.rate")
            seen(update, total / ((update - 1) % 100 + 1))
            total = 0.0


def chosen_loss(error: torch.Tensor, beside: int, common: float) -> torch.Tensor:
    """The smooth-L1 loss of ``error`` (rows * beside, width), rows of ``beside`` chunks of one decision each.

    Whom to choose depends on how the chunks of a decision differ, not on what all of them do to the object: so what the
    errors of a decision have in common counts ``common`` times as much as their differences.
    """
    if beside == 1:
        return smooth_l1_loss(error, torch.zeros_like(error))
    rows = error.view(-1, beside, error.shape[-1])
    mean = rows.mean(dim=1, keepdim=True)
    apart = smooth_l1_loss(rows - mean, torch.zeros_like(rows)) * beside / (beside - 1)
    return apart + common * smooth_l1_loss(mean, torch.zeros_like(mean))


def _optimisers(net: ForesightNet, config: NetConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the layers within, AdamW for the first, the last and all biases."""
    within = [name for name, p in net.named_parameters() if p.ndim == 2 and not name.startswith(("first", "last"))]
    inner, others = ([p for n, p in net.named_parameters() if (n in within) == chosen] for chosen in (True, False))
    return [
        torch.optim.Muon(inner, lr=config.inner_rate, weight_decay=config.decay),
        torch.optim.AdamW(others, lr=config.rate, weight_decay=config.decay),
    ]


def foretold(weights: ForesightWeights, data: Told) -> NDArray[np.float32]:
    """What ``weights`` foretell of ``data`` (n, m, 3 * steps + 3)."""
    some = [slice(at, at + 100) for at in range(0, len(data), 100)]
    return np.concatenate([weights.moved(data.fingers[k], data.chunks[k]).astype(np.float32) for k in some])


def explained(weights: ForesightWeights, data: Told) -> float:
    """The share of the last turn's variance that is foretold of ``data``, 1 at best."""
    true, said = _last_turns(weights, data)
    return _share(said, true, true.mean(axis=(0, 1)))


def told_apart(weights: ForesightWeights, data: Told) -> float:
    """The same of how the last turns of a decision's chunks differ from their mean: what there is to choose by."""
    true, said = (turns - turns.mean(axis=1, keepdims=True) for turns in _last_turns(weights, data))
    return _share(said, true, np.zeros(3))


def _last_turns(weights: ForesightWeights, data: Told) -> tuple[Array, Array]:
    """The last turns (n, m, 3) as they were and as they are foretold."""
    last = slice(3 * weights.steps - 3, 3 * weights.steps)
    true, said = (rows[..., last].astype(np.float64) for rows in (data.moved, foretold(weights, data)))
    return true, said


def _share(said: Array, true: Array, middle: Array) -> float:
    return float(1.0 - ((said - true) ** 2).sum() / ((true - middle) ** 2).sum())


def _array(part: Any) -> Array:
    return np.asarray(part.detach().numpy(), dtype=np.float64)
