"""What tests of learned policies share: a small actor of random weights, exported as a trained one is."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.export import Actor, export_policy
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.sim.reorient.observation import ReorientObservation

Array = np.ndarray


@pytest.fixture(scope="session")
def start_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start cache that the whole run shares."""
    return tmp_path_factory.mktemp("starts")


def random_actor(hand_name: str = "dclaw3", seed: int = 0, width: int = 16) -> Actor:
    """An actor of one hidden layer; its original is the same arithmetic in single precision."""
    hand, rng = hand_spec(hand_name), np.random.default_rng(seed)
    columns = ReorientObservation(hand).width
    normaliser = Normaliser(0.2 * rng.standard_normal(columns), rng.uniform(0.2, 1.0, columns), 10.0)
    sizes = [columns, width, hand.dof]
    layers = [
        (rng.standard_normal((after, before)) / np.sqrt(before), 0.1 * rng.standard_normal(after))
        for before, after in itertools.pairwise(sizes)
    ]

    def original(observation: Array) -> Array:
        x = normaliser(observation).astype(np.float32)
        for k, (weight, bias) in enumerate(layers):
            x = x @ weight.T.astype(np.float32) + bias.astype(np.float32)
            x = np.where(x > 0, x, np.expm1(np.minimum(x, 0))) if k < len(layers) - 1 else x
        return x.astype(np.float64)

    return Actor(normaliser, layers, original)


def export_random(folder: Path, hand_name: str = "dclaw3", seed: int = 0) -> Path:
    """The folder of a policy of `random_actor`."""
    hand, actor = hand_spec(hand_name), random_actor(hand_name, seed)
    observed = np.random.default_rng(1).standard_normal((8, ReorientObservation(hand).width))
    export_policy(folder, hand, actor, name="random", observed=observed, training={"made": "in a test"}, data="none")
    return folder


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The folder of a policy for dclaw3 with random weights."""
    return export_random(tmp_path / "trained")


@pytest.fixture(scope="session")
def export() -> Callable[..., Path]:
    """`export_random`, for tests that want another hand or seed."""
    return export_random


@pytest.fixture(scope="session")
def actor() -> Callable[..., Actor]:
    """`random_actor`."""
    return random_actor
