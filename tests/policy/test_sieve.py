"""Foresight keeps a few chunks, and simulation chooses among those alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.policy_card import CARD
from knuckle.policy.learned.sieve import Sieve
from tests.policy.test_foresight import HAND, deployed, opened, some_chunks, state_of, states, unlearned

GOAL = np.array([0.0, 1.0, 0.0, 0.0])


class Counted(ChunkJudge):
    """Notes the shapes of what it is to simulate."""

    def __init__(self, hand: HandSpec, object_name: str) -> None:
        super().__init__(hand, object_name)
        self.seen: list[tuple[int, ...]] = []

    def costs(self, state: SceneState, chunks: np.ndarray, smoothed: np.ndarray) -> np.ndarray:
        self.seen.append(chunks.shape)
        return super().costs(state, chunks, smoothed)


@pytest.mark.parametrize(("kept", "steps"), [(1, 0), (3, 0), (3, 2), (20, 0)])
def test_the_simulated_best_of_the_foreseen_best_is_gone_for(tmp_path: Path, kept: int, steps: int) -> None:
    scene = states(1, 8)
    state, smoothed, chunks = state_of(scene, 0), scene.smoothed[0], some_chunks(scene, 12)[0]
    foresight, simulation = opened(tmp_path, unlearned()), ChunkJudge(HAND, "truck")
    sieve = Sieve(foresight, simulation, kept, steps)
    sieve.goal = GOAL
    chosen = sieve(state, chunks, smoothed)
    best = np.argsort(foresight.costs(state, chunks, smoothed))[:kept]
    true = simulation.costs(state, chunks[:, : steps or chunks.shape[1]], smoothed)
    assert chosen in best and true[chosen] == pytest.approx(true[best].min())
    assert np.ptp(true) > 0.0
    sieve.close()


def test_one_more_is_simulated_for_each_time_that_the_foretold_costs_deviate_so_far(tmp_path: Path) -> None:
    scene = states(1, 8)
    state, smoothed, chunks = state_of(scene, 0), scene.smoothed[0], some_chunks(scene, 12)[0]
    foresight, simulation = opened(tmp_path, unlearned()), Counted(HAND, "truck")
    foresight.goal = simulation.goal = GOAL
    costs = foresight.costs(state, chunks, smoothed)
    for more in (0, 1, 3, 30):
        simulation.seen.clear()
        sieve = Sieve(foresight, simulation, 5, 2, float(np.std(costs)) / (more + 0.5))
        sieve.goal = GOAL
        chosen = sieve(state, chunks, smoothed)
        wanted = min(1 + more, 5)
        assert simulation.seen == ([] if wanted == 1 else [(wanted, 2, HAND.dof)])
        assert chosen in np.argsort(costs)[:wanted]
    simulation.close()


def test_what_is_simulated_follows_the_goal(tmp_path: Path) -> None:
    scene = states(1, 8)
    sieve = Sieve(opened(tmp_path, unlearned()), ChunkJudge(HAND, "truck"), 12)
    chosen = set()
    for goal in np.random.default_rng(0).standard_normal((12, 4)):
        sieve.goal = goal / np.linalg.norm(goal)
        chosen.add(sieve(state_of(scene, 0), some_chunks(scene, 12)[0], scene.smoothed[0]))
    assert len(chosen) > 1
    sieve.close()


def test_a_policy_whose_card_says_so_simulates_the_few_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    costs = ChunkJudge.costs

    def counted(judge: ChunkJudge, state: object, chunks: np.ndarray, smoothed: np.ndarray) -> np.ndarray:
        seen.append(chunks.shape)
        return costs(judge, state, chunks, smoothed)  # type: ignore[arg-type]

    monkeypatch.setattr(ChunkJudge, "costs", counted)
    policy = LearnedPolicy(HAND, deployed(tmp_path, simulated=3, simulated_steps=5), np.random.default_rng(0))
    policy.reset(Goal("truck", GOAL))
    actions = [policy.act(state_of(states(1), 0))[0] for _ in range(5)]
    policy.close()
    assert np.isfinite(actions).all()
    # Drawn anew every fourth step.
    assert seen == [(3, 5, HAND.dof)] * 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"judge": "simulation"}, "3 of the foreseen best are to be simulated, and nothing is foreseen"),
        ({"simulated_steps": 7}, "7 postures of a chunk of which fewer are judged"),
    ],
)
def test_a_card_that_sifts_what_is_not_foreseen_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    card = json.loads((deployed(tmp_path, simulated=3) / CARD).read_text())
    card["config"]["chunk"] |= change
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(InputError, match=says) as refused:
        LearnedPolicy(HAND, tmp_path)
    assert "\n" not in str(refused.value)
