"""What tests of learning in hindsight share: a small policy to begin as, a planner's episodes, and small settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.collect.collection import Collection
from knuckle.policy.collect.recorder import Episode
from knuckle.policy.hindsight.hindsight_config import Hindsight, make_hindsight
from knuckle.policy.learned.export import Actor, export_policy
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.symmetric_policy import TurnedNetworks
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

Array = np.ndarray
SMALL = {
    "objects": "truck",
    "worlds": "6",
    "ring": "150",
    "first_steps": "3",
    "cycle": "5",
    "batch": "32",
    "updates": "2",
    "critic_first": "8",
    "critic_width": "16",
    "width": "16",
    "cached_starts": "4",
    "judge_worlds": "3",
    "held_share": "0.0",
    "starts": "settled",
}


def warm_policy(folder: Path, hand_name: str = "dclaw3") -> Path:
    """The folder of a policy of random weights that is one network for every finger."""
    hand = hand_spec(hand_name)
    symmetry, rng = HandSymmetry(hand), np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    networks, width = TurnedNetworks(symmetry, [16, 16], [1]), symmetry.build.width
    with torch.no_grad():
        for weights in networks.parameters():
            weights.copy_(0.3 * torch.randn(weights.shape, generator=generator) / np.sqrt(weights.shape[-1]))
    mean = symmetry.copies(0.1 * rng.standard_normal((1, width)))[0].mean(axis=0)
    normaliser = Normaliser(mean, np.full(width, 0.5), 10.0)

    def original(observations: Array) -> Array:
        turned = normaliser(symmetry.copies(observations)).reshape(len(observations), -1)
        with torch.no_grad():
            return networks.forward_actor(torch.as_tensor(turned, dtype=torch.float32)).numpy().astype(np.float64)

    linear = [part for part in networks.policy_net if isinstance(part, torch.nn.Linear)]
    layers = [
        (part.weight.detach().numpy().astype(np.float64), part.bias.detach().numpy().astype(np.float64))
        for part in (*linear, networks.mean)
    ]
    seen, actor = rng.standard_normal((8, width)), Actor(normaliser, layers, original, symmetry)
    export_policy(folder, hand, actor, name="warm", observed=seen, training={"made": "in a test"}, data="none")
    return folder


def made_up(seed: int, steps: int = 30, width: int = 87, dof: int = 9) -> Episode:
    """An episode of made-up numbers, its orientations of unit length."""
    rng = np.random.default_rng(seed)
    seen = (0.3 * rng.standard_normal((steps + 1, width))).astype(np.float32)
    if width == 87:
        for start in (21, 31, 35):
            seen[:, start : start + 4] /= np.linalg.norm(seen[:, start : start + 4], axis=1, keepdims=True)
    facts = {"episode": seed, "object": "truck", "succeeded": True}
    return Episode(seen, rng.uniform(-1, 1, (steps, dof)).astype(np.float32), np.ones(steps + 1, np.float32), facts)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower on many threads, and a loss is the same to the bit on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `warm_policy` for dclaw3."""
    return warm_policy(tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of three made-up episodes."""
    path = tmp_path_factory.mktemp("collected")
    collection = Collection(path, {"hand": "dclaw3", "rung": "60"})
    for k in range(3):
        collection.add(k, made_up(k))
    return path


@pytest.fixture(scope="session")
def small(warm: Path, collected: Path) -> Callable[..., Hindsight]:
    """A small run, with changes by name."""

    def made(**changes: str) -> Hindsight:
        return make_hindsight("dclaw3", str(warm), str(collected), SMALL | changes, threads=1, seed=3)

    return made
