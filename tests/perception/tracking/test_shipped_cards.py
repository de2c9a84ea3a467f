"""The cards of trackers that come along say what their weights really see."""

from __future__ import annotations

import pytest

from knuckle.core import cards
from knuckle.perception.tracking.rivals import LINK, weights_of
from knuckle.perception.tracking.weights_folder import SHIPPED


@pytest.mark.parametrize(
    ("name", "tensor", "axis"), [("ridge", "maps", 1), ("mtp", "embed.weight", 1), ("trackssm", "embed.weight", 1)]
)
def test_a_card_s_observation_is_as_wide_as_the_weights_that_take_it(name: str, tensor: str, axis: int) -> None:
    (seen,) = cards.load(SHIPPED / f"{name}.json").observations
    assert seen.shape[-1] == weights_of(name, SHIPPED)[tensor].shape[axis]


def test_the_association_s_card_is_as_wide_as_its_weights() -> None:
    (seen,) = cards.load(SHIPPED / f"{LINK}.json").observations
    assert seen.shape == weights_of("ridge-link", SHIPPED)[f"{LINK}/0.weight"].shape[1:]
