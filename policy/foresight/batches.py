"""What one gradient is made of: some decisions, a few chunks of each, half of them in the mirror."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.hardware.spec.hand_spec import Array
from knuckle.policy.foresight.foresight_config import NetConfig
from knuckle.policy.foresight.told import Told
from knuckle.policy.learned.foresight_graph import CLIP
from knuckle.policy.learned.mirrored import Mirror

STD_FLOOR, MOVED_FLOOR = 0.02, 1e-4
SCALED_BY = 20_000
"""Decisions of which scales are taken: more change the third digit and take memory."""

Draw = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Batches:
    """Draws from ``data`` as ``config`` says, under ``seed``; ``beside`` chunks of each decision stand together.

    With a ``mirror`` half of what is drawn is its mirror image.
    """

    def __init__(self, data: Told, config: NetConfig, mirror: Mirror | None, seed: int) -> None:
        self._data, self._draws = data, torch.Generator().manual_seed(seed)
        self.beside = min(config.beside, data.chunks.shape[1])
        self._rows = max(config.batch // self.beside, 1)
        self._mirror = mirror
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(data))[:SCALED_BY]
        told = data.fingers[some].astype(np.float64), data.chunks[some].astype(np.float64)
        seen = told if mirror is None else mirror.seen(*told)
        self._fingers, self._chunks = (_scale(*both) for both in zip(told, seen, strict=True))
        # One scale for the three axes of a turn: what is foretold must not depend on which of them is called x.
        square = data.moved[some].reshape(-1, data.moved.shape[-1] // 3, 3).astype(np.float64) ** 2
        self._moved = np.repeat(np.sqrt(square.mean(axis=(0, 2))) + MOVED_FLOOR, 3)

    def draw(self) -> Draw:
        """Fingers (b, G, F'), chunks (b, G, F) and what became of the object (b, width), normalised."""
        data, beside = self._data, self.beside
        row = torch.randint(len(data), (self._rows,), generator=self._draws).repeat_interleave(beside).numpy()
        order = torch.rand((self._rows, data.chunks.shape[1]), generator=self._draws).argsort(dim=1)
        column = order[:, :beside].reshape(-1).numpy()
        parts = (data.fingers[row], data.chunks[row, column], data.moved[row, column])
        fingers, chunks, moved = (part.astype(np.float32) for part in parts)
        if self._mirror is not None:
            half = slice(len(row) // 2)
            fingers[half], chunks[half] = self._mirror.seen(fingers[half], chunks[half])
            moved[half] = moved[half] @ self._mirror.moved
        read = _normal(_tensor(fingers), *self._fingers), _normal(_tensor(chunks), *self._chunks)
        return *read, _tensor(moved / self._moved)

    def scales(self) -> dict[str, Array]:
        """Mean and deviation of what is told, and the scale of what is foretold, by `foresight_graph.array_names`."""
        (f_mean, f_std), (c_mean, c_std) = self._fingers, self._chunks
        named = {"fingers_mean": f_mean, "fingers_std": f_std, "chunks_mean": c_mean, "chunks_std": c_std}
        return {name: np.asarray(value.numpy(), dtype=np.float64) for name, value in named.items()} | {
            "moved_std": np.asarray(self._moved, dtype=np.float64)
        }


def _scale(*parts: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each column of ``parts`` (..., width)."""
    flat = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    return _tensor(flat.mean(axis=0)), _tensor(flat.std(axis=0) + STD_FLOOR)


def _normal(rows: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    return ((rows - mean) / std).clamp(-CLIP, CLIP)


def _tensor(part: NDArray[Any]) -> torch.Tensor:
    return torch.as_tensor(np.asarray(part, dtype=np.float32))
