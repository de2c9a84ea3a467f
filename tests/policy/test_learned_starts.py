"""What a training run begins with: another's network, and the episodes of an expert."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.array_file import write_arrays
from knuckle.core.errors import InputError
from knuckle.policy.collect.collection import CONFIG, EPISODES
from knuckle.policy.learned.adaptive_ppo import statistics_of
from knuckle.policy.learned.export import export_policy
from knuckle.policy.learned.reverse_curriculum import ReverseCurriculum
from knuckle.policy.learned.shown_episodes import shown_episodes
from knuckle.policy.learned.train_config import Training, make_training
from knuckle.policy.learned.trainer import Trainer
from knuckle.policy.learned.warm_start import LEARNER, write_learner
from knuckle.sim.reorient.episode_goals import GIVEN

SMALL = {"worlds": "8", "steps": "6", "width": "16", "minibatches": "2", "judge_worlds": "4", "cached_starts": "4"}


def small(**changes: str) -> Training:
    return make_training("quick", "dclaw3", SMALL | changes, threads=1, seed=3)


def trainer_of(training: Training, folder: Path, starts: Path) -> Trainer:
    return Trainer(training, fault_folder=folder, cache_folder=starts)


def collection(path: Path, width: int, *, hand: str = "dclaw3", succeeded: bool = True) -> Path:
    """A collection of one episode of five observations, of which the last two are within 0.4 rad."""
    (path / EPISODES).mkdir(parents=True)
    (path / CONFIG).write_text(json.dumps({"hand": hand}))
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.standard_normal((5, width)).astype(np.float32),
        "actions": np.zeros((4, 9), np.float32),
        "angles": np.array([1.0, 0.8, 0.5, 0.3, 0.2], np.float32),
    }
    write_arrays(path / EPISODES / "000000.safetensors", arrays, {"object": "truck", "succeeded": succeeded})
    return path


def test_a_run_begins_with_the_network_critic_and_normaliser_of_another(tmp_path: Path, start_folder: Path) -> None:
    teacher = trainer_of(small(), tmp_path, start_folder)
    teacher.update()
    write_learner(teacher, tmp_path)
    pupil = trainer_of(small(warm_start=str(tmp_path), objects="duck"), tmp_path, start_folder)
    seen = teacher.observed()
    np.testing.assert_array_equal(pupil.act(seen), teacher.act(seen))
    np.testing.assert_array_equal(statistics_of(pupil.env).mean, statistics_of(teacher.env).mean)
    theirs = teacher.model.policy.state_dict()
    for name, mine in pupil.model.policy.state_dict().items():
        wanted = np.full(9, -1.2, np.float32) if name == "log_std" else theirs[name].numpy()
        np.testing.assert_array_equal(mine.numpy(), wanted, err_msg=name)
    assert pupil.updates == 0 and pupil.model.rate == teacher.model.rate
    pupil.update()


@pytest.mark.parametrize(
    ("changes", "said"), [({"width": "24"}, "does not fit"), ({"symmetric": "false"}, "does not fit")]
)
def test_another_network_is_refused(tmp_path: Path, start_folder: Path, changes: dict[str, str], said: str) -> None:
    teacher = trainer_of(small(), tmp_path, start_folder)
    teacher.update()
    write_learner(teacher, tmp_path)
    with pytest.raises(InputError, match=said):
        trainer_of(small(warm_start=str(tmp_path), **changes), tmp_path, start_folder)


def test_a_policy_without_a_critic_begins_with_its_actor_which_waits_for_the_critic(
    tmp_path: Path, start_folder: Path
) -> None:
    teacher = trainer_of(small(), tmp_path, start_folder)
    teacher.update()
    hand, seen = teacher.hand, teacher.observed()
    export_policy(tmp_path / "clone", hand, teacher.actor(), name="clone", observed=seen, training={}, data="none")
    pupil = trainer_of(small(warm_start=str(tmp_path / "clone"), critic_first="1"), tmp_path, start_folder)
    np.testing.assert_allclose(pupil.act(seen), teacher.act(seen), atol=1e-5)
    critic = [weight.clone() for weight in pupil.model.policy.value_net.parameters()]
    rate = pupil.model.rate
    pupil.update()
    layers = pupil.actor().layers
    for (weight, bias), (taught, biased) in zip(layers, teacher.actor().layers, strict=True):
        np.testing.assert_allclose(weight, taught, atol=1e-6)
        np.testing.assert_allclose(bias, biased, atol=1e-6)
    assert pupil.model.rate == rate
    assert any(
        not np.array_equal(a.detach(), b.detach())
        for a, b in zip(critic, pupil.model.policy.value_net.parameters(), strict=False)
    )
    pupil.update()
    assert any(not np.allclose(a[0], b[0]) for a, b in zip(pupil.actor().layers, teacher.actor().layers, strict=True))


def test_a_folder_without_a_learner_is_refused(tmp_path: Path, start_folder: Path) -> None:
    with pytest.raises(InputError, match=LEARNER):
        trainer_of(small(warm_start=str(tmp_path)), tmp_path, start_folder)


def test_a_run_begins_episodes_where_an_expert_was(tmp_path: Path, start_folder: Path) -> None:
    training = small()
    width = trainer_of(training, tmp_path, start_folder).worlds.world.spec.width
    folder = collection(tmp_path / "shown", width)
    shown = trainer_of(small(shown=str(folder), shown_share="1.0"), tmp_path, start_folder)
    assert {shown.worlds.world.goals.rung_of(k) for k in range(8)} == {GIVEN}


def test_only_rows_before_the_goal_of_episodes_that_succeeded_are_shown(tmp_path: Path) -> None:
    folder = collection(tmp_path / "a", 7)
    shown = shown_episodes(str(folder), "dclaw3", where="here")["truck"]
    assert shown.observations.shape == (3, 7) and shown.left.tolist() == [3, 2, 1]
    both = f"{folder}+{collection(tmp_path / 'b', 7)}"
    assert shown_episodes(both, "dclaw3", where="here")["truck"].left.tolist() == [3, 2, 1, 3, 2, 1]


def test_starts_move_away_from_the_goal_as_they_are_mastered_and_stand_again_where_they_stood() -> None:
    reverse = ReverseCurriculum(start=2, furthest=4, promote_at=0.5, window=4)
    reverse.retreat()
    assert reverse.reach == 2
    for won in (True, False, False, False):
        reverse.add(won)
    reverse.retreat()
    assert reverse.reach == 2 and reverse.success == 0.25
    for reach in (3, 4, 4):
        for won in (True, True, False, True):
            reverse.add(won)
        again = ReverseCurriculum(start=2, furthest=4, promote_at=0.5, window=4)
        again.restore(reverse.facts())
        again.retreat()
        reverse.retreat()
        assert again.reach == reverse.reach == reach


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"succeeded": False}, "no episode in .* succeeded"),
        ({"hand": "dclaw4"}, "is of dclaw4"),
        (None, "no collection in"),
    ],
)
def test_what_shows_nothing_is_refused_in_one_line(tmp_path: Path, made: dict | None, said: str) -> None:
    if made is not None:
        collection(tmp_path / "shown", 7, **made)
    with pytest.raises(InputError, match=said) as caught:
        shown_episodes(str(tmp_path / "shown"), "dclaw3", where="--set shown")
    assert "\n" not in str(caught.value)
