"""Learning, one update at a time; what an update draws follows from the seed and its number, so that a run that goes
on does so as it would have.

First only the head's own few numbers learn, the spreads that it says of every window alike, around the constant
accelerations that all heads begin with: no head is ahead of another by how it was begun. That ends where the validation
is no longer better, from its best weights: a formulation's two spreads are learned in ten updates, a rival's for every
step in sixty, and any head's are spoilt by a few windows of training that are unlike the rest. Then all weights learn.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knuckle.core.errors import InputError, RunError
from knuckle.motion.displacement import min_ade
from knuckle.motion.learned.agent_frame import read_agents
from knuckle.motion.learned.heads import Forecasts
from knuckle.motion.learned.network import make_net
from knuckle.motion.learned.settings import Training
from knuckle.motion.mixture import mixture_nll
from knuckle.motion.tracks.windows import Windows


class Examples:
    """Windows as tensors: ``features`` (W, H, 5), ``speed`` (W,), ``future`` (W, T, 2) in the bodies' frames."""

    def __init__(self, windows: Windows) -> None:
        agents, features = read_agents(windows.history, windows.dt_s)
        self.features = torch.from_numpy(features)
        self.speed = torch.from_numpy(agents.speed.astype(np.float32))
        self.future = torch.from_numpy(agents.into(windows.future).astype(np.float32))

    def __len__(self) -> int:
        return len(self.speed)


class Fit:
    """A network on its way: learns on a share of ``train``, ``validation`` says which of its weights are the best."""

    def __init__(self, training: Training, train: Windows, validation: Windows) -> None:
        self.training, learn = training, training.learn
        if not len(train) or not len(validation):
            what = f"{len(train)} windows to learn from, {len(validation)} to validate on"
            raise InputError(what, where="train forecast", right="at least one of each, from different sequences")
        rng = np.random.default_rng([training.seed, 0])
        chosen = rng.permutation(len(train))[: max(1, round(learn.data_share * len(train)))]
        self.examples, self.validation = Examples(train.take(chosen)), Examples(validation)
        same = np.bincount(train.track[chosen])[train.track[chosen]] if learn.balance else np.ones(len(chosen))
        self._chance = (1 / same) / (1 / same).sum()
        rows, steps = train.history.shape[1], train.future.shape[1]
        self.net = make_net(training.net, rows, steps, train.dt_s, training.seed)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=learn.rate, weight_decay=learn.decay)
        self.updates = self.best_update = 0
        self.begin = learn.begin
        self.best_nll, self.cpu_s = math.inf, 0.0
        self.best = self._weights()

    @property
    def over(self) -> bool:
        """Whether all updates are done, or too many without a better validation."""
        learn = self.training.learn
        waited = self.updates - max(self.best_update, self.begin)
        return self.updates >= learn.updates or waited >= learn.patience * learn.check_every

    def update(self) -> dict[str, float]:
        """One step; its figures, and every ``check_every`` the validation's. RunError where the loss is not finite."""
        begun, learn = time.process_time(), self.training.learn
        rng = np.random.default_rng([self.training.seed, 1, self.updates])
        count = min(learn.batch, 2 * len(self.examples))
        rows = torch.from_numpy(rng.choice(len(self.examples), count, p=self._chance))
        features, future = self.examples.features[rows], self.examples.future[rows]
        if learn.mirror:
            side = torch.from_numpy(np.where(rng.random(len(rows)) < 0.5, -1.0, 1.0).astype(np.float32))[:, None]
            features, future = features.clone(), future.clone()
            features[..., 1] *= side
            features[..., 3] *= side
            future[..., 1] *= side
        forecasts = self.net(features, self.examples.speed[rows])
        nll = mixture_nll(forecasts.mixture, future).mean()
        nearest = min_ade(forecasts.motions, future).mean()
        loss = nll + learn.nearest * nearest
        if not math.isfinite(float(loss.detach())):
            raise RunError(f"the loss is {float(loss.detach())} after {self.updates} updates", right="a smaller rate")
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.updates < self.begin:
            for name, weight in self.net.named_parameters():
                if not name.startswith("head."):
                    weight.grad = None
        nn.utils.clip_grad_norm_(self.net.parameters(), learn.clip)
        self.optimiser.step()
        self.updates += 1
        figures = {"loss": float(loss.detach()), "nll": float(nll.detach()), "nearest_m": float(nearest.detach())}
        if self.updates % learn.check_every == 0 or self.updates == learn.updates:
            figures |= self._validate()
        self.cpu_s += time.process_time() - begun
        return figures | {"updates": float(self.updates), "cpu_s": self.cpu_s}

    def run(self) -> None:
        """Update until it is over, and put the best weights into the network."""
        while not self.over:
            self.update()
        self.restore_best()

    def restore_best(self) -> None:
        """Put the weights of the best validation into the network."""
        self.net.load_state_dict(self.best)

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays by name and facts for JSON, from which `restore` goes on; taken between updates."""
        arrays = {f"net.{name}": value.numpy() for name, value in self._weights().items()}
        arrays |= {f"best.{name}": value.numpy() for name, value in self.best.items()}
        for k, state in self.optimiser.state_dict()["state"].items():
            arrays |= {f"adam.{k}.{name}": value.numpy().copy() for name, value in state.items()}
        best = self.best_nll if math.isfinite(self.best_nll) else None
        facts: dict[str, Any] = {"updates": self.updates, "best_update": self.best_update, "begin": self.begin}
        facts |= {"best_nll": best, "cpu_s": self.cpu_s}
        return arrays, facts

    def restore(self, arrays: dict[str, Any], facts: dict[str, Any], *, where: str) -> None:
        """Go on where `capture` was called, with the same training and windows. InputError for what does not fit."""
        try:
            self.net.load_state_dict(_part(arrays, "net"))
            self.best = _part(arrays, "best")
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in _part(arrays, "adam").items():
                k, _, part = name.partition(".")
                moments.setdefault(int(k), {})[part] = value
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
            self.updates, self.best_update = int(facts["updates"]), int(facts["best_update"])
            self.begin = int(facts["begin"])
            self.best_nll = math.inf if facts["best_nll"] is None else float(facts["best_nll"])
            self.cpu_s = float(facts["cpu_s"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            what = f"the checkpoint does not fit ({str(error).splitlines()[0][:120]})"
            raise InputError(what, where=where, right="the settings and the data that it was made with") from error

    def _validate(self) -> dict[str, float]:
        forecasts = forecast_examples(self.net, self.validation)
        nll = float(mixture_nll(forecasts.mixture, self.validation.future).mean())
        if nll < self.best_nll:
            self.best_nll, self.best_update, self.best = nll, self.updates, self._weights()
        elif self.updates < self.begin:
            self.begin = self.updates
            self.restore_best()
            self.optimiser.state.clear()
        ade = float(min_ade(forecasts.motions, self.validation.future).mean())
        return {"validation_nll": nll, "validation_min_ade_m": ade, "best_nll": self.best_nll}

    def _rate(self) -> float:
        """The learning rate of this update."""
        learn, at = self.training.learn, self.updates - self.begin
        if at < 0:
            return learn.begin_rate
        warm = min(1.0, (at + 1) / max(1, learn.warm))
        share = at / max(1, learn.updates - self.begin)
        return learn.rate * warm * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * share)))

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.net.state_dict().items()}


def forecast_examples(net: nn.Module, examples: Examples) -> Forecasts:
    """What ``net`` forecasts of all examples, without gradients."""
    with torch.no_grad():
        forecasts: Forecasts = net(examples.features, examples.speed)
        return forecasts


def _part(arrays: dict[str, Any], name: str) -> dict[str, Tensor]:
    """The arrays whose names begin with ``name.``, as tensors."""
    return {
        key[len(name) + 1 :]: torch.from_numpy(np.array(value))
        for key, value in arrays.items()
        if key.startswith(f"{name}.")
    }
