"""Trained forecasters and the closed form scored on the same windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from knuckle.core.config import from_mapping
from knuckle.core.errors import InputError
from knuckle.motion.forecaster import Forecaster
from knuckle.motion.forecaster_config import TRAFFIC
from knuckle.motion.learned.agent_frame import read_agents
from knuckle.motion.learned.fit import Examples, forecast_examples
from knuckle.motion.learned.heads import Forecasts
from knuckle.motion.learned.model_files import load_net
from knuckle.motion.learned.network import ForecastNet
from knuckle.motion.learned.scores import Scores, score
from knuckle.motion.mixture import Mixture
from knuckle.motion.tracks.windows import WindowConfig, Windows

CLOSED = "closed"
"""The name of the closed form among models."""


def window_config(models: list[str]) -> WindowConfig:
    """The windows that the first trained model was made for; InputError where another's differ."""
    found: WindowConfig | None = None
    for name in models:
        if name == CLOSED:
            continue
        _, card = load_net(name)
        own = from_mapping(WindowConfig, card.config["windows"], where=name)
        if found is not None and (own.history_s, own.future_s) != (found.history_s, found.future_s):
            what = f"windows of {own.history_s} + {own.future_s} s"
            right = f"{found.history_s} + {found.future_s} s, as the first model's"
            raise InputError(what, where=name, right=right)
        found = found or own
    return found or WindowConfig()


def score_models(
    models: list[str], windows: Windows, seed: int
) -> tuple[dict[str, Scores], dict[str, Forecasts], dict[str, ForecastNet]]:
    """Scores and forecasts, in the bodies' frames, by name, and the networks among the models."""
    examples = Examples(windows)
    scores: dict[str, Scores] = {}
    forecasts: dict[str, Forecasts] = {}
    nets: dict[str, ForecastNet] = {}
    for name in models:
        if name == CLOSED:
            forecasts[name] = closed_form(windows)
        else:
            net, _ = load_net(name)
            fits = (net.rows, net.steps) == (windows.history.shape[1], windows.future.shape[1])
            if not fits or abs(net.head.dt_s - windows.dt_s) > 1e-6:
                what = f"a network for steps of {net.head.dt_s:g} s, tracks every {windows.dt_s:g} s"
                raise InputError(what, where=name, right="tracks at the model's own rate")
            nets[name] = net
            forecasts[name] = forecast_examples(net, examples)
        scores[name] = score(forecasts[name], examples.future, windows.dt_s, seed)
    return scores, forecasts, nets


def closed_form(windows: Windows) -> Forecasts:
    """What the closed form forecasts of traffic, in the bodies' frames as networks have it."""
    steps, dt = windows.future.shape[1], windows.dt_s
    made = Forecaster(replace(TRAFFIC, horizon_s=steps * dt, step_s=dt)).forecast(windows.history, dt)
    agents, _ = read_agents(windows.history, dt)
    mean = torch.from_numpy(agents.into(made.mean))
    turned = np.einsum("nik,nmskl,njl->nmsij", agents.axes, made.covariance, agents.axes, optimize=True)
    mixture = Mixture(torch.from_numpy(made.probability).log(), mean, torch.from_numpy(turned))
    return Forecasts(mixture, mean)
