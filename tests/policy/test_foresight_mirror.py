"""The mirror image of a decision is as true as the decision: told so, simulated so, foretold so, and learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.foresight.foresight_fit import fit_foresight
from knuckle.policy.foresight.told import Told, moved
from knuckle.policy.learned.chunk_judge import ChunkJudge
from knuckle.policy.learned.contact_features import PER_FINGER, PER_STEP, ContactFeatures, FingerFrames, Scene
from knuckle.policy.learned.mirrored import Mirror, joint_signs
from knuckle.sim.objects import object_shape
from tests.policy.test_foresight import HAND, LOOKED_AT, NET, STEPS, some_chunks, state_of, states, unlearned

Array = np.ndarray


def mirrored_scene(scene: Scene, joints: Array, frames: FingerFrames) -> Scene:
    """``scene`` seen in the mirror of the first finger's plane."""
    turn = frames.matrices[0]
    world = turn @ np.diag([1.0, -1.0, 1.0]) @ turn.T
    turned = world @ rotations.to_matrix(scene.quaternion) @ np.diag([1.0, -1.0, 1.0])
    return Scene(
        scene.q @ joints, scene.dq @ joints, scene.position @ world, rotations.from_matrix(turned),
        scene.velocity @ world, -scene.spin @ world, scene.smoothed @ joints,
    )  # fmt: skip


def mirrored_joints(mirror: Mirror) -> Array:
    """The matrix (dof, dof) that exchanges and reverses joints as the mirror does."""
    joints = np.zeros((HAND.dof, HAND.dof))
    for to, of in enumerate(mirror.places):
        joints[3 * of : 3 * of + 3, 3 * to : 3 * to + 3] = np.diag(joint_signs(HAND))
    return joints


def test_what_is_told_of_a_scene_in_the_mirror_is_the_mirror_image_of_what_is_told_of_it() -> None:
    scene, mirror = states(6), Mirror(HAND, len(LOOKED_AT), STEPS)
    shape, joints = object_shape("axe"), mirrored_joints(mirror)
    features = ContactFeatures(HAND, shape, LOOKED_AT)
    features._cloud = np.concatenate([features._cloud, features._cloud * [1.0, -1.0, 1.0]])
    features._side.points = features._cloud
    chunks = some_chunks(scene, 3)
    fingers, steps = features(scene, chunks)
    seen = features(mirrored_scene(scene, joints, features.frames), chunks @ joints)
    np.testing.assert_allclose(seen[0], fingers[:, mirror.places] * mirror.finger_sign + mirror.finger_shift, atol=1e-6)
    np.testing.assert_allclose(seen[1], steps[:, :, mirror.places] * mirror.chunk_sign, atol=1e-6)


def test_who_looks_into_the_mirror_foretells_of_a_mirrored_scene_the_mirror_image() -> None:
    weights, rng = unlearned(mirrored=True), np.random.default_rng(3)
    mirror = weights.mirror
    assert mirror is not None
    fingers, chunks = rng.standard_normal((3, PER_FINGER)), rng.standard_normal((5, 3, PER_STEP * len(LOOKED_AT)))
    straight, image = weights.moved(fingers, chunks), weights.moved(*mirror.seen(fingers, chunks))
    np.testing.assert_allclose(image, straight @ mirror.moved, atol=1e-6)
    blind = unlearned(mirrored=False)
    assert np.abs(blind.moved(*mirror.seen(fingers, chunks)) - blind.moved(fingers, chunks) @ mirror.moved).max() > 1e-2


def test_in_the_mirror_physics_does_the_mirror_image_of_what_it_does() -> None:
    mirror, frames, rng = Mirror(HAND, 2, STEPS), FingerFrames(HAND), np.random.default_rng(6)
    joints, judge = mirrored_joints(mirror), ChunkJudge(HAND, "axe")
    scene = states(6, 12)
    # At rest, and where joints may go on either side.
    still = {name: np.zeros_like(getattr(scene, name)) for name in ("dq", "velocity", "spin", "smoothed")}
    scene = replace(scene, q=np.clip(scene.q, -HAND.upper, HAND.upper) @ np.diag(np.tile([0.3, 1.0, 1.0], 3)), **still)
    wander = np.cumsum(0.1 * rng.standard_normal((6, 3, STEPS, 9)), axis=2)
    chunks = np.clip(scene.q[:, None, None] + wander, np.maximum(HAND.lower, -HAND.upper), -HAND.lower)
    seen, apart, turned = mirrored_scene(scene, joints, frames), [], []
    for k in range(6):
        way = judge.ways(state_of(scene, k), chunks[k], scene.smoothed[k])
        other = judge.ways(state_of(seen, k), chunks[k] @ joints, seen.smoothed[k])
        row, image = (
            moved(Scene(*(part[k : k + 1] for part in vars(s).values())), np.concatenate(w, axis=-1)[None])[0]
            for s, w in ((scene, way), (seen, other))
        )
        apart.append(np.abs(row @ mirror.moved - image).max())
        turned.append(np.abs(row).max())
    assert max(apart) < 1e-6 and min(turned) > 0.1
    judge.close()


def test_who_learns_with_the_mirror_knows_what_it_saw_in_the_mirror_only() -> None:
    mirror, rng = Mirror(HAND, 1, 1), np.random.default_rng(0)
    fingers = rng.standard_normal((1500, 3, PER_FINGER))
    chunks = np.abs(rng.standard_normal((1500, 2, 3, PER_STEP)))  # across is one way only
    along = np.zeros((1500, 2, 3, 3))
    along[..., 1] = chunks[..., 1]
    pushed = np.einsum("gij,nmgj->nmi", FingerFrames(HAND).matrices, along)
    rows = (fingers, chunks, np.concatenate([0.0 * pushed, pushed], axis=-1))
    data = Told(*(part.astype(kind) for part, kind in zip(rows, ("f2", "f2", "f4"), strict=True)))
    flipped = [fingers[:, mirror.places] * mirror.finger_sign + mirror.finger_shift]
    flipped += [chunks[:, :, mirror.places] * mirror.chunk_sign, rows[2] @ mirror.moved]
    error = []
    for mirrored in (False, True):
        weights = fit_foresight(data, HAND, replace(NET, mirrored=mirrored), (0,), seed=1)
        said = np.concatenate([weights.moved(flipped[0][k], flipped[1][k])[None] for k in range(100)])
        error.append(np.abs(said - flipped[2][:100])[..., 3:].mean() / np.abs(flipped[2])[..., 3:].mean())
    assert error[1] < 0.3 * error[0]


def test_a_hand_whose_fingers_are_no_mirror_images_of_themselves_is_refused() -> None:
    with pytest.raises(InputError, match="a finger is not its own mirror image"):
        Mirror(hand_spec("leap"), 2, STEPS)
