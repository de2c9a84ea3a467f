"""PPO of Stable-Baselines3 on the batch world, its learning rate led by how far each update moved the policy."""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from knuckle.policy.learned.block_update import BlockUpdate, Loss
from knuckle.policy.learned.onnx_graph import Normaliser
from knuckle.policy.learned.smooth_noise import SmoothGaussian
from knuckle.policy.learned.symmetric_policy import SymmetricPolicy, TurnedNetworks, TurnedNormalize
from knuckle.policy.learned.train_config import PpoConfig
from knuckle.sim.reorient.batch_world import BatchWorld
from knuckle.sim.reorient.hand_symmetry import HandSymmetry
from knuckle.sim.reorient.sb3_env import ReorientVecEnv

STEP = 1.5
STD_FLOOR = 0.01
"""No column is stretched by more than a hundred, however still it is while learning."""


class TimedVecEnv(ReorientVecEnv):
    """The batch world, with the seconds of wall clock spent in its steps."""

    def __init__(self, world: BatchWorld) -> None:
        super().__init__(world)
        self.seconds = 0.0

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """One control step of all worlds."""
        begun = time.perf_counter()
        result = super().step_wait()
        self.seconds += time.perf_counter() - begun
        return result


def normalised(env: TimedVecEnv, config: PpoConfig, symmetry: HandSymmetry | None) -> VecNormalize:
    """``env`` with observations normalised by what was seen so far, in every turn of ``symmetry`` where there is one;
    rewards stay as they are."""
    options: dict[str, Any] = {
        "norm_reward": False,
        "clip_obs": config.normaliser_clip,
        "epsilon": STD_FLOOR**2,
    }
    return VecNormalize(env, **options) if symmetry is None else TurnedNormalize(env, symmetry, **options)


def statistics_of(env: VecNormalize) -> RunningMeanStd:
    """Mean and variance of the observations that ``env`` has seen."""
    return cast(RunningMeanStd, env.obs_rms)


def normaliser_of(env: VecNormalize) -> Normaliser:
    """What ``env`` does to observations."""
    statistics = statistics_of(env)
    return Normaliser(statistics.mean.copy(), np.sqrt(statistics.var + env.epsilon), float(env.clip_obs))


class AdaptivePpo(PPO):
    """PPO with ``config`` on ``env``. The ``learning rate`` shrinks by 1.5 after an update whose KL was above twice the
    wanted, and grows by as much after one below half of it. The logarithm of the noise's deviation is held below a line
    that sinks over ``anneal_steps``: what the noise does by chance the policy must learn to do without it."""

    def __init__(self, env: VecNormalize, config: PpoConfig, symmetry: HandSymmetry | None = None) -> None:
        self.config, self.rate = config, config.rate
        hidden = [config.width] * config.layers
        settings: dict[str, Any] = {
            "activation_fn": nn.ELU,
            "net_arch": {"pi": hidden, "vf": hidden},
            "log_std_init": config.log_std,
        }
        super().__init__(
            "MlpPolicy" if symmetry is None else SymmetricPolicy,
            env,
            learning_rate=lambda _: self.rate,
            n_steps=config.steps,
            batch_size=config.worlds * config.steps // config.minibatches,
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip,
            ent_coef=config.entropy,
            vf_coef=config.value,
            max_grad_norm=config.gradient_norm,
            policy_kwargs=settings if symmetry is None else settings | {"symmetry": symmetry},
            device="cpu",
        )
        self.set_logger(Logger(folder=None, output_formats=[]))
        self.noise = SmoothGaussian(int(self.policy.log_std.numel()), config.noise_correlation)
        if config.noise_correlation > 0.0:
            self.policy.action_dist = self.noise
        self.blocks = BlockUpdate(self.policy)
        self.learned = (0.0, 0.0)
        """Seconds of wall clock and of the processor that updates have taken, without what was collected for them."""

    def train(self) -> None:
        """One update by what was collected; then the learning rate of the next, and the most noise that it may have.

        The update is that of `stable_baselines3.PPO.train`, see `BlockUpdate`.
        """
        begun, used = time.perf_counter(), time.process_time()
        config, buffer = self.config, self.rollout_buffer
        self._update_learning_rate(self.policy.optimizer)
        loss = Loss(config.clip, config.value, config.entropy, config.gradient_norm)
        figures: dict[str, Any] = self.blocks.train(buffer, config.epochs, self.batch_size, loss, np.random.permutation)
        self._n_updates += config.epochs
        figures["explained_variance"] = explained_variance(buffer.values.ravel(), buffer.returns.ravel())
        figures["std"] = float(self.policy.log_std.detach().exp().mean())
        figures |= {"n_updates": self._n_updates, "clip_range": config.clip}
        for name, value in figures.items():
            self.logger.record(f"train/{name}", value)
        self.policy.log_std.data.clamp_(min=config.log_std_least, max=self.most_log_std)
        change = float(self.logger.name_to_value["train/approx_kl"])
        if change > 2.0 * self.config.kl:
            self.rate = max(self.rate / STEP, self.config.rate_low)
        elif change < 0.5 * self.config.kl:
            self.rate = min(self.rate * STEP, self.config.rate_high)
        wall, cpu = self.learned
        self.learned = wall + time.perf_counter() - begun, cpu + time.process_time() - used

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None) -> None:
        """Nothing: `Tally` counts the episodes."""

    @property
    def most_log_std(self) -> float:
        """The logarithm of the largest deviation of an action's noise now."""
        config = self.config
        sunk = min(self.num_timesteps / config.anneal_steps, 1.0)
        return config.log_std + sunk * (config.log_std_end - config.log_std)

    def layers(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Weight and bias of each linear layer of the actor, the first one first."""
        networks: Any = self.policy.mlp_extractor
        hidden = networks.policy_net
        last: Any = networks.mean if isinstance(networks, TurnedNetworks) else self.policy.action_net
        linear: list[Any] = [part for part in hidden.modules() if isinstance(part, nn.Linear)]
        pairs = [(part.weight, part.bias) for part in (*linear, last)]
        return [(w.detach().numpy().astype(np.float64), b.detach().numpy().astype(np.float64)) for w, b in pairs]
