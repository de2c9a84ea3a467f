"""The estimators of orientation that a stream can be given, by name."""

from __future__ import annotations

from collections.abc import Callable

from knuckle.core.errors import unknown_name
from knuckle.sensors.complementary import ComplementaryConfig, ComplementaryEstimator
from knuckle.sensors.estimator import Estimator
from knuckle.sensors.hard_iron_vqf import HardIronVqfConfig, HardIronVqfEstimator
from knuckle.sensors.madgwick import MadgwickConfig, MadgwickEstimator
from knuckle.sensors.vqf_estimator import VqfConfig, VqfEstimator

ESTIMATORS: dict[str, Callable[[float], Estimator]] = {
    "vqf": lambda rate_hz: VqfEstimator(VqfConfig(rate_hz=rate_hz)),
    "madgwick": lambda rate_hz: MadgwickEstimator(MadgwickConfig(rate_hz=rate_hz)),
    "complementary": lambda rate_hz: ComplementaryEstimator(ComplementaryConfig(rate_hz=rate_hz)),
    "vqf-hard-iron": lambda rate_hz: HardIronVqfEstimator(HardIronVqfConfig(rate_hz=rate_hz)),
}
"""Name to what makes one for samples at a rate in Hz."""


def orientation_estimator(name: str, rate_hz: float, *, where: str = "") -> Estimator:
    """The estimator ``name`` with its defaults, for samples at ``rate_hz``; InputError where there is none."""
    if name not in ESTIMATORS:
        raise unknown_name("estimator", name, ESTIMATORS, where=where)
    return ESTIMATORS[name](rate_hz)
