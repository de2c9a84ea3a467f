"""The mirror image of labelled decisions: as true as the decision itself, and free.

A finger of the D'Claw is its own mirror image in the plane through it and the vertical, but that its abduction swings
the other way; the mirrored hand is the same hand with the fingers beside that one exchanged. Physics has no handedness,
so a chunk that turns an object one way turns the mirrored object, mirrored, the other way. What is told of a decision
is geometry seen from each finger (`contact_features.py`), so its mirror image is had by changing signs: a vector's
second number, and of a turn, a spin or a lever's moment the first and the third.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.tip_kinematics import TipKinematics
from knuckle.policy.learned.contact_features import PER_FINGER, FingerFrames

VECTOR, MOMENT, NUMBER = (1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0,)
TOUCH = (*VECTOR * 2, *MOMENT, *VECTOR * 2, *NUMBER * 2)
WAY = (*NUMBER * 2, *VECTOR, *MOMENT, *VECTOR, *MOMENT, *VECTOR)
"""The signs of what is told of a touch, and of the way of one."""
FIRST_JOINT = 40
"""Where the joints' angles begin among the numbers of a finger."""
CLOSE = 1e-9


class Mirror:
    """The mirror of ``hand`` for decisions that are told of ``looked_at`` steps and foretell ``steps``.

    What is told of the fingers is to be multiplied by ``finger_sign`` and shifted by ``finger_shift`` (PER_FINGER,),
    what is told of chunks multiplied by ``chunk_sign``; the finger at ``places`` (G,) stands in each place; what became
    of the object, a row, is to be multiplied by ``moved`` (3 * steps + 3, 3 * steps + 3) from the right. InputError for
    a hand whose fingers are not their own mirror images.
    """

    def __init__(self, hand: HandSpec, looked_at: int, steps: int) -> None:
        joints, frames = joint_signs(hand), FingerFrames(hand)
        self.finger_sign, self.chunk_sign = _finger_sign(joints), np.tile(_step_sign(joints), looked_at)
        self.finger_shift = np.zeros(PER_FINGER)
        # Angles are told from the middle of their range, and the mirrored range has another middle.
        middle, half = (hand.upper + hand.lower) / 2.0, (hand.upper - hand.lower) / 2.0
        n = len(joints)
        self.finger_shift[FIRST_JOINT : FIRST_JOINT + n] = (joints - 1.0) * (middle / half)[:n]
        self.places = _places(frames)
        turn = frames.matrices[0]
        moment, vector = (turn @ np.diag(signs) @ turn.T for signs in (MOMENT, VECTOR))
        self.moved: Array = np.kron(np.eye(steps + 1), moment.T)
        self.moved[-3:, -3:] = vector.T

    def seen(self, fingers: NDArray[Any], chunks: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Fingers (..., G, PER_FINGER) and chunks (..., G, F), as they are told, in the mirror."""
        return fingers[..., self.places, :] * self.finger_sign + self.finger_shift, (
            chunks[..., self.places, :] * self.chunk_sign
        )


def joint_signs(hand: HandSpec) -> Array:
    """Of each joint of a finger (K,): 1 where it swings in the finger's plane, -1 where out of it.

    InputError for a hand whose fingertips do not go where their mirror images would.
    """
    tips, frames = TipKinematics(hand, "world"), FingerFrames(hand)
    axes = np.array([hand.joints[k].axis for k in tips.joints[0]])
    signs = np.where(np.abs(axes[:, 1]) > 0.5, 1.0, -1.0)
    rng = np.random.default_rng(0)
    postures = np.zeros((32, hand.dof))
    postures[:, tips.joints] = rng.uniform(-1.0, 1.0, (32, *tips.joints.shape))
    mirrored = np.zeros_like(postures)
    mirrored[:, tips.joints] = postures[:, tips.joints] * signs
    there, image = (rotations.rotate(frames.to_finger, tips.poses(q)[0]) for q in (postures, mirrored))
    if np.abs(there * VECTOR - image).max() > CLOSE:
        right = "fingers like the D'Claw's, or net.mirrored=false"
        raise InputError("a finger is not its own mirror image", where=f"hand {hand.name}", right=right)
    return np.asarray(signs)


def _places(frames: FingerFrames) -> NDArray[np.intp]:
    """Which finger stands in each place of the hand in the mirror, the first one's plane: as far on as it was back."""
    places, on, back = np.zeros(len(frames.next), dtype=np.intp), 0, 0
    for _ in places:
        places[on] = back
        on, back = int(frames.next[on]), int(frames.previous[back])
    return places


def _finger_sign(joints: Array) -> Array:
    """The signs of what is told of a finger, in the order of `ContactFeatures`."""
    of_finger = (*VECTOR, *TOUCH * 2, *NUMBER * 3, *joints, *joints, *joints)
    of_object = (*VECTOR[:2], *NUMBER, *VECTOR, *MOMENT, *VECTOR, 1.0, 1.0, -1.0, *NUMBER * 2)
    # The object's own axes are mirrored in its xz-plane: whichever it is, the mirrored object is another one.
    return np.array([*of_finger, *of_object, *VECTOR * 4])


def _step_sign(joints: Array) -> Array:
    """The signs of what is told of one looked-at step."""
    return np.array([*VECTOR, *WAY * 2, *joints])
