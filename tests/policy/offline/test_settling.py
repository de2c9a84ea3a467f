"""Whether a value has settled and a policy has rows to clone: what is said, and that it is so."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.learners import settings_of
from knuckle.policy.offline.settling import settling_note, starving_note, steps_to_settle
from knuckle.policy.offline.transitions import Transitions

FAST = {"width": "16", "batch": "32", "gamma": "0.9", "tau": "0.05", "rate": "0.01"}


def costly_steps(ending: float) -> Transitions:
    """Steps that cost 1 each, a share ``ending`` of which end the task: -1 / (1 - gamma (1 - ending)) is to come."""
    rng = np.random.default_rng(0)
    count = 400
    return Transitions(
        observations=rng.standard_normal((count, 2)).astype(np.float32),
        actions=rng.uniform(-1.0, 1.0, (count, 1)).astype(np.float32),
        rewards=np.full(count, -1.0, dtype=np.float32),
        next_observations=rng.standard_normal((count, 2)).astype(np.float32),
        terminated=np.arange(count) < ending * count,
        truncated=np.zeros(count, dtype=np.bool_),
        episode=np.arange(count) // 20,
    )


@pytest.mark.parametrize(("name", "changes"), [("iql", {}), ("odice", {"lam": "0.5", "policy_width": "16"})])
@pytest.mark.parametrize("ending", [0.0, 0.1])
def test_a_value_is_most_of_the_way_after_the_steps_that_are_said_and_not_after_a_tenth(
    name: str, changes: dict[str, str], ending: float
) -> None:
    data, settings = costly_steps(ending), settings_of(name, FAST | changes)
    steps = steps_to_settle(settings, data)
    worth = -1.0 / (1.0 - 0.9 * (1.0 - ending))
    assert steps == pytest.approx(-worth / 0.05, abs=1.0)
    fit, values = Fit(name, settings, data, seed=0), []
    for until in (steps // 10, steps):
        fit.run(until)
        value = fit.value(data.observations)
        assert value is not None
        values.append(float(value.mean()) / worth)
    assert values[0] < 0.45 and values[1] > 0.55


def test_too_few_steps_are_said_with_what_would_do() -> None:
    data, settings = costly_steps(0.0), settings_of("odice", {})
    assert "after about 20000 steps at tau 0.005 and these are 1000" in settling_note(settings, data, 1000)
    assert "or tau 0.1" in settling_note(settings, data, 1000)
    assert "tau 0.1" not in settling_note(settings, data, 100)  # no tau would do in so few
    assert settling_note(settings, data, 20_000) == ""
    delayed = settings_of("td3-bc", {})
    assert steps_to_settle(delayed, data) == 2 * steps_to_settle(settings, data)


@pytest.mark.parametrize(("name", "changes"), [("bc", {}), ("odice", {"gradient": "true"})])
def test_what_has_no_target_that_follows_has_nothing_to_settle(name: str, changes: dict[str, str]) -> None:
    assert settling_note(settings_of(name, changes), costly_steps(0.0), 1) == ""


def test_a_policy_that_hardly_any_row_reaches_is_said() -> None:
    assert starving_note({"weight_effective_share": 0.3, "weight_zero_share": 0.2}) == ""
    assert starving_note({"policy_loss": 1.0}) == ""
    assert "76% of the rows weigh nothing" in starving_note({"weight_effective_share": 0.3, "weight_zero_share": 0.76})
    assert "share of the weights is 0.05" in starving_note({"weight_effective_share": 0.05})
