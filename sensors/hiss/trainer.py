"""Learning, one update at a time; all that decides the next update can be taken out and put back.

What an epoch draws follows from the run's seed and the epoch's number, what an update draws from its own number: no
state of a generator has to be kept, and on one thread a run that is put back goes on bit for bit.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch

from knuckle.core.errors import InputError, RunError
from knuckle.sensors.hiss import gaussian, gaussian_factors, normaliser
from knuckle.sensors.hiss.choice import choice_of
from knuckle.sensors.hiss.chooser import Chooser
from knuckle.sensors.hiss.features import features, raw_features
from knuckle.sensors.hiss.model import Flat, Hiss, build, parameters_of
from knuckle.sensors.hiss.model_name import model_name
from knuckle.sensors.hiss.pieces import Augment, Epoch, whole
from knuckle.sensors.hiss.predict import mean_squared_error, outputs
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.train_config import LearnConfig, Training
from knuckle.sensors.hiss.trial import CHUNK, Channels, Trial

MANY = 50
"""From so many trials on a share of the data is a share of the trials."""
RIGHT = "a lower rate; the last checkpoint is whole"


class Trainer:
    """Learns as ``training`` says on ``parts.train``; ``parts.validation`` says when it is enough.

    ``augment`` varies the training trials; ``candidates`` are inputs that the estimate is to lie among,
    from weights whose logs are ``prior`` on.
    """

    def __init__(
        self,
        training: Training,
        channels: Channels,
        parts: Parts,
        augment: Augment | None = None,
        candidates: tuple[str, ...] = (),
        prior: tuple[float, ...] = (),
    ) -> None:
        self.training, self.channels, self.augment = training, channels, augment
        self.trials = _share(parts.train, training.learn.data_share, training.seed)
        if training.look_ahead + CHUNK > min(len(t) for t in (*self.trials, *parts.validation)):
            raise InputError("a look ahead as long as a trial", where="--set look_ahead", right="fewer samples")
        config, rate = training.features, channels.rate_hz
        self.inputs = normaliser.fit(raw_features(t.inputs, config, rate) for t in self.trials)
        self.targets = normaliser.fit(t.targets[t.known] for t in self.trials)
        self.validation = [whole(t, self.read(t), training.look_ahead) for t in parts.validation]
        torch.manual_seed(training.seed)
        self.candidates = candidates
        choice = choice_of(candidates, channels, self.inputs, self.targets, where="candidates")
        outs = gaussian_factors.outputs_of(len(channels.targets)) if choice is None else choice.outputs
        network = build(config.width(len(channels.inputs)), outs, model_name(training.model), training.sizes)
        self.model: Hiss | Flat | Chooser = network if choice is None else Chooser(network, choice, prior)
        self.optimiser = torch.optim.AdamW(_wishes(self.model, training.learn))
        self.updates = self.epoch = self.at = self.best_epoch = 0
        self.best_mse = math.inf
        self.best = self._weights()
        self.spent_s = self.cpu_s = 0.0
        self._sums = [0.0, 0.0]
        self._batches: Epoch | None = None

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return parameters_of(self.model)

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or too many without a better validation error."""
        learn = self.training.learn
        return self.epoch >= learn.epochs or self.epoch - self.best_epoch >= learn.patience

    @property
    def epochs_done(self) -> float:
        """Epochs so far, a fraction of the current one included."""
        return self.epoch + (self.at / len(self._batches) if self._batches is not None else 0.0)

    def read(self, trial: Trial) -> np.typing.NDArray[np.float32]:
        """Features of a trial as the model reads them."""
        return features(trial.inputs, self.training.features, self.channels.rate_hz, self.inputs)

    def update(self) -> dict[str, float]:
        """One gradient; the losses of its batch, and after the last one of an epoch the figures of the epoch.

        RunError where the loss is no longer finite.
        """
        begun, used = time.perf_counter(), time.process_time()
        epoch = self._epoch()
        batch = epoch[self.at]
        torch.manual_seed(int(np.random.SeedSequence([self.training.seed, 1, self.updates]).generate_state(1)[0]))
        target = torch.from_numpy(self.targets(batch.targets).astype(np.float32))
        raw, held = self._outputs(torch.from_numpy(batch.features))
        weights = torch.from_numpy(batch.weights)
        square, nll = gaussian.losses(raw, target, torch.from_numpy(batch.known), weights)
        loss = square + self.training.learn.covariance * nll + held
        self._descend(loss, len(epoch))
        square_now, nll_now = float(square.detach()), float(nll.detach())
        figures = {"loss": float(loss.detach()), "square": square_now, "nll": nll_now, "updates": float(self.updates)}
        self._sums = [self._sums[0] + square_now, self._sums[1] + nll_now]
        if self.at == len(epoch):
            figures |= self._close_epoch(len(epoch))
        self.spent_s += time.perf_counter() - begun
        self.cpu_s += time.process_time() - used
        return figures | {"spent_s": self.spent_s, "cpu_s": self.cpu_s}

    def restore_best(self) -> None:
        """Put the weights of the best epoch into the model."""
        self.model.load_state_dict(self.best)

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays by name and facts for JSON, from which `restore` goes on; taken between updates."""
        arrays = {f"model.{name}": value.numpy() for name, value in self._weights().items()}
        arrays |= {f"best.{name}": value.numpy() for name, value in self.best.items()}
        for k, state in self.optimiser.state_dict()["state"].items():
            arrays |= {f"optimiser.{k}.{name}": value.numpy().copy() for name, value in state.items()}
        names = ("updates", "epoch", "at", "best_epoch", "spent_s", "cpu_s")
        facts = {name: getattr(self, name) for name in names}
        return arrays, facts | {"best_mse": self.best_mse if self.best_epoch else None, "sums": self._sums}

    def restore(self, arrays: dict[str, Any], facts: dict[str, Any], *, where: str) -> None:
        """Go on where `capture` was called, with the same training and data. InputError for what does not fit."""
        try:
            self.model.load_state_dict(_part(arrays, "model"))
            self.best = _part(arrays, "best")
            state: dict[int, dict[str, torch.Tensor]] = {}
            for name, value in _part(arrays, "optimiser").items():
                k, _, part = name.partition(".")
                state.setdefault(int(k), {})[part] = value
            self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": state})
            for name in ("updates", "epoch", "at", "best_epoch", "spent_s", "cpu_s"):
                setattr(self, name, facts[name])
            self.best_mse = math.inf if facts["best_mse"] is None else facts["best_mse"]
            self._sums, self._batches = list(facts["sums"]), None
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            what = f"the checkpoint does not fit ({str(error).splitlines()[0][:120]})"
            raise InputError(what, where=where, right="the settings and the version that it was made with") from error

    def _epoch(self) -> Epoch:
        if self._batches is None:
            learn = self.training.learn
            rng = np.random.default_rng([self.training.seed, 0, self.epoch])
            self._batches = Epoch(
                self.trials,
                self.read,
                chunks=max(1, round(learn.window_s * self.channels.rate_hz / CHUNK)),
                batch=learn.batch,
                look_ahead=self.training.look_ahead,
                rng=rng,
                augment=self.augment if learn.augment else None,
            )
        return self._batches

    def _outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the model gives for ``x``, and the cost of how far its weights of candidates strayed."""
        hold = self.training.learn.hold
        if not (hold and isinstance(self.model, Chooser)):
            return self.model(x), torch.zeros(())
        weights = self.model.network(x)
        return self.model.settle(weights, x), hold * self.model.strayed(weights).mean()

    def _descend(self, loss: torch.Tensor, per_epoch: int) -> None:
        if not bool(torch.isfinite(loss.detach())):
            raise RunError(
                f"the loss is {float(loss.detach())} at update {self.updates + 1}", where="training", right=RIGHT
            )
        learn = self.training.learn
        done = self.updates / max(learn.epochs * per_epoch, 1)
        cosine = learn.rate_end + (1.0 - learn.rate_end) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * cosine * min(1.0, (self.updates + 1) / (learn.warmup + 1))
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), learn.gradient_norm)
        self.optimiser.step()
        self.updates, self.at = self.updates + 1, self.at + 1

    def _close_epoch(self, batches: int) -> dict[str, float]:
        raws = outputs(self.model, self.validation)
        mse = mean_squared_error(raws, self.validation, self.targets)
        self.epoch, self.at, self._batches = self.epoch + 1, 0, None
        if mse < self.best_mse or self.best_epoch == 0:
            self.best_mse, self.best_epoch, self.best = mse, self.epoch, self._weights()
        figures = {"train_square": self._sums[0] / batches, "train_nll": self._sums[1] / batches}
        self._sums = [0.0, 0.0]
        best = {"best_mse": self.best_mse, "best_epoch": float(self.best_epoch)}
        return figures | {"epoch": float(self.epoch), "validation_mse": mse} | best

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}


def _part(arrays: dict[str, Any], kind: str) -> dict[str, torch.Tensor]:
    start = f"{kind}."
    return {n.removeprefix(start): torch.as_tensor(v.copy()) for n, v in arrays.items() if n.startswith(start)}


def _wishes(model: torch.nn.Module, learn: LearnConfig) -> list[dict[str, Any]]:
    """Parameters in groups of the same rate and decay: what S4's kernels wish for themselves (``_optim``) is kept."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for parameter in model.parameters():
        wish = getattr(parameter, "_optim", {})
        rate = min(float(wish.get("lr", learn.rate)), learn.rate)
        decay = float(wish.get("weight_decay", learn.weight_decay))
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": own, "lr": rate, "weight_decay": decay, "highest": rate} for (rate, decay), own in groups.items()
    ]


def _share(trials: tuple[Trial, ...], share: float, seed: int) -> tuple[Trial, ...]:
    """A share of the training data, drawn by ``seed``; a smaller share is part of a larger one.

    Of many trials some are taken whole, as in the paper; of few, a stretch of each, so that no kind of motion is lost.
    """
    rng = np.random.default_rng([seed, 2])
    if share >= 1.0:
        return trials
    if len(trials) >= MANY:
        order = rng.permutation(len(trials))
        return tuple(trials[i] for i in sorted(order[: max(1, round(share * len(trials)))]))
    return tuple(_stretch(trial, share, float(rng.random())) for trial in trials)


def _stretch(trial: Trial, share: float, centre: float) -> Trial:
    """``share`` of a trial about its ``centre`` (0 to 1), moved inside where it would stick out."""
    n = len(trial)
    length = min(n, max(2 * CHUNK, round(share * n)))
    begin = min(max(round(centre * n - 0.5 * length), 0), n - length)
    part = slice(begin, begin + length)
    return Trial(trial.name, trial.group, trial.inputs[part], trial.targets[part], trial.scored[part])
