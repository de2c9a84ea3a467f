"""The fit: CMA-ES over stiffness, damping and velocity limit of each joint of a finger, and the delay of its commands.

A candidate is good where a finger simulated with it goes where the real one went: the mean squared difference of the
joint angles, in pulses of the encoder. All numbers are searched by their logarithm around the hand's own. The delay,
from when a target is sent to when it acts, is common to the joints: left out, it would be taken for damping.
CMA-ES finds the way with long simulated steps; a few steps of Gauss-Newton with short ones find the last digits.

The simulator is an argument (`FingerSimulator`): the room of hardware knows none.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from knuckle.core.config import setting, validate
from knuckle.core.errors import InputError
from knuckle.hardware.identification.clearance import Finger
from knuckle.hardware.identification.record import FingerRecord
from knuckle.hardware.spec.dynamixel_table import RAD_PER_PULSE
from knuckle.hardware.spec.hand_spec import Array, HandSpec

PARAMETERS = ("stiffness", "damping", "velocity_limit")
DELAY_UNIT_S = 0.01
"""The delay's own scale in the search, beside logarithms of about 0.3."""
CHANGE = 0.02
"""By how much, as a logarithm, numbers are changed to see what the motion shows of them."""
SLOW_START = 0.5
"""The share of its velocity limit with which a joint begins."""
LONGEST, RCOND, ENOUGH = 0.3, 1e-6, 1e-4
"""Of a Gauss-Newton step: its longest way, what counts as not shown by the motion, the gain that is not worth another.
"""


class FingerSimulator(Protocol):
    """One finger, simulated many times over."""

    def __call__(
        self, stiffness: Array, damping: Array, velocity_limit: Array, start: Array, targets: Array, dt_s: float
    ) -> Array:
        """Angles (N, T, K) in rad of N candidates under ``targets`` (N, T, K), each held for ``dt_s``, from ``start``
        (K,) at rest; gains and limits are (N, K), in N m/rad, N m s/rad and rad/s."""
        ...


@dataclass(frozen=True)
class FitConfig:
    """How long and how wide is searched."""

    coarse: int = setting(2, "simulated steps a sample, to find the way", low=1, high=20)
    substeps: int = setting(5, "simulated steps a sample, at the end", low=1, high=20)
    spread: float = setting(0.4, "deviation of the first candidates' logarithms", low=0.01, high=2.0)
    widest: float = setting(5.0, "largest factor between the result and the hand's own numbers", low=1.1, high=100.0)
    longest_delay: float = setting(0.05, "largest delay of commands", low=0.0, high=0.2, unit="s")
    candidates: int = setting(14, "candidates a generation", low=6, high=200)
    generations: int = setting(250, "generations at most, of the search", low=1, high=10_000)
    settled: float = setting(3e-3, "end where the candidates' costs differ by less, in pulses", low=1e-9, high=1.0)
    searches: int = setting(3, "searches at most: one may end in a valley of its own", low=1, high=20)
    good: float = setting(1.5, "cost with which no other search is made", low=0.0, high=100.0)
    polish: int = setting(10, "steps of Gauss-Newton after it, at most", low=0, high=50)
    seed: int = setting(0, "seed of the search", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class Fit:
    """What was found for the joints ``names``: parameters (K,), ``delay_s``, and how well they explain the record.

    ``residual_rad`` (K,) is the root mean square of what is left. ``standard_error`` (K, 3) is that of each number as a
    share of it, were all that is left noise: infinite where the motion does not show it; ``time_constant_error`` (K,)
    that of damping over stiffness, which is seen far better than either where a link is light. ``simulations`` counts
    simulated fingers. ``q`` (T, K) rad is the simulated motion at ``time_s`` (T,).
    """

    names: tuple[str, ...]
    stiffness: Array
    damping: Array
    velocity_limit: Array
    delay_s: float
    residual_rad: Array
    standard_error: Array
    time_constant_error: Array
    simulations: int
    time_s: Array
    q: Array


def fit_servos(hand: HandSpec, record: FingerRecord, simulate: FingerSimulator, config: FitConfig | None = None) -> Fit:
    """The parameters of the finger of ``record``, which is of ``hand``; InputError where it is not."""
    config = validate(config or FitConfig(), where="sysid")
    rng = np.random.default_rng(config.seed)
    coarse = _Problem(hand, record, simulate, config, config.coarse)
    near, least = coarse.first(), np.inf
    for _ in range(config.searches):
        found, cost = _search(coarse, coarse.first(), config, rng)
        near, least = (found, cost) if cost < least else (near, least)
        if least <= config.good:
            break
    # Long steps act like a little more damping and delay: the last digits need short ones.
    fine = _Problem(hand, record, simulate, config, config.substeps)
    return fine.result(_polished(fine, near, config.polish), coarse.simulations)


class _Problem:
    """The cost of candidates: vectors of 3 K logarithms, parameter by parameter, and the delay."""

    def __init__(
        self, hand: HandSpec, record: FingerRecord, simulate: FingerSimulator, config: FitConfig, substeps: int
    ) -> None:
        if record.hand != hand.name:
            raise InputError(f"the record is of hand {record.hand}", where="sysid", right=hand.name)
        finger = Finger(hand, record.finger)
        joints = [hand.joints[k] for k in finger.joints]
        self.names, self.simulate, self.config = finger.names, simulate, config
        self.nominal = np.array([[getattr(joint, name) for joint in joints] for name in PARAMETERS])
        self.substeps, self.dt_s = substeps, 1.0 / (record.rate_hz * substeps)
        self.targets, self.measured = record.on_grid(substeps)
        self.start = self.measured[0]
        self.simulations = 0

    @property
    def width(self) -> int:
        """Numbers of a candidate."""
        return self.nominal.size + 1

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The least and the largest candidate, (width,) each."""
        reach = np.full(self.width - 1, math.log(self.config.widest))
        return np.append(-reach, 0.0), np.append(reach, max(self.config.longest_delay / DELAY_UNIT_S, 1e-6))

    def first(self) -> Array:
        """Where the search begins, (width,): the hand's own numbers, but for a velocity limit that is surely reached.

        One that is not reached changes nothing: from there no search would find its way.
        """
        start = np.zeros(self.nominal.shape)
        start[PARAMETERS.index("velocity_limit")] = math.log(SLOW_START)
        return np.append(start, min(0.5, 0.5 * self.config.longest_delay / DELAY_UNIT_S))

    def parameters(self, candidates: Array) -> tuple[Array, Array]:
        """Stiffness, damping and velocity limits (3, N, K) and delays (N,) in s of ``candidates`` (N, width)."""
        logarithms = candidates[:, :-1].reshape(len(candidates), *self.nominal.shape).swapaxes(0, 1)
        return self.nominal[:, None] * np.exp(logarithms), DELAY_UNIT_S * candidates[:, -1]

    def paths(self, candidates: Array) -> Array:
        """The simulated angles (N, T, K) at the times of the samples."""
        gains, delay_s = self.parameters(candidates)
        self.simulations += len(candidates)
        targets = _delayed(self.targets, delay_s / self.dt_s)
        path = self.simulate(gains[0], gains[1], gains[2], self.start, targets, self.dt_s)
        return path[:, :: self.substeps]

    def errors(self, candidates: Array) -> Array:
        """Mean squared differences (N, K) in square pulses."""
        apart = (self.paths(candidates) - self.measured) / RAD_PER_PULSE
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.einsum("ntk,ntk->nk", apart, apart) / apart.shape[1]
        return np.asarray(np.where(np.isfinite(squares), squares, 1e12))

    def costs(self, candidates: Array) -> Array:
        """The root mean square difference (N,) in pulses."""
        return np.asarray(np.sqrt(self.errors(candidates).mean(axis=1)))

    def linearised(self, at: Array) -> tuple[Array, Array, Array]:
        """The path (T, K) of candidate ``at`` (width,), its errors (T, K) in rad, and its slopes (width, T K)."""
        changed = np.tile(at, (2 * self.width, 1))
        for k in range(self.width):
            changed[2 * k : 2 * k + 2, k] += CHANGE, -CHANGE
        # Together: the number of copies that a simulator is built for may cost as much as the simulation.
        paths = self.paths(np.concatenate([at[None], changed]))
        slopes = (paths[1::2] - paths[2::2]) / (2.0 * CHANGE)
        return paths[0], paths[0] - self.measured, slopes.reshape(self.width, -1)

    def result(self, best: Array, before: int) -> Fit:
        """What ``best`` (width,) means, and how well the motion shows it; ``before`` simulations were made already."""
        gains, delay_s = self.parameters(best[None])
        path, apart, slopes = self.linearised(best)
        covariance = _covariance(slopes, apart)
        error = np.sqrt(np.diag(covariance))
        k, d = np.arange(2 * len(self.names)).reshape(2, -1)
        ratio = covariance[k, k] + covariance[d, d] - 2.0 * np.where(np.isfinite(error[k]), covariance[k, d], 0.0)
        return Fit(
            names=self.names,
            stiffness=gains[0, 0],
            damping=gains[1, 0],
            velocity_limit=gains[2, 0],
            delay_s=float(max(delay_s[0], 0.0)),
            residual_rad=np.sqrt((apart**2).mean(axis=0)),
            standard_error=error[:-1].reshape(self.nominal.shape).T,
            time_constant_error=np.sqrt(np.maximum(ratio, 0.0)),
            simulations=before + self.simulations,
            time_s=np.arange(len(apart), dtype=np.float64) * self.dt_s * self.substeps,
            q=path,
        )


def _covariance(slopes: Array, apart: Array) -> Array:
    """That (P, P) of P parameters from the ``slopes`` (P, T K) of what was measured, and the errors ``apart`` (T, K).

    variance (J J^T)^-1; infinite on the diagonal for what no slope shows. What is left is no white noise, and counts as
    so many samples as it has times of its own autocorrelation.
    """
    information = slopes @ slopes.T
    scale = np.sqrt(np.diag(information))
    shown = scale > 1e-9 * max(float(scale.max()), 1e-300)
    part = information[np.ix_(shown, shown)] / np.outer(scale[shown], scale[shown])
    variance = float(np.mean(apart**2)) * _alike(apart)
    covariance = np.diag(np.where(shown, 0.0, np.inf))
    inverse = np.linalg.pinv(part, rcond=1e-12) / np.outer(scale[shown], scale[shown])
    covariance[np.ix_(shown, shown)] = variance * inverse
    return covariance


def _alike(apart: Array) -> float:
    """Over how many samples errors (T, K) are alike: 1 + 2 sum of their autocorrelation up to its first zero."""
    longest = 1.0
    for column in (apart - apart.mean(axis=0)).T:
        power = np.abs(np.fft.rfft(column, 2 * len(column))) ** 2
        correlation = np.fft.irfft(power)[: len(column)]
        correlation = correlation / max(float(correlation[0]), 1e-300)
        ends = np.flatnonzero(correlation <= 0.0)
        longest = max(longest, 1.0 + 2.0 * float(correlation[1 : ends[0] if len(ends) else None].sum()))
    return longest


def _search(problem: _Problem, first: Array, config: FitConfig, rng: np.random.Generator) -> tuple[Array, float]:
    """The best candidate (width,) that CMA-ES finds around ``first``, and its cost."""
    with warnings.catch_warnings():
        # It would like to plot; we do not.
        warnings.simplefilter("ignore", UserWarning)
        import cma
    lower, upper = problem.bounds
    options = {
        "bounds": [lower.tolist(), upper.tolist()],
        "popsize": config.candidates,
        "maxiter": config.generations,
        "tolfun": config.settled,
        "tolfunhist": config.settled,
        "tolx": 1e-6,
        # Its own draws come from numpy's global generator, which is nobody's to seed.
        "seed": np.nan,
        "randn": lambda *shape: rng.standard_normal(shape),
        "verbose": -9,
        "verb_log": 0,
    }
    strategy = cma.CMAEvolutionStrategy(first, config.spread, options)
    while not strategy.stop():
        candidates = np.array(strategy.ask())
        strategy.tell(list(candidates), problem.costs(candidates).tolist())
    return np.asarray(strategy.result.xbest, dtype=np.float64), float(strategy.result.fbest)


def _polished(problem: _Problem, near: Array, steps: int) -> Array:
    """The least squares solution about ``near`` (width,), by ``steps`` of Gauss-Newton; never one that is worse."""
    best, (_, apart, slopes) = near, problem.linearised(near)
    least, (lower, upper) = float(np.mean(apart**2)), problem.bounds
    share = 1.0
    for _ in range(steps):
        change = np.linalg.lstsq(slopes.T, -apart.ravel(), rcond=RCOND)[0]
        tried = np.clip(best + share * np.clip(change, -LONGEST, LONGEST), lower, upper)
        _, tried_apart, tried_slopes = problem.linearised(tried)
        cost = float(np.mean(tried_apart**2))
        if not cost < least:
            share *= 0.3
            continue
        done = cost > (1.0 - ENOUGH) * least
        best, least, apart, slopes, share = tried, cost, tried_apart, tried_slopes, min(1.0, 2.0 * share)
        if done:
            break
    return best


def _delayed(targets: Array, steps: Array) -> Array:
    """``targets`` (T, K) for each of N candidates (N, T, K), later by ``steps`` (N,), which need not be whole."""
    whole = np.floor(steps).astype(int)
    part = (steps - whole)[:, None, None]
    at, last = np.arange(len(targets))[None, :] - whole[:, None], len(targets) - 1
    return np.asarray((1.0 - part) * targets[np.clip(at, 0, last)] + part * targets[np.clip(at - 1, 0, last)])
