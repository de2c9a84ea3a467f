"""Foresight: what a chunk does is told along each finger's axes, foretold alike for every finger, and chosen by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from knuckle.core import rotations
from knuckle.core.errors import InputError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.foresight.foresight_config import NetConfig
from knuckle.policy.foresight.foresight_fit import chosen_loss, explained, fit_foresight, told_apart
from knuckle.policy.foresight.labelling import Labelled, LabellingJudge, labelled
from knuckle.policy.foresight.told import Told, moved, told
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.contact_features import PER_FINGER, PER_STEP, ContactFeatures, FingerFrames, Scene
from knuckle.policy.learned.foresight import FORESIGHT, Foresight, open_foresight, scene_row
from knuckle.policy.learned.foresight_export import Use, check_foresight, export_foresight
from knuckle.policy.learned.foresight_graph import ForesightWeights, foresight_graph
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.policy_card import CARD, NETWORK, read_card
from knuckle.policy.learned.policy_folder import TRAINED
from knuckle.sim.objects import object_shape
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

Array = np.ndarray
HAND = hand_spec("dclaw3")
LOOKED_AT, STEPS = (1, 3), 4
SHAPE = object_shape("truck")
CHUNKS = TRAINED / "reorient-chunks"
NET = NetConfig(width=24, updates=400, batch=64, rate=5e-3, decay=0.0, mirrored=False)


def states(n: int, seed: int = 0) -> Scene:
    """Scenes with the object near the fingers and everything in motion."""
    rng = np.random.default_rng(seed)
    q = np.clip(HAND.home + 0.3 * rng.standard_normal((n, HAND.dof)), HAND.lower, HAND.upper)
    turned = rotations.normalize(rng.standard_normal((n, 4)))
    place = np.array([0.0, 0.0, 0.05]) + 0.02 * rng.standard_normal((n, 3))
    moving = (0.1 * rng.standard_normal((n, 3)), rng.standard_normal((n, 3)))
    return Scene(q, rng.standard_normal((n, HAND.dof)), place, turned, *moving, rng.uniform(-1.0, 1.0, (n, HAND.dof)))


def some_chunks(scene: Scene, m: int, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    wander = np.cumsum(0.15 * rng.standard_normal((len(scene.q), m, STEPS, HAND.dof)), axis=2)
    return np.clip(scene.q[:, None, None] + wander, HAND.lower, HAND.upper)


def state_of(scene: Scene, k: int) -> SceneState:
    return SceneState(
        0, scene.q[k], scene.dq[k], scene.position[k], scene.quaternion[k], scene.velocity[k], scene.spin[k]
    )


def unlearned(
    seed: int = 0, looked_at: tuple[int, ...] = LOOKED_AT, steps: int = STEPS, mirrored: bool = False
) -> ForesightWeights:
    """A network that nobody taught."""
    rng = np.random.default_rng(seed)
    n, out = 40, 3 * steps + 3
    rows = [(n, 3, PER_FINGER), (n, 2, 3, PER_STEP * len(looked_at)), (n, 2, out)]
    data = Told(*(rng.standard_normal(shape).astype(np.float32) for shape in rows))
    return fit_foresight(data, HAND, replace(NET, updates=3, mirrored=mirrored), looked_at, seed=seed)


def opened(folder: Path, weights: ForesightWeights) -> Foresight:
    path = folder / FORESIGHT
    path.write_bytes(foresight_graph(weights))
    session = open_foresight(path, weights.looked_at, weights.steps)
    return Foresight(HAND, "truck", session, weights.looked_at, weights.steps)


def deployed(folder: Path, **use: int) -> Path:
    """`reorient-chunks` with a judge that nobody taught."""
    scene = states(4)
    seen = ContactFeatures(HAND, SHAPE, (1, 3, 5))(scene, np.repeat(some_chunks(scene, 3), 2, axis=2))
    observed = tuple(np.asarray(part, dtype=np.float32) for part in seen)
    weights = unlearned(looked_at=(1, 3, 5), steps=6)
    export_foresight(
        folder,
        HAND,
        CHUNKS,
        weights,
        use=Use(**{"drawn": 20, "executed": 4} | use),
        observed=observed,
        training={},
        data="none",
    )  # type: ignore[arg-type]
    return folder


def test_turned_by_a_third_with_the_hand_a_scene_is_told_as_the_same_with_its_fingers_exchanged() -> None:
    scene, symmetry = states(6), HandSymmetry(HAND)
    chunks, features = some_chunks(scene, 3), ContactFeatures(HAND, SHAPE, LOOKED_AT)
    fingers, steps = features(scene, chunks)
    for k, joints in enumerate(symmetry.sources()):
        by = rotations.from_axis_angle([0.0, 0.0, 1.0], 2.0 * np.pi * k / 3)
        turned = Scene(
            scene.q[:, joints], scene.dq[:, joints], rotations.rotate(by, scene.position),
            rotations.multiply(by, scene.quaternion), rotations.rotate(by, scene.velocity),
            rotations.rotate(by, scene.spin), scene.smoothed[:, joints],
        )  # fmt: skip
        other = features(turned, chunks[..., joints])
        places = joints[:: symmetry.joints] // symmetry.joints
        np.testing.assert_allclose(other[0], fingers[:, places], atol=1e-4)
        np.testing.assert_allclose(other[1], steps[:, :, places], atol=1e-4)


def test_a_scene_that_is_turned_with_the_hand_is_foretold_to_move_as_it_was_turned() -> None:
    weights, rng = unlearned(), np.random.default_rng(3)
    fingers, chunks = rng.standard_normal((3, PER_FINGER)), rng.standard_normal((5, 3, PER_STEP * len(LOOKED_AT)))
    straight = weights.moved(fingers, chunks).reshape(5, STEPS + 1, 3)
    symmetry = HandSymmetry(HAND)
    for k, joints in enumerate(symmetry.sources()):
        places = joints[:: symmetry.joints] // symmetry.joints
        turned = weights.moved(fingers[places], chunks[:, places]).reshape(5, STEPS + 1, 3)
        by = rotations.from_axis_angle([0.0, 0.0, 1.0], 2.0 * np.pi * k / 3)
        np.testing.assert_allclose(turned, rotations.rotate(by, straight), atol=1e-5)
    mirrored = weights.moved(fingers[[0, 2, 1]], chunks[:, [0, 2, 1]]).reshape(5, STEPS + 1, 3)
    assert np.abs(mirrored - straight).max() > 1e-3  # who is next and who is previous is not the same


def test_neighbours_stand_a_whole_place_on_and_a_whole_place_back() -> None:
    frames = FingerFrames(HAND)
    outward = rotations.rotate(frames.to_world, np.array([1.0, 0.0, 0.0]))
    on = rotations.from_axis_angle([0.0, 0.0, 1.0], 2.0 * np.pi / 3)
    np.testing.assert_allclose(outward[frames.next], rotations.rotate(on, outward), atol=1e-3)
    np.testing.assert_allclose(outward[frames.previous], rotations.rotate(rotations.conjugate(on), outward), atol=1e-3)


def test_what_a_chunk_would_press_is_how_deep_its_fingers_come_into_the_object() -> None:
    scene = states(40, 5)
    chunks = some_chunks(scene, 2)
    _, steps = ContactFeatures(HAND, SHAPE, LOOKED_AT)(scene, chunks)
    told_of = steps.reshape(40, 2, 3, len(LOOKED_AT), PER_STEP)
    tips = TipKinematics(HAND, "world").poses(chunks[:, :, list(LOOKED_AT)])[0]
    seen = rotations.rotate(
        rotations.conjugate(scene.quaternion)[:, None, None, None], tips - scene.position[:, None, None, None]
    )
    # The tip is one of the points of the axis that are looked at: the gap is never larger than the tip's own.
    gap = (np.asarray(SHAPE.distance(seen)) - HAND.tips[0].radius).transpose(0, 1, 3, 2)
    assert (told_of[..., 3] * 0.02 <= gap + 1e-9).all()
    depth = np.maximum(-told_of[..., 3], 0.0)
    np.testing.assert_allclose(told_of[..., 4], depth, atol=1e-12)
    assert 0.05 < (depth > 0.0).mean() < 0.95


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_file_foretells_what_numpy_does_and_a_file_of_other_weights_is_found_out(
    tmp_path: Path, mirrored: bool
) -> None:
    weights, scene = unlearned(mirrored=mirrored), states(3)
    chunks = some_chunks(scene, 7)
    foresight, seen = opened(tmp_path, weights), ContactFeatures(HAND, SHAPE, LOOKED_AT)(scene, chunks)
    for k in range(3):
        turns, shift = foresight.foretold(state_of(scene, k), chunks[k], scene.smoothed[k])
        ours = weights.moved(seen[0][k], seen[1][k])
        np.testing.assert_allclose(np.concatenate([turns.reshape(7, -1), shift], axis=1), ours, atol=1e-4)
    rows = tuple(np.asarray(part, dtype=np.float32) for part in seen)
    assert check_foresight(tmp_path / FORESIGHT, weights, rows)["largest_observed"] < 1e-4  # type: ignore[arg-type]
    with pytest.raises(RunError, match="the exported foresight differs by"):
        check_foresight(tmp_path / FORESIGHT, unlearned(1), rows)  # type: ignore[arg-type]


def test_the_chunk_that_is_foretold_to_turn_the_object_to_the_goal_is_chosen(tmp_path: Path) -> None:
    foresight, scene = opened(tmp_path, unlearned()), states(1)
    chunks = some_chunks(scene, 9)[0]
    state, smoothed = state_of(scene, 0), scene.smoothed[0]
    turns, shift = foresight.foretold(state, chunks, smoothed)
    for k in (2, 6):
        foresight.goal = rotations.multiply(rotations.exp(turns[k, -1]), scene.quaternion[0])
        costs = foresight.costs(state, chunks, smoothed)
        angles = rotations.angle_between(rotations.multiply(rotations.exp(turns), scene.quaternion[0]), foresight.goal)
        offset = np.linalg.norm((scene.position[0] + shift)[:, :2], axis=1)
        wanted = angles.mean(axis=1) + 2.0 * angles[:, -1] + 4.5 * offset + 30.0 * np.maximum(offset - 0.07, 0.0)
        np.testing.assert_allclose(costs, wanted, atol=1e-9)
        assert foresight(state, chunks, smoothed) == int(np.argmin(wanted))


def test_a_policy_is_deployed_with_fewer_euler_steps_than_its_source_and_moves_the_hand(tmp_path: Path) -> None:
    card = read_card(deployed(tmp_path, euler=2), HAND)
    assert [card.config["chunk"][name] for name in ("judge", "euler")] == ["foresight", 2]
    assert card.config["parity"] != read_card(CHUNKS, HAND).config["parity"]
    assert 0.0 < card.config["parity"]["largest_random"] < 1e-4
    policy = LearnedPolicy(HAND, tmp_path, np.random.default_rng(0))
    policy.reset(Goal("truck", np.array([0.0, 1.0, 0.0, 0.0])))
    action, _ = policy.act(state_of(states(1), 0))
    assert np.abs(action).max() > 0.0 and np.isfinite(action).all()
    policy.close()


def test_what_became_of_a_chunk_leads_back_to_where_the_object_came() -> None:
    scene, rng = states(5), np.random.default_rng(2)
    ends = rotations.normalize(scene.quaternion[:, None, None] + 0.3 * rng.standard_normal((5, 2, STEPS, 4)))
    places = scene.position[:, None, None] + 0.01 * rng.standard_normal((5, 2, STEPS, 3))
    row = moved(scene, np.concatenate([places, ends], axis=-1))
    turns = row[..., :-3].reshape(5, 2, STEPS, 3)
    back = rotations.multiply(rotations.exp(turns), scene.quaternion[:, None, None])
    assert rotations.angle_between(back, ends).max() < 1e-9
    there = scene.position[:, None] + row[..., -3:]
    np.testing.assert_allclose(there, places[:, :, -1], atol=1e-12)


def planted(n: int = 1500, seed: int = 4) -> Told:
    """Decisions in which each finger pushes outward and up as its numbers say, and the object goes where they push."""
    rng = np.random.default_rng(seed)
    fingers, chunks = rng.standard_normal((n, 3, 4)), rng.standard_normal((n, 2, 3, 5))
    outward, up = chunks[..., 0] * fingers[:, None, :, 0], chunks[..., 1]
    along = np.stack([outward, np.zeros_like(outward), up], axis=-1)
    pushed = np.einsum("gij,nmgj->nmi", FingerFrames(HAND).matrices, along)
    target = np.concatenate([pushed, 0.1 * pushed], axis=-1)
    return Told(*(part.astype(np.float32) for part in (fingers, chunks, target)))


def test_it_learns_a_planted_rule_the_same_under_a_seed_and_says_how_much() -> None:
    heard: list[float] = []
    first = fit_foresight(planted(), HAND, NET, (0,), seed=1, seen=lambda _k, loss: heard.append(loss))
    again, other = (fit_foresight(planted(), HAND, NET, (0,), seed=seed) for seed in (1, 2))
    assert explained(first, planted(200, 9)) > 0.8
    half = fit_foresight(planted(), HAND, replace(NET, half=True), (0,), seed=1)
    assert explained(half, planted(200, 9)) == pytest.approx(explained(first, planted(200, 9)), abs=0.05)
    assert any((first.arrays[name] != half.arrays[name]).any() for name in first.arrays)
    assert len(heard) == 4 and heard[-1] < 0.5 * heard[0]
    assert all((first.arrays[name] == again.arrays[name]).all() for name in first.arrays)
    assert any((first.arrays[name] != other.arrays[name]).any() for name in first.arrays)
    assert explained(fit_foresight(planted(), HAND, replace(NET, updates=1), (0,), seed=1), planted(200, 9)) < 0.5


def test_what_all_chunks_of_a_decision_do_alike_is_explained_but_not_told_apart() -> None:
    weights, rng = unlearned(), np.random.default_rng(2)
    rows = rng.standard_normal((40, 3, PER_FINGER)), rng.standard_normal((40, 2, 3, PER_STEP * len(LOOKED_AT)))
    said = np.stack([weights.moved(rows[0][k], rows[1][k]) for k in range(40)])
    true = Told(rows[0].astype("f2"), rows[1].astype("f2"), said.astype("f4"))
    assert explained(weights, true) > 0.99 and told_apart(weights, true) > 0.99
    alike = Told(true.fingers, true.chunks, (said + 5.0 * rng.standard_normal((40, 1, said.shape[-1]))).astype("f4"))
    assert explained(weights, alike) < 0.5 and told_apart(weights, alike) > 0.99


def test_what_the_chunks_of_a_decision_have_in_common_counts_less_than_how_they_differ() -> None:
    apart, common = torch.zeros(8, 3), torch.full((8, 3), 0.5)
    apart[::2], apart[1::2] = 0.5, -0.5
    assert float(chosen_loss(apart, 2, 0.2)) == pytest.approx(2.0 * 0.125)
    assert float(chosen_loss(common, 2, 0.2)) == pytest.approx(0.2 * 0.125)
    assert float(chosen_loss(common, 1, 0.2)) == pytest.approx(0.125)


def test_weights_that_are_no_longer_finite_end_a_fit_with_one_line() -> None:
    data = planted(200)
    data.moved[3, 0, 0] = np.nan
    with pytest.raises(RunError, match=r"update \d+ broke down"):
        fit_foresight(data, HAND, NET, (0,), seed=0)


def test_labels_are_what_simulation_says_and_what_it_prefers_is_gone_for() -> None:
    scene = states(1, 8)
    state, chunks = replace(state_of(scene, 0), dq=np.zeros(9)), some_chunks(scene, 6)[0]
    simulation = ChunkJudge(HAND, "truck")
    judge = LabellingJudge(simulation, None, 4, 0.0, np.random.default_rng(0))
    judge.goal = simulation.goal = np.array([0.0, 1.0, 0.0, 0.0])
    chosen = judge(state, chunks, scene.smoothed[0])
    position, quaternion = simulation.ways(state, chunks[:4], scene.smoothed[0])
    (noted,) = judge.noted
    np.testing.assert_array_equal(noted["poses"], np.concatenate([position, quaternion], axis=-1))
    angles = rotations.angle_between(quaternion, judge.goal)
    offset = np.linalg.norm(position[:, -1, :2], axis=-1)
    costs = angles.mean(axis=1) + 2.0 * angles[:, -1] + 4.5 * offset + 30.0 * np.maximum(offset - 0.07, 0.0)
    assert chosen == int(np.argmin(costs))
    judge.close()


def test_where_the_network_chooses_its_best_are_labelled_and_the_best_is_gone_for(tmp_path: Path) -> None:
    scene = states(1, 8)
    state, chunks, smoothed = state_of(scene, 0), some_chunks(scene, 12)[0], scene.smoothed[0]
    own = opened(tmp_path, unlearned())
    judge = LabellingJudge(ChunkJudge(HAND, "truck"), own, 6, 0.0, np.random.default_rng(0))
    judge.goal = np.array([0.0, 0.0, 1.0, 0.0])
    chosen = judge(state, chunks, smoothed)
    order = np.argsort(own.costs(state, chunks, smoothed), kind="stable")
    np.testing.assert_array_equal(own.goal, judge.goal)
    assert chosen == order[0]
    np.testing.assert_array_equal(judge.noted[0]["chunks"][:3], chunks[order[:3]])
    assert len(judge.noted[0]["chunks"]) == 6
    judge.close()


def test_an_episode_of_labels_comes_back_as_it_was_kept() -> None:
    scene = states(3)
    poses = np.tile(np.concatenate([scene.position, scene.quaternion], axis=1)[:, None, None], (1, 2, STEPS, 1))
    kept = Labelled(scene, scene.quaternion, some_chunks(scene, 2), poses, {"object": "truck"})
    back = labelled(kept.arrays(), kept.facts)
    ours, theirs = told([kept], HAND, LOOKED_AT), told([back], HAND, LOOKED_AT)
    np.testing.assert_allclose(ours.chunks, theirs.chunks, atol=1e-3)
    np.testing.assert_allclose(theirs.moved, 0.0, atol=1e-6)


def test_labels_of_two_settings_or_none_or_of_too_few_steps_are_refused() -> None:
    scene = states(2)
    poses = np.tile(np.concatenate([scene.position, scene.quaternion], axis=1)[:, None, None], (1, 3, STEPS, 1))
    three = Labelled(scene, scene.quaternion, some_chunks(scene, 3), poses, {"object": "truck"})
    two = Labelled(scene, scene.quaternion, some_chunks(scene, 2), poses[:, :2], {"object": "truck"})
    with pytest.raises(InputError, match="decisions of chunks"):
        told([three, two], HAND, LOOKED_AT)
    with pytest.raises(InputError, match="no decision to learn from"):
        told([], HAND, LOOKED_AT)
    with pytest.raises(InputError, match="step 4 of chunks of 4 is looked at"):
        told([three], HAND, (1, 4))


def test_a_policy_that_foresees_acts_without_any_simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a simulation was asked for")

    monkeypatch.setattr(ChunkJudge, "__init__", never)
    policy = LearnedPolicy(HAND, deployed(tmp_path), np.random.default_rng(1))
    policy.reset(Goal("truck", np.array([0.0, 1.0, 0.0, 0.0])))
    scene = states(1)
    actions = [policy.act(state_of(scene, 0))[0] for _ in range(6)]
    assert np.isfinite(actions).all() and np.abs(actions).max() <= 1.0
    with pytest.raises(InputError, match="judged as on the table"):
        policy.reset(Goal("truck", np.array([0.0, 1.0, 0.0, 0.0]), table_s=2.0))
    policy.close()


def spoil(folder: Path, change: str) -> None:
    card = json.loads((folder / CARD).read_text())
    if change == "missing":
        (folder / FORESIGHT).unlink()
    elif change == "other":
        (folder / FORESIGHT).write_bytes(foresight_graph(unlearned(5, (1, 3, 5), 6)))
    elif change == "no facts":
        del card["config"]["foresight"]
    elif change == "half facts":
        del card["config"]["foresight"]["steps"]
    elif change == "beyond":
        card["config"]["foresight"]["looked_at"] = [1, 9]
    elif change == "fewer":
        card["config"]["chunk"]["foreseen"] = 4
    elif change == "judge":
        card["config"]["chunk"]["judge"] = "oracle"
    (folder / CARD).write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("missing", f"no {FORESIGHT} in it"),
        ("other", "the file is not the card's"),
        ("no facts", "the card does not say what foretells its chunks"),
        ("half facts", "what foretells chunks is not whole"),
        ("beyond", r"a foresight of 6 steps that looks at \(1, 9\)"),
        ("fewer", "a foresight of 6 steps for chunks of which 4 are foreseen"),
        ("judge", "'oracle' is not a choice"),
    ],
)
def test_a_folder_whose_foresight_is_not_its_cards_is_refused_in_one_line(
    tmp_path: Path, change: str, says: str
) -> None:
    spoil(deployed(tmp_path), change)
    with pytest.raises(InputError, match=says) as refused:
        LearnedPolicy(HAND, tmp_path)
    assert "\n" not in str(refused.value)


def test_a_network_that_is_no_foresight_or_has_no_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FORESIGHT
    path.write_bytes((CHUNKS / NETWORK).read_bytes())
    with pytest.raises(InputError, match="a network from and to"):
        open_foresight(path, (1, 3, 5), 6)
    weights = unlearned()
    broken = dict(weights.arrays) | {"moved_std": np.full(weights.width, np.nan)}
    path.write_bytes(foresight_graph(replace(weights, arrays=broken)))
    with pytest.raises(InputError, match="not finite"):
        open_foresight(path, LOOKED_AT, STEPS)


def test_only_a_policy_of_chunks_can_be_given_a_foresight_and_nothing_is_written_else(tmp_path: Path) -> None:
    weights = unlearned(looked_at=(1, 3, 5), steps=6)
    none = tuple(np.zeros((0, 1), dtype=np.float32) for _ in range(2))
    with pytest.raises(InputError, match="the policy does not draw chunks"):
        export_foresight(
            tmp_path / "out", HAND, TRAINED / "reorient-dclaw3", weights,
            use=Use(8, 4), observed=none, training={}, data="none",  # type: ignore[arg-type]
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_scene_row_is_the_state_and_nothing_else() -> None:
    scene = states(2)
    row = scene_row(state_of(scene, 1), scene.smoothed[1])
    np.testing.assert_array_equal(row.position[0], scene.position[1])
    np.testing.assert_array_equal(row.smoothed[0], scene.smoothed[1])
