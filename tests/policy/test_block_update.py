"""PPO's update in blocks is Stable-Baselines3's: same samples, same weights, same figures."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common import policies
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.block_update import BlockUpdate, Loss
from knuckle.policy.learned.symmetric_policy import SymmetricPolicy
from knuckle.sim.reorient.hand_symmetry import HandSymmetry

WORLDS, STEPS, BATCH, EPOCHS = 5, 7, 9, 3  # the last minibatch of 35 has 8
SYMMETRY = HandSymmetry(hand_spec("dclaw3"))
LOSS = Loss(clip=0.2, value=0.7, entropy=0.01, gradient_norm=0.5)


class Nothing(gymnasium.Env[Any, Any]):
    """Spaces, and nothing that happens."""

    observation_space = spaces.Box(-np.inf, np.inf, (SYMMETRY.order * SYMMETRY.build.width,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (SYMMETRY.hand.dof,), np.float32)


def learner(symmetric: bool, layers: int, dtype: torch.dtype) -> PPO:
    """A PPO whose buffer is full of chance, rewarded so that some ratios are clipped after a few minibatches."""
    settings: dict[str, Any] = {
        "activation_fn": nn.ELU,
        "net_arch": {"pi": [12] * layers, "vf": [10] * layers},
        "log_std_init": -1.0,
    }
    model = PPO(
        SymmetricPolicy if symmetric else "MlpPolicy",
        DummyVecEnv([Nothing] * WORLDS),
        learning_rate=5e-4,
        n_steps=STEPS,
        batch_size=BATCH,
        n_epochs=EPOCHS,
        clip_range=LOSS.clip,
        ent_coef=LOSS.entropy,
        vf_coef=LOSS.value,
        max_grad_norm=LOSS.gradient_norm,
        policy_kwargs=settings | ({"symmetry": SYMMETRY} if symmetric else {}),
        seed=4,
        device="cpu",
    )
    model.set_logger(Logger(folder=None, output_formats=[]))
    model.policy.to(dtype)
    rng, buffer = np.random.default_rng(5), model.rollout_buffer
    kind = np.float64 if dtype is torch.float64 else np.float32
    buffer.observations = rng.standard_normal(buffer.observations.shape).astype(kind)
    for name, spread in (("values", 1.0), ("log_probs", 0.3), ("advantages", 1.0), ("returns", 2.0)):
        setattr(buffer, name, (spread * rng.standard_normal((STEPS, WORLDS))).astype(kind))
    seen = torch.as_tensor(buffer.observations).flatten(0, 1)
    with torch.no_grad():
        actions, _, log_probs = model.policy(seen)
    buffer.actions = actions.numpy().reshape(STEPS, WORLDS, -1).astype(np.float32)
    buffer.log_probs += log_probs.numpy().reshape(STEPS, WORLDS)
    buffer.full = True
    return model


def weights(model: PPO) -> np.ndarray:
    return np.concatenate([value.detach().numpy().ravel() for value in model.policy.parameters()])


@pytest.fixture(autouse=True)
def _double_stays_double(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "preprocess_obs", lambda seen, *_, **__: seen)


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("layers", "frozen", "block_rows"), [(2, False, 12), (1, False, 4096), (3, True, 12)])
def test_an_update_in_blocks_is_that_of_stable_baselines3(
    dtype: torch.dtype, apart: float, symmetric: bool, layers: int, frozen: bool, block_rows: int
) -> None:
    ends, figures = [], []
    for ours in (False, True):
        model = learner(symmetric, layers, dtype)
        before = weights(model)
        if frozen:
            networks: Any = model.policy.mlp_extractor
            last: Any = networks.mean if symmetric else model.policy.action_net
            for part in (networks.policy_net, last):
                part.requires_grad_(False)
            model.policy.log_std.requires_grad_(False)
        update = BlockUpdate(model.policy, block_rows)
        for k in range(2):  # the second one shows that nothing of the first is left over
            np.random.seed(k)
            if ours:
                told = update.train(model.rollout_buffer, EPOCHS, BATCH, LOSS, np.random.permutation)
            else:
                model.train()
                told = {n.removeprefix("train/"): float(v) for n, v in model.logger.name_to_value.items()}
                # Theirs has turned the buffer's axes; ours reads it as it was filled.
                model.rollout_buffer = learner(symmetric, layers, dtype).rollout_buffer
        ends.append(weights(model))
        figures.append(told)
        assert np.abs(ends[-1] - before).max() > 0.005
    np.testing.assert_allclose(ends[1], ends[0], rtol=0.0, atol=apart)
    assert figures[0]["clip_fraction"] > 0.1
    names = ("policy_gradient_loss", "value_loss", "entropy_loss", "clip_fraction", "approx_kl", "loss")
    for name in names:
        assert figures[1][name] == pytest.approx(figures[0][name], rel=1e-4, abs=1e-6), name


def test_a_step_at_which_nothing_is_clipped_follows_the_whole_gradient() -> None:
    """On ratios of exactly one both losses of the minimum are equal, and neither may be lost nor counted twice."""
    model = learner(True, 2, torch.float64)
    with torch.no_grad():
        seen = torch.as_tensor(model.rollout_buffer.observations).flatten(0, 1)
        actions = torch.as_tensor(model.rollout_buffer.actions).flatten(0, 1)
        values, likelihood, entropy = model.policy.evaluate_actions(seen, actions)
    rows, gains, returns = (
        torch.arange(len(seen)),
        torch.linspace(-1.0, 1.0, len(seen)).double(),
        values.flatten() + 1.0,
    )
    whole = Loss(clip=0.2, value=0.7, entropy=0.0, gradient_norm=1e9)
    model.policy.optimizer.param_groups[0]["lr"] = 0.0
    BlockUpdate(model.policy).minibatch(seen, actions, rows, likelihood, gains, returns, whole)
    ours = [parameter.grad.clone() for parameter in model.policy.parameters() if parameter.grad is not None]
    model.policy.zero_grad()
    values, now, _ = model.policy.evaluate_actions(seen, actions)
    loss = -(gains * (now - likelihood).exp()).mean() + 0.7 * (returns - values.flatten()).square().mean()
    loss.backward()
    theirs = [parameter.grad for parameter in model.policy.parameters()]
    assert len(ours) == len(theirs) and entropy is not None
    for mine, right in zip(ours, theirs, strict=True):
        assert right is not None
        np.testing.assert_allclose(mine.numpy(), right.numpy(), rtol=1e-9, atol=1e-12)
