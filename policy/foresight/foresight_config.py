"""The settings of learning what chunks do: how much is labelled, by whom, and how it is learned and used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from knuckle.core.config import setting
from knuckle.core.errors import InputError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.cloning.clone_config import by_part, changed
from knuckle.sim.objects import object_names
from knuckle.sim.reorient.rungs import find_rung


@dataclass(frozen=True)
class LabelConfig:
    """Which chunks are carried out in simulation, so that what they lead to is known."""

    episodes: int = setting(4000, "episodes of the first round, in which simulation says the best", low=1)
    rounds: int = setting(1, "rounds after it, in which what was learned so far says the best", low=0, high=100)
    again: int = setting(2000, "episodes of each of those", low=1)
    chunks: int = setting(10, "chunks of a decision that are simulated", low=2, high=64)
    rungs: str = setting("60+90+so3+yaw60+60+90+so3", "rungs of the goals, in turn, with + between")
    objects: str = setting("train", "objects: train, novel, all, a family or one object")


@dataclass(frozen=True)
class NetConfig:
    """The network that foretells, and how it is learned."""

    width: int = setting(192, "units of a finger", low=1, high=4096)
    looked_at: str = setting("1+3+5", "steps of a chunk that the network is told of, the first one 0")
    updates: int = setting(24000, "gradient steps of the last round", low=1, high=10_000_000)
    updates_before: int = setting(4000, "gradient steps of each round before it", low=1, high=10_000_000)
    batch: int = setting(1024, "chunks of a gradient", low=2, high=1_000_000)
    beside: int = setting(4, "chunks of one decision in a gradient", low=1, high=64)
    common: float = setting(0.2, "what counts of the error that those have in common", low=0.0, high=100.0)
    half: bool = setting(False, "layers multiply in bfloat16: twice as fast where the processor does (AMX)")
    mirrored: bool = setting(True, "half of what is learned from is its mirror image")
    inner_rate: float = setting(0.02, "largest learning rate of the layers within (Muon)", low=1e-7, high=1.0)
    rate: float = setting(1e-3, "that of the others (AdamW); both rise at first and fall to 0", low=1e-7, high=1.0)
    decay: float = setting(0.02, "weight decay", low=0.0, high=1.0)
    held_back: float = setting(0.04, "share of episodes that are not learned from, to judge by", low=0.0, high=0.5)

    def steps_looked_at(self, *, where: str) -> tuple[int, ...]:
        """``looked_at`` as numbers; InputError where they are none."""
        try:
            steps = tuple(int(k) for k in self.looked_at.split("+"))
        except ValueError:
            steps = ()
        if not steps or min(steps) < 0:
            raise InputError(f"'{self.looked_at}' are no steps", where=where, right="numbers from 0, with + between")
        return steps


@dataclass(frozen=True)
class UseConfig:
    """How a policy chooses by it."""

    drawn: int = setting(48, "chunks drawn at once, of which the foretold best is gone for", low=2, high=512)
    euler: int = setting(0, "steps from noise to a chunk, a divisor of the source's; 0: as many", low=0, high=50)
    executed: int = setting(4, "postures that are gone for before the next chunks are drawn", low=1, high=60)
    simulated: int = setting(0, "of the foreseen best at most so many are simulated, 0: none", low=0, high=64)
    simulated_each: float = setting(
        0.0, "deviation of foretold costs for which one chunk more is simulated, 0: always as many", low=0.0, high=100.0
    )
    simulated_steps: int = setting(0, "postures of those that are simulated, 0: all foreseen ones", low=0, high=60)
    regrasp: int = setting(
        20, "control steps without gain after which the hand opens and begins anew, 0: never", low=0, high=1000
    )
    whole_numbers: bool = setting(True, "the network multiplies whole numbers of eight bits: a third less time")


@dataclass(frozen=True)
class ForesightConfig:
    """All that a foresight is made of: it stands in the run's folder and in the card."""

    policy: str
    hand: str
    seed: int
    label: LabelConfig = field(default_factory=LabelConfig)
    net: NetConfig = field(default_factory=NetConfig)
    use: UseConfig = field(default_factory=UseConfig)

    @property
    def rungs(self) -> tuple[str, ...]:
        """The rungs of the labelled episodes' goals."""
        return tuple(self.label.rungs.split("+"))

    def facts(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return asdict(self)


def make_foresight(policy: str, hand: str, changes: Mapping[str, str], *, seed: int) -> ForesightConfig:
    """Foresight of the chunks of ``policy`` with ``changes``: ``net.width``, as text.

    InputError or ConfigError for what is not known or not in range.
    """
    parts: dict[str, Any] = {"label": LabelConfig(), "net": NetConfig(), "use": UseConfig()}
    texts = by_part(changes, parts)
    hand_spec(hand, where="--hand")
    made = ForesightConfig(policy, hand, seed, **{n: changed(p, texts[n], f"--set {n}") for n, p in parts.items()})
    for rung in made.rungs:
        find_rung(rung, where="--set label.rungs")
    object_names(made.label.objects, where="--set label.objects")
    made.net.steps_looked_at(where="--set net.looked_at")
    return made
