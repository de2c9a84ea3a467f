"""Small data sets of made numbers, for tests of recorded experience."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Episode


def made_episode(k: int, steps: int = 5, *, terminated: bool = False, succeeded: bool | None = None) -> Episode:
    """Episode ``k``: 3 observations, 2 actions, rewards about ``k``."""
    rng = np.random.default_rng(k)
    facts = {} if succeeded is None else {"succeeded": succeeded}
    return Episode(
        rng.standard_normal((steps + 1, 3)).astype(np.float32),
        rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        (k + rng.uniform(0, 1, steps)).astype(np.float32),
        terminated,
        facts,
    )


def made_dataset(count: int = 4, *, name: str = "made", environment: str = "Made-v0") -> Dataset:
    """``count`` episodes of 3, 4, 5, ... steps; every second one is terminated, and succeeded."""
    one = np.ones(2, dtype=np.float32)
    parts = tuple(made_episode(k, 3 + k, terminated=k % 2 == 1, succeeded=k % 2 == 1) for k in range(count))
    return Dataset(name, parts, -one, one, environment)


@pytest.fixture
def data() -> Dataset:
    """`made_dataset`."""
    return made_dataset()


@pytest.fixture(scope="session")
def episode() -> Callable[..., Episode]:
    """`made_episode`."""
    return made_episode


@pytest.fixture(scope="session")
def dataset() -> Callable[..., Dataset]:
    """`made_dataset`."""
    return made_dataset
