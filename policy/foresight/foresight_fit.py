"""Learning what chunks do from labelled decisions: smooth-L1 regression of turns and shift."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from knuckle.core import rotations
from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.policy.cloning.chunk_fit import share_of_rate
from knuckle.policy.foresight.foresight_config import NetConfig
from knuckle.policy.foresight.labelling import SCENE_PARTS, Labelled, joined
from knuckle.policy.learned.contact_features import ContactFeatures, FingerFrames, Scene
from knuckle.policy.learned.foresight_graph import CLIP, ROUNDS, ForesightWeights, to_world
from knuckle.sim.objects import object_shape

STD_FLOOR, MOVED_FLOOR = 0.02, 1e-4
ROWS_AT_ONCE = 4000
"""Decisions whose features are computed at once: a bound on memory."""


@dataclass(frozen=True)
class Told:
    """Decisions as a network reads them, float32: ``fingers`` (n, G, F') and ``chunks`` (n, m, G, F).

    What became of each chunk is ``moved`` (n, m, 3 * steps + 3).
    """

    fingers: NDArray[np.float32]
    chunks: NDArray[np.float32]
    moved: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.fingers)


def told(episodes: list[Labelled], hand: HandSpec, looked_at: tuple[int, ...]) -> Told:
    """The decisions of ``episodes``, object by object; InputError where there are none, or their chunks differ."""
    by_object: dict[str, list[Labelled]] = {}
    shapes = set()
    for episode in episodes:
        if len(episode.goal):
            by_object.setdefault(str(episode.facts["object"]), []).append(episode)
            shapes.add(episode.chunks.shape[1:3])
    if len(shapes) != 1:
        what = f"decisions of chunks (labelled, steps) {sorted(shapes)}" if shapes else "no decision to learn from"
        raise InputError(what, where="foresight", right="episodes labelled with one setting")
    if max(looked_at) >= next(iter(shapes))[1]:
        what = f"step {max(looked_at)} of chunks of {next(iter(shapes))[1]} is looked at"
        raise InputError(what, where="foresight", right="steps that are foreseen")
    parts: list[tuple[Array, ...]] = []
    for name, some in by_object.items():
        features, whole = ContactFeatures(hand, object_shape(name), looked_at), joined(some)
        for at in range(0, len(whole.goal), ROWS_AT_ONCE):
            rows = slice(at, at + ROWS_AT_ONCE)
            scene = Scene(*(getattr(whole.scene, part)[rows] for part in SCENE_PARTS))
            seen = features(scene, whole.chunks[rows].astype(np.float64))
            parts.append((*seen, moved(scene, whole.poses[rows].astype(np.float64))))
    return Told(*(np.concatenate(column, dtype=np.float32, casting="same_kind") for column in zip(*parts, strict=True)))


def moved(scene: Scene, poses: Array) -> Array:
    """How ``poses`` (d, n, steps, 7) are turned from ``scene``, rotation vectors, and how far the last one is shifted,
    world frame (d, n, 3 * steps + 3)."""
    inverse = rotations.conjugate(scene.quaternion)[:, None, None]
    turns = rotations.log(rotations.multiply(rotations.normalize(poses[..., 3:]), inverse))
    shift = poses[:, :, -1, :3] - scene.position[:, None]
    return np.concatenate([turns.reshape(*turns.shape[:2], -1), shift], axis=-1)


class ForesightNet(nn.Module):
    """The network of `foresight_graph.py`, to be learned; reads normalised numbers, gives normalised ones."""

    def __init__(self, fingers: int, chunks: int, width: int, out: int, frames: FingerFrames) -> None:
        super().__init__()
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
        elu = nn.functional.elu
        h = elu(self.second(elu(self.first(torch.cat([fingers, chunks], dim=-1)))))
        for k in range(ROUNDS):
            heard = torch.cat([h, *(h[:, places] for places in self.beside)], dim=-1)
            h = h + getattr(self, f"answers_{k}")(elu(getattr(self, f"hears_{k}")(heard)))
        said: torch.Tensor = self.last(elu(self.third(elu(h))))
        return said.flatten(1) @ self.to_world

    def arrays(self) -> dict[str, Array]:
        """Weights and biases by the names of `foresight_graph.array_names`."""
        held = {name.replace(".", "_"): _array(value) for name, value in self.named_parameters()}
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

    RunError where the weights are no longer finite.
    """
    draws = torch.Generator().manual_seed(seed)
    n, m = data.chunks.shape[:2]
    scales = {name: _scale(getattr(data, name)) for name in ("fingers", "chunks")}
    parts = {name: torch.as_tensor(getattr(data, name)) for name in scales}
    # One scale for the three axes of a turn: what is foretold must not depend on which of them is called x.
    size = np.sqrt((data.moved.reshape(n, m, -1, 3).astype(np.float64) ** 2).mean(axis=(0, 1, 3))) + MOVED_FLOOR
    moved_std, frames = np.repeat(size, 3), FingerFrames(hand)
    wanted = torch.as_tensor((data.moved / moved_std).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = (data.fingers.shape[-1], data.chunks.shape[-1], config.width, data.moved.shape[-1])
        net = ForesightNet(*widths, frames)
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.decay)
    plan = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: share_of_rate(k / config.updates))
    total = 0.0
    for update in range(1, config.updates + 1):
        row = torch.randint(n, (config.batch,), generator=draws)
        column = torch.randint(m, (config.batch,), generator=draws)
        rows = {"fingers": parts["fingers"][row], "chunks": parts["chunks"][row, column]}
        read = [((rows[name] - mean) / std).clamp(-CLIP, CLIP) for name, (mean, std) in scales.items()]
        loss = nn.functional.smooth_l1_loss(net(*read), wanted[row, column])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        plan.step()
        total += float(loss.detach())
        if update % 100 == 0 or update == config.updates:
            if not math.isfinite(total):
                raise RunError(f"update {update} broke down", where="foresight", right="a lower net.rate")
            seen(update, total / ((update - 1) % 100 + 1))
            total = 0.0
    arrays = net.arrays() | {"moved_std": np.asarray(moved_std, dtype=np.float64)}
    for name, (mean, std) in scales.items():
        arrays |= {f"{name}_mean": _array(mean), f"{name}_std": _array(std)}
    return ForesightWeights(arrays, looked_at, (data.moved.shape[-1] - 3) // 3, frames)


def foretold(weights: ForesightWeights, data: Told) -> NDArray[np.float32]:
    """What ``weights`` foretell of ``data`` (n, m, 3 * steps + 3)."""
    some = [slice(at, at + 100) for at in range(0, len(data), 100)]
    return np.concatenate([weights.moved(data.fingers[k], data.chunks[k]).astype(np.float32) for k in some])


def explained(weights: ForesightWeights, data: Told) -> float:
    """The share of the last turn's variance that is foretold of ``data``, 1 at best."""
    last = slice(3 * weights.steps - 3, 3 * weights.steps)
    true, said = data.moved[..., last], foretold(weights, data)[..., last]
    return float(1.0 - ((said - true) ** 2).sum() / ((true - true.mean(axis=(0, 1))) ** 2).sum())


def _scale(rows: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
    flat = rows.reshape(-1, rows.shape[-1])
    mean, std = flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64) + STD_FLOOR
    return torch.as_tensor(mean.astype(np.float32)), torch.as_tensor(std.astype(np.float32))


def _array(part: Any) -> Array:
    return np.asarray(part.detach().numpy(), dtype=np.float64)
