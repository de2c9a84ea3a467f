"""One network for every finger: what it does turns with the scene, as trained and as deployed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.export import Actor, export_policy
from knuckle.policy.learned.learned_policy import open_network, run_network
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.policy_card import NETWORK
from knuckle.policy.learned.symmetric_policy import TurnedNetworks, TurnedStatistics
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

Array = np.ndarray


def turned_actor(symmetry: HandSymmetry) -> Actor:
    """An actor of random weights, its original in torch."""
    torch.manual_seed(0)
    networks, rng = TurnedNetworks(symmetry, [16, 16], [16]), np.random.default_rng(0)
    width = symmetry.build.width
    normaliser = Normaliser(0.2 * rng.standard_normal(width), rng.uniform(0.2, 1.0, width), 10.0)

    def original(observations: Array) -> Array:
        turned = normaliser(symmetry.copies(observations)).reshape(len(observations), -1)
        with torch.no_grad():
            return networks.forward_actor(torch.as_tensor(turned, dtype=torch.float32)).numpy().astype(np.float64)

    linear = [part for part in networks.policy_net if isinstance(part, torch.nn.Linear)]
    layers = [
        (part.weight.detach().numpy().astype(np.float64), part.bias.detach().numpy().astype(np.float64))
        for part in (*linear, networks.mean)
    ]
    return Actor(normaliser, layers, original, symmetry)


def scenes(symmetry: HandSymmetry, n: int) -> Array:
    """Observations such as the builder makes: what a turn makes of it, turned on, is another turn of it."""
    rng = np.random.default_rng(1)
    return symmetry.copies(rng.standard_normal((n, symmetry.build.width)))[:, 0]


@pytest.mark.parametrize("name", ["dclaw3", "dclaw4"])
def test_the_exported_network_turns_its_actions_with_the_scene(name: str, tmp_path: Path) -> None:
    symmetry = HandSymmetry(hand_spec(name))
    hand, seen = symmetry.hand, scenes(symmetry, 20)
    export_policy(
        tmp_path,
        hand,
        turned_actor(symmetry),
        name="turned",
        observed=seen,
        training={"made": "in a test"},
        data="none",
    )
    session = open_network(tmp_path / NETWORK, symmetry.build.width, hand.dof)
    actions = run_network(session, seen)
    assert actions.std() > 0.05
    for k in range(symmetry.order):
        turned = run_network(session, symmetry.copies(seen)[:, k])
        np.testing.assert_allclose(turned, symmetry.turned_actions(actions)[:, k], atol=1e-5)


def test_the_critic_values_a_turned_scene_alike() -> None:
    symmetry = HandSymmetry(hand_spec("dclaw3"))
    torch.manual_seed(0)
    networks, seen = TurnedNetworks(symmetry, [16], [16, 16]), scenes(symmetry, 20)
    values = []
    for k in range(symmetry.order):
        turned = symmetry.copies(symmetry.copies(seen)[:, k]).reshape(20, -1)
        values.append(networks.forward_critic(torch.as_tensor(turned, dtype=torch.float32)).detach().numpy())
    np.testing.assert_allclose(values[1], values[0], atol=1e-5)
    np.testing.assert_allclose(values[2], values[0], atol=1e-5)


def test_no_finger_has_a_normaliser_of_its_own() -> None:
    symmetry = HandSymmetry(hand_spec("dclaw3"))
    statistics = TurnedStatistics(symmetry)
    statistics.update(scenes(symmetry, 200))
    angles = statistics.mean[symmetry.build.slices["joint_angle"]].reshape(3, 3)
    np.testing.assert_allclose(angles, np.tile(angles[0], (3, 1)), atol=1e-9)
    assert np.abs(statistics.mean[symmetry.build.slices["object_velocity"]][:2]).max() < 1e-9
