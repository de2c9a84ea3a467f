"""Learning chunks by observations: conditional flow matching (Lipman et al. 2023, arXiv 2210.02747), or their mean.

Between noise x0 and a chunk x1 lies x_t = (1 - t) x0 + t x1; a network learns the velocity x1 - x0 from x_t, t and the
observation. From other noise, a few Euler steps then lead to another of the ways that were seen, where the mean of two
ways is none. By the hand's symmetry one network reads every turn of observation and x_t and says how the chunk of the
finger in the first place moves; the noise is the whole hand's, so the fingers draw one way together. The mean is the
same network with x0 = 0, t = 0 and one step.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.cloning.chunk_config import ChunkConfig
from knuckle.policy.cloning.chunk_rows import ChunkRows
from knuckle.policy.learned.chunk_graph import TIMES, ChunkActor
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

STD_FLOOR, SCALE_FLOOR = 0.01, 0.05
"""No column of the observation is stretched by more than a hundred, no joint of a chunk by more than twenty."""
CLIP = 10.0
RISE = 0.05


def fit_chunks(
    rows: ChunkRows,
    hand: HandSpec,
    config: ChunkConfig,
    *,
    seed: int,
    seen: Callable[[int, float], None] = lambda _update, _loss: None,
) -> tuple[ChunkActor, float]:
    """What was learned of ``rows``, and its loss on episodes held back (1: nothing was learned of a mean chunk).

    ``seen`` hears of every hundredth update. InputError where there are too few rows; RunError where the weights are
    no longer finite.
    """
    if len(rows) < config.batch // 4:
        what = f"{len(rows)} chunks to learn from"
        raise InputError(what, where="cloning", right=f"{config.batch // 4} or more, or a smaller chunk.batch")
    rng, draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    learned, held = _split(rows, config.held_back, rng)
    symmetry = HandSymmetry(hand)
    normaliser = _normaliser(symmetry, learned)
    mean, scale = _scale(learned, symmetry)
    data = _Data(learned, symmetry, normaliser, mean, scale)
    network = _network(data.width + data.chunk + TIMES, symmetry.joints * config.length, config, seed)
    kept = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.rate, weight_decay=config.decay)
    plan = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: share_of_rate(k / config.updates))
    total = 0.0
    for update in range(1, config.updates + 1):
        loss = data.loss(network, config, draws, config.batch, config.noise)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        plan.step()
        _follow(kept, network, min(config.average, 1.0 - 1.0 / update))
        total += float(loss.detach())
        if update % 100 == 0 or update == config.updates:
            if not np.isfinite(total):
                raise RunError(f"update {update} broke down", where="cloning", right="a lower chunk.rate")
            seen(update, total / ((update - 1) % 100 + 1))
            total = 0.0
    layers = [(_array(part.weight), _array(part.bias)) for part in kept if isinstance(part, nn.Linear)]
    actor = ChunkActor(normaliser, layers, symmetry, config.length, mean, scale, config.euler)
    judged = _Data(held if len(held) else learned, symmetry, normaliser, mean, scale)
    with torch.no_grad():
        fixed = torch.Generator().manual_seed(seed)
        error = float(judged.loss(kept, config, fixed, 8192, 0.0))
    return actor, error


class _Data:
    """Rows as tensors, in every turn: normalised observations (n, order, width), chunks (n, order, chunk)."""

    def __init__(
        self, rows: ChunkRows, symmetry: HandSymmetry, normaliser: Normaliser, mean: Array, scale: Array
    ) -> None:
        n, order, length = len(rows), symmetry.order, rows.chunks.shape[1]
        self.width, self.chunk, self.order = symmetry.build.width, length * symmetry.hand.dof, order
        turns = normaliser(symmetry.copies(rows.observations.astype(np.float64)))
        self.observations = torch.as_tensor(turns.astype(np.float32))
        scaled = (rows.chunks - mean) / scale
        turned = scaled[:, :, symmetry.sources()].transpose(0, 2, 1, 3)
        self.chunks = torch.as_tensor(turned.reshape(n, order, -1).astype(np.float32))
        self.counts = torch.as_tensor(np.repeat(rows.counts, symmetry.joints, axis=1))
        places = np.arange(self.chunk).reshape(length, -1)[:, : symmetry.joints]
        self.first = torch.as_tensor(places.reshape(-1))

    def loss(
        self, network: nn.Module, config: ChunkConfig, draws: torch.Generator, batch: int, noise: float
    ) -> torch.Tensor:
        """The mean over ``batch`` drawn rows and turns of the squared error of what the network is to say."""
        row = torch.randint(len(self.chunks), (batch,), generator=draws)
        turn = torch.randint(self.order, (batch,), generator=draws)
        seen, chunk = self.observations[row, turn], self.chunks[row, turn]
        if noise > 0.0:
            seen = seen + noise * torch.randn(seen.shape, generator=draws)
        if config.euler:
            begin = torch.randn(chunk.shape, generator=draws)
            time = torch.rand((batch, 1), generator=draws)
        else:
            begin, time = torch.zeros_like(chunk), torch.zeros((batch, 1))
        between = (1.0 - time) * begin + time * chunk
        said = network(torch.cat([seen, between, times(time)], dim=-1))
        wanted = (chunk - begin)[:, self.first]
        loss: torch.Tensor = ((said - wanted) ** 2 * self.counts[row]).mean()
        return loss


def times(time: torch.Tensor) -> torch.Tensor:
    """What the network is told of the ``time`` (n, 1), 0 to 1: (n, TIMES). `chunk_graph.time_row` is the same."""
    half, whole = np.pi * time, 2.0 * np.pi * time
    return torch.cat([time, half.sin(), half.cos(), whole.sin(), whole.cos()], dim=-1)


def _split(rows: ChunkRows, share: float, rng: np.random.Generator) -> tuple[ChunkRows, ChunkRows]:
    episodes = np.unique(rows.episode)
    held = rng.permutation(episodes)[: round(share * len(episodes))]
    back = np.isin(rows.episode, held)
    return rows.some(~back), rows.some(back)


def _normaliser(symmetry: HandSymmetry, rows: ChunkRows) -> Normaliser:
    turns = symmetry.copies(rows.observations.astype(np.float64)).reshape(-1, symmetry.build.width)
    return Normaliser(turns.mean(axis=0), np.sqrt(turns.var(axis=0) + STD_FLOOR**2), CLIP)


def _scale(rows: ChunkRows, symmetry: HandSymmetry) -> tuple[Array, Array]:
    """Mean and deviation (length, dof) of the chunks' postures, the same for every finger."""
    n, length, _ = rows.chunks.shape
    fingers = rows.chunks.reshape(n, length, symmetry.order, symmetry.joints).astype(np.float64)
    mean, scale = fingers.mean(axis=(0, 2)), np.maximum(fingers.std(axis=(0, 2)), SCALE_FLOOR)
    return np.tile(mean, (1, symmetry.order)), np.tile(scale, (1, symmetry.order))


def _network(width: int, out: int, config: ChunkConfig, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts: list[nn.Module] = []
        for k in range(config.layers):
            parts += [nn.Linear(width if k == 0 else config.width, config.width), nn.ELU()]
        return nn.Sequential(*parts, nn.Linear(config.width, out))


def share_of_rate(done: float) -> float:
    """Of the largest rate, ``done`` of the updates being over: a rise over a twentieth, a cosine down to 0."""
    return min((done + 1e-3) / RISE, 1.0) * 0.5 * (1.0 + math.cos(math.pi * done))


def _follow(kept: nn.Module, network: nn.Module, share: float) -> None:
    with torch.no_grad():
        for mine, now in zip(kept.parameters(), network.parameters(), strict=True):
            mine.lerp_(now, 1.0 - share)


def _array(part: Any) -> NDArray[np.float64]:
    return np.asarray(part.detach().numpy(), dtype=np.float64)
