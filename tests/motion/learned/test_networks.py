"""The networks and their heads: what they begin with, what they cannot say, and that they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from knuckle.core.errors import InputError
from knuckle.motion.feasibility import Limits, infeasible
from knuckle.motion.learned.agent_frame import read_agents
from knuckle.motion.learned.fit import Examples, Fit, forecast_examples
from knuckle.motion.learned.heads import Forecasts
from knuckle.motion.learned.network import ForecastNet, make_net
from knuckle.motion.learned.scores import interval
from knuckle.motion.learned.settings import ENCODERS, HEADS, LearnConfig, NetConfig, Training
from knuckle.motion.learned.study import net_of
from knuckle.motion.mixture import mixture_nll
from knuckle.motion.tracks.simulated_tracks import SimulatedTracks, simulated_tracks
from knuckle.motion.tracks.windows import WindowConfig, Windows, cut_windows

DT = 0.1


@pytest.fixture(scope="module")
def windows() -> Windows:
    """Simulated traffic, cut."""
    return cut_windows(simulated_tracks(SimulatedTracks(vehicles=20, seconds=8.0), 1), WindowConfig())


def told(net: ForecastNet, windows: Windows) -> Forecasts:
    return forecast_examples(net, Examples(windows))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_untrained_every_head_says_constant_accelerations_of_its_modes(
    windows: Windows, head: str, encoder: str
) -> None:
    net = make_net(NetConfig(encoder=encoder, head=head), 11, 30, DT, 0)
    forecasts = told(net, windows.take(np.arange(8)))
    speed = Examples(windows).speed[:8]
    ahead = speed[:, None] * 3.0 + torch.tensor([0.0, 4.5])
    assert forecasts.motions.shape == (8, 6, 30, 2)
    assert torch.allclose(forecasts.motions[:, :2, -1, 0], ahead, atol=0.35)
    assert (torch.linalg.eigvalsh(forecasts.mixture.covariance) > 0).all()
    assert net.parameters_count < 200_000


def test_the_bicycle_is_feasible_whatever_its_network_says(windows: Windows) -> None:
    some = windows.take(np.arange(40))
    start = torch.zeros(40, 6, 1, 2)
    shares = {}
    for head in ("bicycle", "deterministic", "learned"):
        net = make_net(NetConfig(encoder="mlp", head=head), 11, 30, DT, 0)
        with torch.no_grad():
            torch.manual_seed(1)
            net.last.weight.normal_(0.0, 3.0)
        motions = told(net, some).motions
        shares[head] = float(infeasible(torch.cat([start, motions], -2).double(), DT, Limits()).float().mean())
    assert shares["bicycle"] == 0.0 and shares["deterministic"] == 0.0
    assert shares["learned"] > 0.5


def test_neither_the_map_nor_the_direction_of_travel_is_seen(windows: Windows) -> None:
    angle, shift = 2.1, np.array([400.0, -70.0])
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    agents, features = read_agents(windows.history, DT)
    turned, same = read_agents(windows.history @ R.T + shift, DT)
    assert np.allclose(features, same, atol=1e-4)
    assert np.allclose(turned.into(windows.future @ R.T + shift), agents.into(windows.future), atol=1e-8)
    assert np.allclose(agents.out(agents.into(windows.future)), windows.future, atol=1e-9)
    covariance = np.broadcast_to(np.diag([4.0, 1.0]), (len(windows), 1, 2, 2))
    along = agents.axes[:, 0]
    out = agents.out_covariance(covariance)[:, 0]
    assert np.allclose(np.einsum("ni,nij,nj->n", along, out, along), 4.0)


def test_a_body_that_stands_has_a_frame_too() -> None:
    agents, features = read_agents(np.ones((1, 11, 2)), DT)
    assert np.isfinite(features).all() and agents.speed[0] < 1e-9


def test_learning_makes_the_likelihood_better_and_the_best_weights_are_kept(windows: Windows) -> None:
    training = Training(net=NetConfig(encoder="mlp"), learn=LearnConfig(updates=60, begin=20, batch=32, rate=2e-3))
    fit = Fit(training, windows, windows)
    before = float(mixture_nll(told(fit.net, windows).mixture, Examples(windows).future).mean())
    fit.run()
    after = float(mixture_nll(told(fit.net, windows).mixture, Examples(windows).future).mean())
    assert after == pytest.approx(fit.best_nll, abs=1e-5) and after < before - 0.1


def test_the_beginning_ends_from_its_best_weights_where_validation_is_no_longer_better(windows: Windows) -> None:
    """What is learned from is ten times as far off as what says when it is enough: wide spreads fit the one alone."""
    wild = replace(windows, future=windows.future + 10.0 * np.sin(windows.future))
    training = Training(net=NetConfig(encoder="mlp"), learn=LearnConfig(updates=40, begin=30, batch=32, check_every=5))
    fit = Fit(training, wild, windows)
    while fit.updates < fit.begin:
        fit.update()
    assert fit.best_update < fit.begin < 30
    assert all(torch.equal(value, fit.best[name]) for name, value in fit.net.state_dict().items())
    assert "inner.weight" not in {n for n, w in fit.net.named_parameters() if w.grad is not None}
    fit.update()
    assert not torch.equal(fit.net.last.bias, fit.best["last.bias"])


def test_a_run_that_goes_on_has_the_same_next_loss(windows: Windows) -> None:
    training = Training(net=NetConfig(encoder="gru"), learn=LearnConfig(updates=40, begin=5, batch=8, check_every=3))
    fit = Fit(training, windows, windows.take(np.arange(5)))
    for _ in range(7):
        fit.update()
    captured = fit.capture()
    losses = [fit.update()["loss"] for _ in range(5)]
    again = Fit(training, windows, windows.take(np.arange(5)))
    again.restore(*captured, where="test")
    assert [again.update()["loss"] for _ in range(5)] == losses
    other = Fit(replace(training, net=NetConfig(encoder="mlp")), windows, windows.take(np.arange(5)))
    with pytest.raises(InputError, match="does not fit"):
        other.restore(*captured, where="test")


def test_shares_of_the_data_are_inside_each_other_and_the_same_for_all_heads(windows: Windows) -> None:
    def chosen(share: float, head: str) -> set[float]:
        training = Training(net=NetConfig(head=head), learn=LearnConfig(data_share=share), seed=4)
        return set(Fit(training, windows, windows.take(np.arange(2))).examples.speed.tolist())

    assert chosen(0.1, "learned") == chosen(0.1, "bicycle")
    assert chosen(0.1, "learned") < chosen(0.5, "learned")


def test_names_of_heads_are_looked_at() -> None:
    assert net_of("heading:marginal", "gru", 16) == NetConfig(head="heading", form="marginal", width=16)
    for name in ("headin", "learned:full", "bicycle:half"):
        with pytest.raises(InputError, match="--heads"):
            net_of(name, "gru", 16)


def test_an_interval_covers_the_mean_of_tracks_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(20):
        track = np.repeat(np.arange(25), 4)
        values = (rng.normal(0, 1, 25)[track] + 0.1 * rng.normal(size=100))[None]
        low, high = interval(values, track, rng)
        inside += low <= 0.0 <= high
    assert 16 <= inside <= 20
