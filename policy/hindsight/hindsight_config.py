"""The settings of learning in hindsight, and how the command's words change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from knuckle.core.config import describe, parse_text, setting, validate
from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.hindsight.hindsight_reward import HindsightReward
from knuckle.sim.objects import object_names
from knuckle.sim.reorient.physics import PHYSICS
from knuckle.sim.reorient.rungs import find_rung

T = TypeVar("T")


@dataclass(frozen=True)
class HindsightConfig:
    """What is learned, on how many worlds, and the learner's own settings (after a pilot's measurements)."""

    objects: str = setting("train", "objects: train, novel, all, a family or one object")
    rungs: str = setting("30=0.2+60=0.5+90=0.2+so3=0.1", "rungs and how often goals are of each; they sum to 1")
    starts: str = setting("mixed", "where episodes begin", choices=("settled", "grasp", "mixed", "table"))
    held_share: float = setting(
        0.35, "share of episodes that begin in a grasp that holds, without the table", low=0.0, high=1.0
    )
    physics: str = setting("training", "training (1/60 s) or execution (1/120 s)")
    episode_s: float = setting(10.0, "when an episode is cut off", low=0.5, high=600.0, unit="s")
    cached_starts: int = setting(64, "stable starts kept of each object", low=1, high=100_000)
    worlds: int = setting(360, "worlds stepped together", low=2, high=65536)
    ring: int = setting(1400, "control steps of all worlds that the replay holds", low=2, high=1_000_000)
    first_steps: int = setting(30, "control steps before the first update", low=1, high=100_000)
    updates: int = setting(6, "updates after each control step of all worlds", low=1, high=1000)
    batch: int = setting(768, "transitions of an update", low=4, high=1_000_000)
    planner_share: float = setting(0.15, "share of them from the planner's episodes", low=0.0, high=0.9)
    hindsight: float = setting(0.4, "share of them that get a goal that was reached later", low=0.0, high=1.0)
    future: int = setting(24, "control steps within which it was reached, at the most", low=1, high=10_000)
    least_turn: float = setting(0.25, "a goal nearer than this is no goal to learn from", low=0.0, high=3.2, unit="rad")
    gamma: float = setting(0.97, "discount of a step", low=0.0, high=0.9999)
    noise: str = setting("0.1+0.2+0.3+0.45", "deviations of the exploring noise; an episode has one of them")
    target_noise: float = setting(0.15, "deviation of the noise on the target's actions", low=0.0, high=1.0)
    target_clip: float = setting(0.3, "where that noise is cut", low=0.0, high=1.0)
    critic_first: int = setting(4000, "updates at first in which the critics learn alone", low=0, high=10_000_000)
    actor_every: int = setting(2, "updates of the critics for one of the actor", low=1, high=100)
    anchor: float = setting(2.0, "weight of staying with the policy it began as, at first", low=1e-6, high=1e3)
    anchor_end: float = setting(0.2, "what it has sunk to at the end", low=1e-6, high=1e3)
    anchor_updates: int = setting(20_000, "updates over which it sinks", low=1, high=1_000_000_000)
    bound: float = setting(0.02, "weight of the square of actions beyond -1 to 1", low=0.0, high=1e3)
    critic_width: int = setting(256, "units of a critic's hidden layers", low=1, high=4096)
    width: int = setting(128, "units of a hidden layer of the policy it begins as", low=1, high=4096)
    layers: int = setting(2, "hidden layers of that policy", low=1, high=8)
    critic_rate: float = setting(3e-4, "learning rate of the critics", low=1e-7, high=0.1)
    actor_rate: float = setting(1e-4, "learning rate of the actor", low=1e-7, high=0.1)
    critic_norm: float = setting(5.0, "norm at which the critics' gradients are cut", low=1e-3, high=1e6)
    actor_norm: float = setting(1.0, "norm at which the actor's gradients are cut", low=1e-3, high=1e6)
    average: float = setting(0.005, "how far the targets follow in an update", low=1e-6, high=1.0)
    window: int = setting(400, "episodes over which the success share of a rung is taken", low=8, high=100_000)
    cycle: int = setting(60, "control steps between two lines of figures", low=2, high=1_000_000)
    judge_every: int = setting(30, "such lines between judgements without noise", low=1, high=100_000)
    judge_worlds: int = setting(96, "worlds of a judgement", low=1, high=4096)
    checkpoint_every: int = setting(30, "such lines between checkpoints", low=1, high=100_000)


@dataclass(frozen=True)
class Hindsight:
    """All that a run is made of: it stands in the run's folder and in the policy's card. ``warm`` is the policy that
    it begins as, ``episodes`` the folders of the planner's collections."""

    hand: str
    warm: str
    episodes: tuple[str, ...]
    threads: int
    seed: int
    config: HindsightConfig = field(default_factory=HindsightConfig)
    reward: HindsightReward = field(default_factory=HindsightReward)

    @property
    def objects(self) -> tuple[str, ...]:
        """The objects by name."""
        return object_names(self.config.objects, where="objects")

    @property
    def shares(self) -> dict[str, float]:
        """How often goals are of each rung; InputError where that cannot be read."""
        return shares_of(self.config.rungs)

    @property
    def rung(self) -> str:
        """The rung that goals are of most often."""
        shares = self.shares
        return max(shares, key=lambda name: shares[name])

    @property
    def noises(self) -> tuple[float, ...]:
        """Deviations of the exploring noise; InputError where they cannot be read."""
        try:
            values = tuple(float(text) for text in self.config.noise.split("+"))
        except ValueError:
            values = (-1.0,)
        if not all(0.0 <= value <= 2.0 for value in values):
            raise InputError(f"noise '{self.config.noise}'", where="--set noise", right="0.1+0.2: each from 0 to 2")
        return values

    def facts(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return asdict(self) | {"learner": "hindsight", "episodes": list(self.episodes)}


def shares_of(text: str) -> dict[str, float]:
    """Rungs and shares of ``text``, such as 30=0.5+60=0.5; InputError where it says none or they do not sum to 1."""
    where, shares = "--set rungs", dict[str, float]()
    for part in text.split("+"):
        name, _, share = part.partition("=")
        try:
            shares[find_rung(name, where=where).name] = float(share or 1.0)
        except ValueError:
            raise InputError(f"a share of '{share}' for {name}", where=where, right="60=0.5+90=0.5") from None
    if min(shares.values()) < 0.0 or not abs(sum(shares.values()) - 1.0) < 1e-9 or len(shares) != text.count("+") + 1:
        raise InputError(f"rungs '{text}'", where=where, right="each once, with shares that sum to 1: 60=0.5+90=0.5")
    return shares


def make_hindsight(
    hand: str, warm: str, episodes: str, changes: Mapping[str, str], *, threads: int, seed: int
) -> Hindsight:
    """The run that begins as the policy ``warm`` and learns from collections ``episodes`` (folders with + between) too.

    ``changes`` are settings by name, as text, those of the reward as ``reward.name``. InputError or ConfigError for
    what is not known, not in range, or does not fit together.
    """
    texts: dict[str, dict[str, str]] = {"": {}, "reward": {}}
    for key, text in changes.items():
        part, _, name = key.rpartition(".")
        if part not in texts:
            raise unknown_name("part", part, ["reward"], where=f"--set {key}")
        texts[part][name] = text
    hand_spec(hand, where="--hand")
    config = _changed(HindsightConfig(), texts[""], "--set")
    reward = _changed(HindsightReward(), texts["reward"], "--set reward")
    folders = tuple(name for name in episodes.split("+") if name)
    return _checked(Hindsight(hand, warm, folders, threads, seed, config, reward))


def _checked(run: Hindsight) -> Hindsight:
    """``run`` itself where its names are known and its numbers fit together."""
    config = run.config
    object_names(config.objects, where="--set objects")
    assert run.shares
    assert run.noises
    if config.physics not in PHYSICS:
        raise unknown_name("physics", config.physics, PHYSICS, where="--set physics")
    longest = round(config.episode_s * hand_spec(run.hand).control_rate_hz)
    if config.ring < longest + config.future:
        # A later step of an episode would else be looked for where the ring holds an earlier one.
        what = f"a ring of {config.ring} control steps for episodes of {longest}"
        raise InputError(what, where="--set ring", right=f"{longest + config.future} or more")
    if config.first_steps > config.cycle:
        what = f"{config.first_steps} control steps before the first update"
        raise InputError(what, where="--set first_steps", right=f"{config.cycle} at most, the cycle")
    if config.anchor_end > config.anchor:
        what = f"an anchor that grows from {config.anchor:g} to {config.anchor_end:g}"
        raise InputError(what, where="--set anchor_end", right=f"{config.anchor:g} at most")
    return run


def _changed(config: T, texts: Mapping[str, str], where: str) -> T:
    """``config``, a dataclass, with the settings that ``texts`` say."""
    known = {spec.name: spec for spec in describe(type(config))}
    values: dict[str, Any] = {name: getattr(config, name) for name in known}
    for name, text in texts.items():
        if name not in known:
            raise unknown_name("setting", name, known, where=where)
        values[name] = parse_text(known[name], text, where=f"{where} {name}")
    return validate(type(config)(**values), where=where)
