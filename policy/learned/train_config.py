"""The settings of training by PPO, their presets, and how the command's words change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from knuckle.core.config import describe, from_mapping, parse_text, setting, validate
from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.done_rule import DoneConfig
from knuckle.sim.objects import object_names
from knuckle.sim.reorient.physics import PHYSICS
from knuckle.sim.reorient.randomisation import randomisation
from knuckle.sim.reorient.reward import RewardConfig
from knuckle.sim.reorient.rungs import find_rung

T = TypeVar("T")


@dataclass(frozen=True)
class PpoConfig:
    """What is learned, on how many worlds, and PPO's own settings (after a pilot's measurements)."""

    objects: str = setting("truck", "objects: train, novel, all, a family or one object")
    rungs: str = setting("yaw60", "rungs in the order in which they are taken up, with + between")
    surface: str = setting("table", "table, or air: the table goes after 2 s", choices=("table", "air"))
    starts: str = setting("settled", "where episodes begin", choices=("settled", "grasp", "mixed", "table"))
    warm_start: str = setting("", "a policy or run whose network, critic and normaliser the run begins with")
    critic_first: int = setting(0, "updates at first in which the critic learns alone", low=0, high=100_000)
    held_share: float = setting(
        0.0, "share of episodes that begin in a grasp that holds, without the table", low=0.0, high=1.0
    )
    shown: str = setting("", "folders of knuckle collect, with + between: some episodes begin in the midst of those")
    shown_share: float = setting(0.5, "share of episodes that begin so, where there are any", low=0.0, high=1.0)
    shown_steps: int = setting(6, "control steps before the goal was near, at first", low=1, high=10_000)
    shown_at: float = setting(0.6, "success share at which those begin a fifth further back", low=0.01, high=1.0)
    physics: str = setting("training", "training (1/60 s), coarse (softer friction) or execution (1/120 s)")
    randomisation: str = setting("off", "off or default")
    episode_s: float = setting(10.0, "when an episode is cut off", low=0.5, high=600.0, unit="s")
    cached_starts: int = setting(64, "stable starts kept of each object", low=1, high=100_000)
    worlds: int = setting(512, "worlds stepped together", low=2, high=65536)
    steps: int = setting(16, "control steps of each world between updates", low=1, high=4096)
    epochs: int = setting(4, "passes over what was collected", low=1, high=100)
    minibatches: int = setting(4, "parts of what was collected, one gradient each", low=1, high=1024)
    width: int = setting(128, "units of a hidden layer", low=1, high=4096)
    layers: int = setting(2, "hidden layers of actor and of critic", low=1, high=8)
    symmetric: bool = setting(True, "one network for every finger, by the hand's symmetry about the vertical")
    gamma: float = setting(0.98, "discount of a step", low=0.0, high=1.0)
    gae_lambda: float = setting(0.95, "lambda of the advantages", low=0.0, high=1.0)
    clip: float = setting(0.2, "clip of the likelihood ratio", low=0.01, high=1.0)
    entropy: float = setting(0.0, "coefficient of the entropy", low=0.0, high=1.0)
    value: float = setting(1.0, "coefficient of the critic's loss", low=0.0, high=100.0)
    gradient_norm: float = setting(1.0, "norm at which gradients are cut", low=1e-3, high=1e3)
    log_std: float = setting(-1.2, "logarithm of the actions' deviation at first", low=-5.0, high=1.0)
    log_std_end: float = setting(-1.2, "what it has sunk to at the end of its annealing", low=-5.0, high=1.0)
    anneal_steps: float = setting(1e6, "control steps over which it sinks, at the least", low=1.0, high=1e12)
    log_std_least: float = setting(-5.0, "what learning may not take it below", low=-5.0, high=1.0)
    noise_correlation: float = setting(0.0, "of the noise of a step with that of the one before", low=0.0, high=0.99)
    rate: float = setting(5e-4, "learning rate at first", low=1e-7, high=0.1)
    rate_low: float = setting(5e-5, "its floor", low=1e-8, high=0.1)
    rate_high: float = setting(3e-3, "its ceiling", low=1e-8, high=0.1)
    kl: float = setting(0.012, "change of the policy in an update that the rate is adapted to", low=1e-5, high=1.0)
    normaliser_clip: float = setting(10.0, "bound of normalised observations", low=1.0, high=1000.0)
    promote_at: float = setting(0.6, "success share at which the next rung is taken up", low=0.01, high=1.0)
    newest_share: float = setting(
        0.5, "share of episodes on the newest rung, once there are several", low=0.1, high=1.0
    )
    window: int = setting(512, "episodes over which the success share of a rung is taken", low=8, high=100_000)
    judge_every: int = setting(
        25, "updates between judgements without noise, by the five conditions", low=1, high=10_000
    )
    judge_worlds: int = setting(96, "worlds of a judgement", low=1, high=4096)
    checkpoint_every: int = setting(20, "updates between checkpoints", low=1, high=100_000)


SHAPED = RewardConfig(
    success=200.0,
    rotation=1.0,
    tip_distance=-10.0,
    tip_free=0.03,
    energy=-0.02,
    fall=-100.0,
    progress=20.0,
    action=-0.01,
    offset=-10.0,
    scale=0.02,
    success_needs="object",
)
"""The pilot's reward."""


@dataclass(frozen=True)
class Training:
    """All that a run is made of: it stands in the run's card and in the policy's."""

    hand: str
    ppo: PpoConfig
    reward: RewardConfig
    done: DoneConfig
    threads: int
    seed: int

    @property
    def rungs(self) -> tuple[str, ...]:
        """The rungs in the order in which they are taken up."""
        return tuple(self.ppo.rungs.split("+"))

    @property
    def objects(self) -> tuple[str, ...]:
        """The objects by name."""
        return object_names(self.ppo.objects, where="objects")

    @property
    def batch(self) -> int:
        """Control steps in one update."""
        return self.ppo.worlds * self.ppo.steps

    def facts(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Preset:
    """Settings under one name: PPO's, the reward, and the ``minutes`` that a run gets."""

    ppo: PpoConfig
    reward: RewardConfig
    minutes: float


PRESETS: dict[str, Preset] = {
    "quick": Preset(PpoConfig(), SHAPED, 5.0),
    "full": Preset(
        PpoConfig(
            objects="train",
            rungs="yaw60+30+60+90+so3",
            starts="mixed",
            held_share=0.6,
            log_std=-0.9,
            log_std_end=-0.9,
            kl=0.03,
            clip=0.25,
            rate_high=5e-3,
            promote_at=0.5,
            judge_every=100,
            judge_worlds=180,
            window=1024,
            checkpoint_every=40,
        ),
        replace(SHAPED, progress=40.0, rest_slack=3.0),
        600.0,
    ),
}
"""One object on the nearest rung, or the whole ladder over all of them, much of it held in the air."""


def make_training(preset: str, hand: str, changes: Mapping[str, str], *, threads: int, seed: int) -> Training:
    """The training of ``preset`` with ``changes``, as text: PPO's by name, ``reward.name``, ``done.name``.

    InputError or ConfigError for what is not known, not in range, or does not fit together.
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS, where="--preset")
    ppo, reward, done = PRESETS[preset].ppo, PRESETS[preset].reward, DoneConfig()
    parts: dict[str, dict[str, str]] = {"": {}, "reward": {}, "done": {}}
    for key, text in changes.items():
        part, _, name = key.rpartition(".")
        if part not in parts:
            raise unknown_name("part", part, [name for name in parts if name], where=f"--set {key}")
        parts[part][name] = text
    training = Training(
        hand=hand,
        ppo=_changed(ppo, parts[""], "--set"),
        reward=_changed(reward, parts["reward"], "--set reward"),
        done=_changed(done, parts["done"], "--set done"),
        threads=threads,
        seed=seed,
    )
    return _checked(training)


def training_of(facts: Mapping[str, Any], *, where: str) -> Training:
    """The training that `Training.facts` told; ConfigError where it is none."""
    try:
        return Training(
            hand=facts["hand"],
            ppo=from_mapping(PpoConfig, facts["ppo"], where=f"{where}: ppo"),
            reward=from_mapping(RewardConfig, facts["reward"], where=f"{where}: reward"),
            done=from_mapping(DoneConfig, facts["done"], where=f"{where}: done"),
            threads=facts["threads"],
            seed=facts["seed"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"settings are missing ({error})", where=where, right="a run of this version") from error


def _changed(config: T, texts: Mapping[str, str], where: str) -> T:
    """``config``, a dataclass, with the settings that ``texts`` say."""
    known = {spec.name: spec for spec in describe(type(config))}
    values: dict[str, Any] = {spec.name: getattr(config, spec.name) for spec in known.values()}
    for name, text in texts.items():
        if name not in known:
            raise unknown_name("setting", name, known, where=where)
        values[name] = parse_text(known[name], text, where=f"{where} {name}")
    return validate(type(config)(**values), where=where)


def _checked(training: Training) -> Training:
    """``training`` itself where its names are known and the minibatches come out even."""
    for rung in training.rungs:
        find_rung(rung, where="--set rungs")
    if len(set(training.rungs)) != len(training.rungs):
        raise InputError(f"rungs '{training.ppo.rungs}'", where="--set rungs", right="each rung once: yaw60+60")
    object_names(training.ppo.objects, where="--set objects")
    hand_spec(training.hand, where="--hand")
    randomisation(training.ppo.randomisation, where="--set randomisation")
    if training.ppo.physics not in PHYSICS:
        raise unknown_name("physics", training.ppo.physics, PHYSICS, where="--set physics")
    if training.batch % training.ppo.minibatches or training.batch // training.ppo.minibatches < 2:
        what = f"{training.batch} steps an update in {training.ppo.minibatches} parts"
        raise InputError(what, where="--set minibatches", right="a divisor of worlds times steps")
    if not training.ppo.rate_low <= training.ppo.rate <= training.ppo.rate_high:
        right = "rate_low <= rate <= rate_high"
        raise InputError(f"a learning rate of {training.ppo.rate:g}", where="--set rate", right=right)
    if training.ppo.log_std_end > training.ppo.log_std:
        what = f"noise that grows from {training.ppo.log_std:g} to {training.ppo.log_std_end:g}"
        raise InputError(what, where="--set log_std_end", right=f"{training.ppo.log_std:g} at most")
    if training.ppo.log_std_least > training.ppo.log_std_end:
        what = f"noise of {training.ppo.log_std_least:g} at least and {training.ppo.log_std_end:g} at most"
        raise InputError(what, where="--set log_std_least", right=f"{training.ppo.log_std_end:g} at most")
    return training
