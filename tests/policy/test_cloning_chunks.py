"""Chunks: one of several ways is drawn where their mean is none, alike for every finger; carried out, and dropped."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import ConfigError, InputError, RunError
from knuckle.hardware.spec.action_map import ActionMap
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.cloning.chunk_config import ChunkConfig
from knuckle.policy.cloning.chunk_fit import fit_chunks
from knuckle.policy.cloning.chunk_rows import ChunkRows, chunk_rows
from knuckle.policy.cloning.row_config import RowConfig
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.controllers import make_controller
from knuckle.policy.learned.chunk_file import read_chunks
from knuckle.policy.learned.chunk_graph import TIMES, ChunkActor, chunk_graph
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.chunk_player import ChunkFacts, ChunkPlayer, open_chunks, run_chunks
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.policy.learned.export import export_chunks
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.policy_card import CARD, NETWORK, read_card
from knuckle.policy.learned.policy_folder import TRAINED
from knuckle.policy.planner_model import PlannerModel
from knuckle.policy.reorient_episode import scene_state
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.scene import planner_scene
from knuckle.sim.world import SimWorld
from tests.policy.test_cloning_rows import played

Array = np.ndarray
HAND = hand_spec("dclaw3")
SYMMETRY = HandSymmetry(HAND)
LENGTH = 5
TOY = ChunkConfig(
    length=2, euler=5, width=32, layers=2, updates=300, batch=96, rate=5e-3, noise=0.0, average=0.9, held_back=0.0
)
ONWARDS = SceneState(
    0, HAND.home, np.zeros(9), np.array([0.0, 0.0, 0.05]), rotations.IDENTITY, np.zeros(3), np.zeros(3)
)
FAR = Goal("truck", np.array([0.0, 1.0, 0.0, 0.0]))


def drawn_actor(*, euler: int = 3, scale: float = 0.3, seed: int = 0) -> ChunkActor:
    """A network with weights that nobody learned."""
    rng = np.random.default_rng(seed)
    widths = [SYMMETRY.build.width + LENGTH * HAND.dof + TIMES, 24, LENGTH * SYMMETRY.joints]
    pairs = itertools.pairwise(widths)
    layers = [(rng.standard_normal((out, w)) / np.sqrt(w), 0.1 * rng.standard_normal(out)) for w, out in pairs]
    finger = rng.standard_normal((2, LENGTH, SYMMETRY.joints))
    mean, stretch = np.tile(0.1 * finger[0], (1, 3)), np.tile(scale * np.abs(finger[1]) + 0.1, (1, 3))
    width = SYMMETRY.build.width
    normaliser = Normaliser(0.1 * rng.standard_normal(width), rng.uniform(0.5, 1.5, width), 10.0)
    return ChunkActor(normaliser, layers, SYMMETRY, LENGTH, mean, stretch, euler)


def scenes(n: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    seen = 0.3 * rng.standard_normal((n, SYMMETRY.build.width))
    for part in ("object_quaternion", "goal_quaternion", "quaternion_difference"):
        where = SYMMETRY.build.slices[part]
        seen[:, where] /= np.linalg.norm(seen[:, where], axis=1, keepdims=True)
        seen[:, where.start] = np.abs(seen[:, where.start])
    return seen


def exported(folder: Path, actor: ChunkActor, executed: int = 3) -> Path:
    export_chunks(
        folder, HAND, actor, executed=executed, name="chunks", observed=scenes(20), training={}, data="none",
        done=DoneConfig(hold=0.38),
    )  # fmt: skip
    return folder


def two_ways(n: int = 800) -> ChunkRows:
    """Chunks in which every finger closes together, or opens together, by half a step: as often the one as the other,
    whatever is seen."""
    rng = np.random.default_rng(7)
    way = rng.choice([-0.5, 0.5], n)
    chunks = (way[:, None, None] + 0.02 * rng.standard_normal((n, 2, HAND.dof))).astype(np.float32)
    return ChunkRows(scenes(n, 1).astype(np.float32), chunks, np.ones((n, 2), np.float32), np.arange(n))


def test_of_two_ways_one_is_drawn_for_the_whole_hand_where_the_mean_of_both_is_neither() -> None:
    seen, noise = scenes(300, 2), np.random.default_rng(3).standard_normal((300, 2, HAND.dof))
    drawn = fit_chunks(two_ways(), HAND, TOY, seed=0)[0].chunks(seen, noise)
    mean = fit_chunks(two_ways(), HAND, replace(TOY, euler=0, updates=100), seed=0)[0].chunks(seen, noise)
    ways = drawn.reshape(300, -1)
    together = np.abs(np.sign(ways).sum(axis=1)) == ways.shape[1]
    assert together.mean() > 0.7 and 0.25 < (ways[together, 0] > 0.0).mean() < 0.75
    assert np.abs(mean).mean() < 0.2 and np.abs(ways).mean() > 0.3  # half a step is what either way takes


def test_the_same_seed_learns_the_same_and_the_loss_falls() -> None:
    heard: list[float] = []
    config = replace(TOY, updates=200, held_back=0.2)
    first, loss = fit_chunks(two_ways(), HAND, config, seed=1, seen=lambda _k, at: heard.append(at))
    again, other = (fit_chunks(two_ways(), HAND, config, seed=seed)[0] for seed in (1, 2))
    seen, noise = scenes(5), np.random.default_rng(0).standard_normal((5, 2, HAND.dof))
    np.testing.assert_array_equal(first.chunks(seen, noise), again.chunks(seen, noise))
    assert not np.allclose(first.chunks(seen, noise), other.chunks(seen, noise))
    assert len(heard) == 2 and heard[1] < heard[0] and loss < 1.5


@pytest.mark.parametrize("euler", [0, 3])
def test_a_turned_scene_with_turned_noise_gives_the_turned_chunk(euler: int) -> None:
    actor, seen = drawn_actor(euler=euler), scenes(6, 4)
    noise = np.random.default_rng(5).standard_normal((6, LENGTH, HAND.dof))
    chunks, copies = actor.chunks(seen, noise), SYMMETRY.copies(seen)
    for k, joints in enumerate(SYMMETRY.sources()):
        np.testing.assert_allclose(actor.chunks(copies[:, k], noise[:, :, joints]), chunks[:, :, joints], atol=1e-5)


def test_a_file_of_four_euler_steps_is_written_again_with_two_as_if_it_had_been_learned_so(tmp_path: Path) -> None:
    actor, seen = drawn_actor(euler=4), scenes(7, 8)
    noise = np.random.default_rng(5).standard_normal((7, LENGTH, HAND.dof))
    path, again = exported(tmp_path, actor) / NETWORK, tmp_path / "again.onnx"
    for euler in (4, 2, 1):
        again.write_bytes(chunk_graph(read_chunks(path, HAND, euler)))
        session = open_chunks(again, SYMMETRY.build.width, HAND.dof, ChunkFacts(length=LENGTH))
        wanted = replace(actor, euler=euler).chunks(seen, noise)
        np.testing.assert_allclose(run_chunks(session, seen, noise), wanted, atol=1e-5)
    assert again.stat().st_size < path.stat().st_size
    with pytest.raises(InputError, match="3 Euler steps of a network of chunks written for 4"):
        read_chunks(path, HAND, 3)


@pytest.mark.parametrize("broken", [b"half a file", b"", None])
def test_a_file_that_holds_no_chunks_is_refused_in_one_line(tmp_path: Path, broken: bytes | None) -> None:
    path = tmp_path / NETWORK
    path.write_bytes((TRAINED / "reorient-dclaw3" / NETWORK).read_bytes() if broken is None else broken)
    with pytest.raises(InputError) as refused:
        read_chunks(path, HAND, 1)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("euler", [0, 3])
def test_what_is_deployed_draws_what_was_learned_and_says_so(tmp_path: Path, euler: int) -> None:
    actor = drawn_actor(euler=euler)
    card = read_card(exported(tmp_path, actor), HAND)
    assert card.config["parity"]["largest_observed"] < 1e-4
    assert card.config["chunk"] == {"length": LENGTH, "executed": 3, "euler": euler, "judged": 0, "foreseen": 0}
    policy, chart = LearnedPolicy(HAND, tmp_path, np.random.default_rng(11)), ActionMap(HAND)
    policy.reset(FAR)
    rng, smoothed = np.random.default_rng(11), np.zeros(HAND.dof)
    plan = np.zeros((0, HAND.dof))
    for k in range(7):
        if k % 3 == 0:
            state = (ONWARDS.q, ONWARDS.dq, ONWARDS.position, ONWARDS.quaternion, ONWARDS.velocity, ONWARDS.spin)
            seen = SYMMETRY.build(*state, FAR.quaternion, smoothed)
            noise = rng.standard_normal((1, LENGTH, HAND.dof))
            plan = ONWARDS.q + chart.step_rad * actor.chunks(seen[None], noise)[0]
        wanted = chart.towards(ONWARDS.q, plan[k % 3], smoothed)
        action, done = policy.act(ONWARDS)
        np.testing.assert_allclose(action, wanted, atol=1e-3)
        assert done == 0.0
        smoothed = chart.smooth(wanted, smoothed)


def test_a_new_goal_begins_a_new_chunk_and_the_draws_come_from_the_generator_that_is_given(tmp_path: Path) -> None:
    exported(tmp_path, drawn_actor(), executed=5)
    one, same, other = (LearnedPolicy(HAND, tmp_path, np.random.default_rng(seed)) for seed in (3, 3, 4))
    for policy in (one, same, other):
        policy.reset(FAR)
    first = [policy.act(ONWARDS)[0] for policy in (one, same, other)]
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.allclose(first[0], first[2])
    one.reset(FAR)  # in the midst of a chunk: another one is drawn
    assert not np.allclose(one.act(ONWARDS)[0], first[0])
    seeds = [make_controller(str(tmp_path), HAND, seed=seed) for seed in (3, 4)]
    for policy in seeds:
        policy.reset(FAR)
    np.testing.assert_array_equal(seeds[0].act(ONWARDS)[0], first[0])
    np.testing.assert_array_equal(seeds[1].act(ONWARDS)[0], first[2])


def test_what_was_planned_before_it_held_is_dropped(tmp_path: Path) -> None:
    exported(tmp_path, drawn_actor(), executed=5)
    rng, twin = np.random.default_rng(3), np.random.default_rng(3)
    policy = LearnedPolicy(HAND, tmp_path, rng)
    near = replace(FAR, quaternion=rotations.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.array(0.3)))
    policy.reset(near)
    moving = replace(ONWARDS, velocity=np.array([0.1, 0.0, 0.0]))
    for _ in range(3):
        policy.act(moving)  # the first acts, from then on it holds, and draws nothing
    away = rotations.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.array(-1.0))
    policy.act(replace(moving, quaternion=rotations.multiply(away, moving.quaternion)))
    twin.standard_normal((2, LENGTH, HAND.dof))  # the first chunk was dropped when it held, and another one drawn
    assert rng.standard_normal() == twin.standard_normal()


def test_of_the_chunks_that_are_drawn_the_one_that_is_judged_best_is_gone_for(tmp_path: Path) -> None:
    actor, chart = drawn_actor(), ActionMap(HAND)
    exported(tmp_path, actor, executed=2)
    facts = ChunkFacts(length=LENGTH, executed=2, euler=3, judged=3)
    session = open_chunks(tmp_path / NETWORK, SYMMETRY.build.width, HAND.dof, facts)
    player, shown, picks = ChunkPlayer(session, facts, chart, np.random.default_rng(2)), [], iter([1, 3, 0])

    def judge(_state: SceneState, chunks: Array, _smoothed: Array) -> int:
        shown.append(chunks)
        return next(picks)

    player.judge = judge
    seen, zero = scenes(1)[0], np.zeros(HAND.dof)
    actions = [player.action(lambda: seen, ONWARDS, zero) for _ in range(6)]
    assert [len(chunks) for chunks in shown] == [3, 4, 4]
    first, second = shown[0][1], shown[1][3]
    np.testing.assert_allclose(actions[1], chart.towards(ONWARDS.q, first[1], zero))
    # What is left of a chunk is judged beside the new ones, its last posture kept.
    np.testing.assert_array_equal(second, first[[2, 3, 4, 4, 4]])
    np.testing.assert_allclose(actions[2], chart.towards(ONWARDS.q, second[0], zero))
    player.reset()
    player.judge = lambda _state, chunks, _smoothed: len(chunks) - 3
    player.action(lambda: seen, ONWARDS, zero)  # nothing is left after a reset: three are drawn, the first is taken
    assert (np.abs(np.concatenate(shown)) <= np.maximum(HAND.upper, -HAND.lower) + 1e-12).all()


def test_a_judge_is_shown_what_is_to_be_simulated_of_a_chunk_and_the_whole_chunk_is_gone_for(tmp_path: Path) -> None:
    exported(tmp_path, drawn_actor(), executed=LENGTH)
    facts = ChunkFacts(length=LENGTH, executed=LENGTH, euler=3, judged=3, foreseen=2)
    session, chart = open_chunks(tmp_path / NETWORK, SYMMETRY.build.width, HAND.dof, facts), ActionMap(HAND)
    player, zero = ChunkPlayer(session, facts, chart, np.random.default_rng(2)), np.zeros(HAND.dof)
    shown: list[Array] = []

    def judge(_state: SceneState, chunks: Array, _smoothed: Array) -> int:
        shown.append(chunks)
        return 1

    player.judge, seen = judge, scenes(1)[0]
    asked: list[Array] = []

    def observe() -> Array:
        asked.append(seen)
        return seen

    actions = [player.action(observe, ONWARDS, zero) for _ in range(LENGTH)]
    assert len(asked) == 1, "a chunk that is under way needs no observation"
    assert [chunks.shape for chunks in shown] == [(3, 2, HAND.dof)]
    np.testing.assert_allclose(actions[1], chart.towards(ONWARDS.q, shown[0][1, 1], zero))


def test_simulation_prefers_to_leave_an_object_that_lies_at_its_goal_and_to_move_one_that_does_not() -> None:
    lying = scene_state(SimWorld(HAND, "truck", seed=1))
    judge, model = ChunkJudge(HAND, "truck"), PlannerModel(planner_scene(HAND, "truck"), ActionMap(HAND), 1)
    rng = np.random.default_rng(0)
    freeze = np.tile(lying.q, (LENGTH, 1))
    pushes = np.clip(
        lying.q + rng.uniform(-1.5, 1.5, (24, 1, HAND.dof)) + np.zeros((24, 12, 1)), HAND.lower, HAND.upper
    )
    chunks = np.concatenate([np.repeat(freeze[:1], 12, axis=0)[None], pushes])
    try:
        ends = model.roll(lying, chunks, np.zeros(HAND.dof)).quaternion[:, -1]
        moved = rotations.angle_between(ends, lying.quaternion)
        assert moved.max() > 0.3
        judge.goal = lying.quaternion
        assert moved[judge(lying, chunks, np.zeros(HAND.dof))] < 0.05
        judge.goal = ends[int(moved.argmax())]
        chosen = judge(lying, chunks, np.zeros(HAND.dof))
        assert rotations.angle_between(ends[chosen], judge.goal) < 0.5 * moved.max()
    finally:
        judge.close()
        model.close()


def test_candidates_that_are_given_up_on_the_way_change_nothing_for_the_others() -> None:
    lying, rng = scene_state(SimWorld(HAND, "truck", seed=1)), np.random.default_rng(3)
    postures = np.clip(lying.q + rng.uniform(-0.8, 0.8, (6, 5, HAND.dof)), HAND.lower, HAND.upper)
    previous = rng.uniform(-0.5, 0.5, HAND.dof)
    model = PlannerModel(planner_scene(HAND, "truck"), ActionMap(HAND), 1)
    try:
        whole = model.roll(lying, postures, previous, table_steps=4)
        course, first = model.go_on(model.begin(lying, 6, previous), postures[:, :2], 4)
        left = np.array([1, 4])
        _, rest = model.go_on(course.some(left), postures[left, 2:], 4)
    finally:
        model.close()
    for name in ("position", "quaternion", "spin", "dq", "tips", "action", "table_force"):
        parts = [getattr(model.futures(first), name)[left], getattr(model.futures(rest), name)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), getattr(whole, name)[left])


def test_a_judged_policy_plays_an_episode_twice_alike(tmp_path: Path) -> None:
    export_chunks(
        tmp_path, HAND, drawn_actor(), executed=4, judged=2, name="chunks", observed=scenes(9), training={}, data="none"
    )
    policies = [make_controller(str(tmp_path), HAND, seed=5) for _ in range(2)]
    with pytest.raises(InputError, match="judged as on the table; a goal on the table"):
        policies[0].reset(replace(FAR, table_s=2.0))
    lying = scene_state(SimWorld(HAND, "truck", seed=1))
    said = []
    for policy in policies:
        policy.reset(FAR)
        said.append([policy.act(lying)[0] for _ in range(6)])
        policy.close()
    np.testing.assert_array_equal(said[0], said[1])


@pytest.mark.parametrize(
    ("change", "kind", "line"),
    [
        ({"executed": 6}, InputError, "6 postures of a chunk of 5 are to be executed; 5 at most"),
        ({"foreseen": 6}, InputError, "6 postures of a chunk of 5 are to be judged; 5 at most"),
        ({"length": 4}, InputError, "36 numbers of noise, chunks of 4 x 9, float"),
        ({"length": 0}, ConfigError, "length"),
        ({"euler": "few"}, ConfigError, "euler"),
        (None, InputError, "the card does not say what its chunks are; config.chunk"),
        ("none", InputError, "a network from and to"),
    ],
)
def test_a_card_whose_chunks_cannot_be_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, object] | str | None, kind: type[InputError], line: str
) -> None:
    card = exported(tmp_path, drawn_actor()) / CARD
    told = json.loads(card.read_text())
    if change == "none":
        del told["config"]["chunk"]
    else:
        told["config"]["chunk"] = told["config"]["chunk"] | change if isinstance(change, dict) else None
    card.write_text(json.dumps(told))
    with pytest.raises(kind) as caught:
        LearnedPolicy(HAND, tmp_path)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_rows_are_the_postures_that_were_gone_for_and_stop_counting_where_the_hand_let_go() -> None:
    episode, chart = played(30, home=slice(20, 26)), ActionMap(HAND)
    rows = chunk_rows([episode], HAND, RowConfig(stuck_steps=2), length=4, smooth_steps=0.0)
    assert len(rows) == 30 - 6 - 2
    build = SYMMETRY.build
    q = (
        rows.observations[3, build.slices["joint_angle"]] * (HAND.upper - HAND.lower) / 2
        + (HAND.upper + HAND.lower) / 2
    )
    smoothed = rows.observations[3, build.slices["previous_action"]]
    target = chart.target(q, chart.smooth(episode.actions[3], smoothed))
    np.testing.assert_allclose(q + chart.step_rad * rows.chunks[3, 0], target, atol=1e-5)
    np.testing.assert_array_equal(rows.counts[16], [1, 1, 1, 1])
    np.testing.assert_array_equal(rows.counts[17], [1, 1, 1, 0])
    np.testing.assert_array_equal(rows.counts[-1], [1, 0.5, 0.5, 0.5])
    taken = replace(episode, facts=episode.facts | {"taken_over_at": 12, "succeeded": False})
    later = chunk_rows([taken], HAND, RowConfig(stuck_steps=2), length=4, smooth_steps=0.0)
    assert len(later) == len(rows) - 12 and later.counts.max() == 0.5


def test_too_few_chunks_none_and_a_breakdown_are_one_clear_line() -> None:
    with pytest.raises(InputError, match=r"20 chunks to learn from; 24 or more"):
        fit_chunks(two_ways(20), HAND, TOY, seed=0)
    with pytest.raises(InputError, match="no step of the episodes is left"):
        chunk_rows([played(5, home=slice(0, 5))], HAND, RowConfig(), length=4, smooth_steps=0.0)
    wild = two_ways(300)
    wild.chunks[0] = np.nan
    with pytest.raises(RunError, match=r"update 3 broke down; a lower chunk\.rate"):
        fit_chunks(wild, HAND, replace(TOY, updates=3), seed=0)
