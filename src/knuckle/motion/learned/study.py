"""Heads beside each other: each is learned on shares of the same windows from the same seeds, and scored on what no
head has seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, unknown_name
from knuckle.motion.learned.fit import Examples, Fit, forecast_examples
from knuckle.motion.learned.scores import Scores, interval, score
from knuckle.motion.learned.settings import FORMS, HEADS, KINEMATIC, LEARNED, NetConfig, Training
from knuckle.motion.tracks.windows import Windows

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One head at one share of the data, learned from ``S`` seeds: scores (S, W) by name, CPU seconds of learning."""

    head: str
    share: float
    values: dict[str, Array]
    cpu_s: float
    windows: int

    def mean(self, name: str) -> float:
        """The mean over seeds and windows."""
        return float(self.values[name].mean())


@dataclass(frozen=True)
class Gain:
    """A head's NLL over that of learned variance, in nats a step (above 0 is better), and its minFDE over that one's
    in m (below 0 is better), each with 95% bounds, paired over seeds and tracks."""

    nll: float
    nll_bounds: tuple[float, float]
    fde_m: float
    fde_bounds_m: tuple[float, float]


def net_of(name: str, encoder: str, width: int) -> NetConfig:
    """``bicycle``, ``bicycle:marginal`` and so on as a network's settings; InputError for another name."""
    head, _, form = name.partition(":")
    if head not in HEADS:
        raise unknown_name("head", head, HEADS, where="--heads")
    if form and (form not in FORMS or head not in KINEMATIC):
        raise unknown_name("form", form, FORMS if head in KINEMATIC else (), where="--heads")
    return NetConfig(encoder=encoder, head=head, form=form or "full", width=width)


def learn_and_score(training: Training, parts: tuple[Windows, Windows, Windows]) -> tuple[Scores, Fit]:
    """Learn on the first part, choose by the second, score on the third; the bicycle is scored in its curved form."""
    train, validation, test = parts
    fit = Fit(training, train, validation)
    fit.run()
    if training.net.head == "bicycle" and training.net.form == "full":
        fit.net.head.form = "curved"
    examples = Examples(test)
    return score(forecast_examples(fit.net, examples), examples.future, test.dt_s, training.seed), fit


def compare(
    names: list[str],
    encoder: str,
    shares: list[float],
    seeds: list[int],
    training: Training,
    parts: tuple[Windows, Windows, Windows],
    told: Callable[[Case], object],
) -> list[Case]:
    """Every head at every share from every seed; ``told`` is called with each case."""
    if not len(parts[2]):
        raise InputError("no window to test on", where="--test", right="sequences with vehicles that move")
    cases = []
    for share in shares:
        for name in names:
            begun, found, windows = time.process_time(), [], 0
            for seed in seeds:
                one = replace(
                    training,
                    net=net_of(name, encoder, training.net.width),
                    learn=replace(training.learn, data_share=share),
                    seed=seed,
                )
                scores, fit = learn_and_score(one, parts)
                found.append(scores.values)
                windows = len(fit.examples)
            values = {key: np.stack([values[key] for values in found]) for key in found[0]}
            cases.append(Case(name, share, values, time.process_time() - begun, windows))
            told(cases[-1])
    return cases


def gains(cases: list[Case], track: NDArray[np.int64], seed: int) -> dict[tuple[str, float], Gain]:
    """Every head's gain over learned variance at the same share."""
    rivals = {case.share: case for case in cases if case.head == LEARNED}
    out = {}
    for case in cases:
        if case.head == LEARNED or case.share not in rivals:
            continue
        rival = rivals[case.share].values
        nll, fde = rival["nll"] - case.values["nll"], case.values["min_fde_m"] - rival["min_fde_m"]
        rng = np.random.default_rng(seed)
        out[case.head, case.share] = Gain(
            float(nll.mean()), interval(nll, track, rng), float(fde.mean()), interval(fde, track, rng)
        )
    return out
