"""What one gradient is made of: some decisions, a few chunks of each, half of them in the mirror."""

from __future__ import annotations

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
        self._mirror = None if mirror is None else _Flip(mirror)
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(data))[:SCALED_BY]
        self._fingers, self._chunks = (self._scale(part[some], k) for k, part in enumerate((data.fingers, data.chunks)))
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
        fingers, chunks, moved = (torch.as_tensor(np.asarray(part, dtype=np.float32)) for part in parts)
        if self._mirror is not None:
            half = len(row) // 2
            mirrored = self._mirror(fingers[:half], chunks[:half], moved[:half])
            both = zip(mirrored, (fingers, chunks, moved), strict=True)
            fingers, chunks, moved = (torch.cat([new, old[half:]]) for new, old in both)
        return _normal(fingers, *self._fingers), _normal(chunks, *self._chunks), moved / _tensor(self._moved)

    def scales(self) -> dict[str, Array]:
        """Mean and deviation of what is told, and the scale of what is foretold, by `foresight_graph.array_names`."""
        (f_mean, f_std), (c_mean, c_std) = self._fingers, self._chunks
        named = {"fingers_mean": f_mean, "fingers_std": f_std, "chunks_mean": c_mean, "chunks_std": c_std}
        return {name: np.asarray(value.numpy(), dtype=np.float64) for name, value in named.items()} | {
            "moved_std": np.asarray(self._moved, dtype=np.float64)
        }

    def _scale(self, part: NDArray[np.floating], which: int) -> tuple[torch.Tensor, torch.Tensor]:
        flat = part.reshape(-1, part.shape[-1]).astype(np.float64)
        if self._mirror is not None:
            flat = np.concatenate([flat, self._mirror.told(flat, which)])
        return _tensor(flat.mean(axis=0)), _tensor(flat.std(axis=0) + STD_FLOOR)


class _Flip:
    """A mirror at work on tensors."""

    def __init__(self, mirror: Mirror) -> None:
        self._signs = (mirror.finger_sign, mirror.chunk_sign)
        self._shifts = (mirror.finger_shift, np.zeros(len(mirror.chunk_sign)))
        self._places, self._moved = torch.as_tensor(mirror.places), _tensor(mirror.moved)

    def told(self, rows: Array, which: int) -> Array:
        """Rows of what is told of fingers (``which`` 0) or chunks (1), each seen in the mirror."""
        return rows * self._signs[which] + self._shifts[which]

    def __call__(self, fingers: torch.Tensor, chunks: torch.Tensor, moved: torch.Tensor) -> Draw:
        seen = (
            part[:, self._places] * _tensor(sign) + _tensor(shift)
            for part, sign, shift in zip((fingers, chunks), self._signs, self._shifts, strict=True)
        )
        fingers, chunks = seen
        return fingers, chunks, moved @ self._moved


def _normal(rows: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    return ((rows - mean) / std).clamp(-CLIP, CLIP)


def _tensor(part: Array) -> torch.Tensor:
    return torch.as_tensor(np.asarray(part, dtype=np.float32))
