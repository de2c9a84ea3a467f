"""Controllers by name, and trained policies by name or folder, for the policy node and the evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knuckle.core.config import describe, parse_text
from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.baselines import DoNothing, RandomActions
from knuckle.policy.contract import Policy
from knuckle.policy.learned.policy_folder import policy_folder, trained_names
from knuckle.policy.mpc import SamplingMpc
from knuckle.policy.mpc_config import MpcConfig

CONTROLLERS = ("mpc", "nothing", "random")


def make_controller(
    name: str,
    hand: HandSpec,
    *,
    seed: int = 0,
    threads: int = 2,
    settings: Mapping[str, str] | None = None,
    where: str = "",
) -> Policy:
    """The controller ``name`` for ``hand``: a known one, a trained policy of ours, or the folder of one.

    InputError lists the known ones, or says what is wrong with the folder. ``settings`` are the planner's, as text by
    name, where they differ from its own; ConfigError for one that does not exist or is out of its range.
    """
    if settings and name != "mpc":
        raise InputError(f"'{name}' has no settings", where="--planner", right="only mpc has")
    if name == "mpc":
        return SamplingMpc(hand, planner_config(threads, settings or {}), seed=seed)
    if name == "nothing":
        return DoNothing(hand)
    if name == "random":
        return RandomActions(hand, seed=seed)
    if (folder := policy_folder(name)) is not None:
        from knuckle.policy.learned.learned_policy import LearnedPolicy

        return LearnedPolicy(hand, folder, np.random.default_rng(seed))
    unknown = unknown_name("controller", name, (*CONTROLLERS, *trained_names()), where=where)
    raise InputError(unknown.what, where=where, right=f"{unknown.right}, or the folder of a trained policy")


def planner_config(threads: int, settings: Mapping[str, str]) -> MpcConfig:
    """The planner's configuration with ``settings`` given as text."""
    known = {spec.name: spec for spec in describe(MpcConfig)}
    values = {}
    for name, text in settings.items():
        if name not in known:
            raise unknown_name("planner setting", name, known, where="--planner")
        values[name] = parse_text(known[name], text, where=f"planner.{name}")
    return MpcConfig(**({"threads": threads} | values))
