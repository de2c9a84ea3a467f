"""A policy as another learner's beginning: its actor is taken over exactly, what does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.actor_start import actor_layers, begin_with_policy, read_warm_start
from knuckle.policy.learned.export import export_policy
from knuckle.policy.learned.learned_policy import open_network, run_network
from knuckle.policy.learned.train_config import make_training
from knuckle.policy.learned.trainer import Trainer

HAND = hand_spec("dclaw3")
SMALL = {"worlds": "8", "steps": "6", "width": "16", "minibatches": "2", "judge_worlds": "4", "cached_starts": "4"}


def trainer(folder: Path, starts: Path, seed: int, **changes: str) -> Trainer:
    training = make_training("quick", "dclaw3", SMALL | changes, threads=1, seed=seed)
    return Trainer(training, fault_folder=folder, cache_folder=starts)


def exported(of: Trainer, folder: Path) -> Path:
    export_policy(folder, HAND, of.actor(), name="x", observed=of.observed(), training={}, data="none")
    return folder


@pytest.mark.parametrize("symmetric", ["true", "false"])
def test_ppo_begins_as_the_policy_acts(tmp_path: Path, start_folder: Path, symmetric: str) -> None:
    teacher = trainer(tmp_path, start_folder, 1, symmetric=symmetric)
    teacher.update()
    folder = exported(teacher, tmp_path / "p")
    pupil = trainer(tmp_path, start_folder, 2, symmetric=symmetric, critic_first="1")
    seen = teacher.observed()
    start = read_warm_start(str(folder), HAND, hidden=[16, 16], symmetric=symmetric == "true", where="--from")
    assert start.name == "x" and start.hidden == [16, 16]
    assert not np.allclose(pupil.act(seen), teacher.act(seen), atol=1e-3)
    begin_with_policy(pupil, str(folder), where="--from")
    np.testing.assert_allclose(pupil.act(seen), teacher.act(seen), atol=1e-5)
    deployed = run_network(open_network(folder / "policy.onnx", 87, 9), seen)
    np.testing.assert_allclose(np.clip(pupil.act(seen), -1.0, 1.0), deployed, atol=1e-5)
    # The critic learns alone at first; what was seen since has moved the normaliser next to nothing.
    before = [part.weight.detach().clone() for part in actor_layers(pupil.model)]
    noise = pupil.model.policy.log_std.detach().clone()
    value = pupil.model.policy.value_net.weight.detach().clone()
    pupil.update()
    assert all(bool((a == part.weight).all()) for a, part in zip(before, actor_layers(pupil.model), strict=True))
    assert bool((noise == pupil.model.policy.log_std).all())
    assert not bool((value == pupil.model.policy.value_net.weight).all())
    np.testing.assert_allclose(pupil.act(seen), teacher.act(seen), atol=1e-2)
    pupil.update()
    assert not all(bool((a == part.weight).all()) for a, part in zip(before, actor_layers(pupil.model), strict=True))


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, export: Callable[..., Path]) -> None:
    folder = export(tmp_path / "p")
    cases = [
        ({"hidden": [16], "symmetric": True}, "the policy is one network for the whole hand; symmetric=false"),
        (
            {"hidden": [32, 32], "symmetric": False},
            r"hidden layers have \[16\] units, not \[32, 32\]; width=16,layers=1",
        ),
    ]
    for wanted, line in cases:
        with pytest.raises(InputError, match=line) as caught:
            read_warm_start(str(folder), HAND, where="--from", **wanted)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="the policy is for hand dclaw3; dclaw4"):
        read_warm_start(str(folder), hand_spec("dclaw4"), hidden=[16], symmetric=False, where="--from")
    with pytest.raises(InputError, match="--from: no policy 'nowhere'; the folder of a trained policy"):
        read_warm_start("nowhere", HAND, hidden=[16], symmetric=False, where="--from")
    (folder / "policy.onnx").write_bytes(b"half")
    with pytest.raises(InputError, match="sha256|hash|card"):
        read_warm_start(str(folder), HAND, hidden=[16], symmetric=False, where="--from")
