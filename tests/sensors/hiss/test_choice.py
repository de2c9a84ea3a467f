"""An estimate that lies among candidates: never outside them, one of them where it is believed, the same in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from knuckle.core.cards import Entry
from knuckle.core.errors import InputError
from knuckle.sensors.hiss.choice import Choice, choice_of
from knuckle.sensors.hiss.chooser import Chooser
from knuckle.sensors.hiss.normaliser import Normaliser
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.trainer import Trainer
from knuckle.sensors.hiss.trial import CHUNK, Channels, Trial

from .conftest import CHANNELS, made_training, made_trial

INPUTS = ("a", "b", "c")


def channels(targets: int = 1) -> Channels:
    inputs = tuple(Entry(name, (), "rad") for name in INPUTS)
    return Channels(inputs, tuple(Entry(f"t{k}", (), "rad") for k in range(targets)), 50.0)


def made(names: tuple[str, ...] = ("c", "a")) -> tuple[Choice, Normaliser, Normaliser]:
    inputs = Normaliser(np.array([0.5, 0.1, -0.2]), np.array([2.0, 1.0, 0.25]))
    targets = Normaliser(np.array([0.3]), np.array([0.5]))
    choice = choice_of(names, channels(), inputs, targets, where="test")
    assert choice is not None
    return choice, inputs, targets


@given(
    values=st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3),
    logs=st.lists(st.floats(-50.0, 50.0), min_size=3, max_size=3),
)
def test_the_estimate_lies_among_the_candidates_and_zero(values: list[float], logs: list[float]) -> None:
    choice, inputs, targets = made()
    settled = choice.settle(np.array([*logs, -1.0]), inputs(np.array(values)))
    mean = float(targets.back(settled[:1])[0])
    among = (0.0, values[2], values[0])
    assert min(among) - 1e-9 <= mean <= max(among) + 1e-9
    assert settled[1] == -1.0


@pytest.mark.parametrize(("believed", "value"), [(0, 0.0), (1, 0.7), (2, -1.1)])
def test_a_candidate_that_is_believed_is_the_estimate(believed: int, value: float) -> None:
    choice, inputs, targets = made()
    logs = np.full(3, -40.0)
    logs[believed] = 40.0
    settled = choice.settle(np.array([*logs, 0.0]), inputs(np.array([-1.1, 9.0, 0.7])))
    assert targets.back(settled[:1])[0] == pytest.approx(value)


class Recorded(nn.Module):
    """A network that gives what it was made with."""

    def __init__(self, raw: torch.Tensor) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.raw


def test_the_layer_and_the_stream_settle_alike() -> None:
    choice, _, _ = made()
    rng = np.random.default_rng(0)
    raw, read = rng.standard_normal((2, 4, 4)), rng.standard_normal((2, 4 * CHUNK, 3))
    network: Any = Recorded(torch.from_numpy(raw).float())
    layer = Chooser(network, choice)
    found = layer(torch.from_numpy(read).float()).numpy()
    np.testing.assert_allclose(found, choice.settle(raw, read[:, CHUNK - 1 :: CHUNK]), atol=1e-5)


def test_candidates_must_be_inputs_and_the_target_one() -> None:
    _, inputs, targets = made()
    with pytest.raises(InputError, match="no input 'd' to choose"):
        choice_of(("a", "d"), channels(), inputs, targets, where="test")
    with pytest.raises(InputError, match="2 targets to choose"):
        choice_of(("a",), channels(2), inputs, targets, where="test")
    assert choice_of((), channels(2), inputs, targets, where="test") is None


def trained(hold: float) -> tuple[Chooser, torch.Tensor]:
    """A chooser between two inputs, of which the less believed one is the target, and what its network says of them."""
    trials = [
        Trial(t.name, t.group, t.inputs, t.inputs[:, :1], t.scored) for t in (made_trial(k, 200) for k in range(4))
    ]
    one = Channels(CHANNELS.inputs, CHANNELS.targets[:1], CHANNELS.rate_hz)
    training = made_training("flat:lstm", rate="0.02", warmup="0", epochs="8", hold=str(hold))
    trainer = Trainer(training, one, Parts(tuple(trials[:3]), (trials[3],), ()), None, ("a", "b"), (-2.0, 0.0, 1.0))
    while not trainer.over:
        trainer.update()
    assert isinstance(trainer.model, Chooser)
    with torch.no_grad():
        return trainer.model, trainer.model.network(torch.from_numpy(trainer.read(trials[0]))[None])


def test_weights_that_are_held_stay_near_those_that_training_began_at() -> None:
    (free, far), (held, near) = trained(0.0), trained(100.0)
    assert float(held.strayed(near).mean()) < 0.05 and float(free.strayed(far).mean()) > 0.2
    first = torch.softmax(torch.tensor([-2.0, 0.0, 1.0]), dim=-1)
    assert torch.allclose(torch.softmax(near[..., :-1], dim=-1).mean(dim=(0, 1)), first, atol=0.05)
    exact = torch.log(first).expand(1, 1, 3)
    assert float(held.strayed(torch.cat([exact, torch.zeros(1, 1, 1)], dim=-1))) == pytest.approx(0.0, abs=1e-6)
