"""Controllers by name, for the policy node and the evaluation."""

from __future__ import annotations

from knuckle.core.errors import unknown_name
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.baselines import DoNothing, RandomActions
from knuckle.policy.contract import Policy
from knuckle.policy.mpc import SamplingMpc
from knuckle.policy.mpc_config import MpcConfig

CONTROLLERS = ("mpc", "nothing", "random")


def make_controller(name: str, hand: HandSpec, *, seed: int = 0, threads: int = 2, where: str = "") -> Policy:
    """The controller ``name`` for ``hand``; InputError lists the known ones."""
    if name == "mpc":
        return SamplingMpc(hand, MpcConfig(threads=threads), seed=seed)
    if name == "nothing":
        return DoNothing(hand)
    if name == "random":
        return RandomActions(hand, seed=seed)
    raise unknown_name("controller", name, CONTROLLERS, where=where)
