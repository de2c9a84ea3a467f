"""What is judged: one row of the protocol, and how any one of its episodes is played, again if need be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from knuckle.core.errors import InputError, unknown_name
from knuckle.hardware.spec.hand_spec import HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.baselines import DoNothing, RandomActions
from knuckle.policy.contract import Policy
from knuckle.policy.controllers import make_controller
from knuckle.policy.reorient_episode import Start, Watcher, draw_start, draw_starts, run_episode
from knuckle.policy.reorient_score import EpisodeScore
from knuckle.sim.objects import object_names
from knuckle.sim.world import SimWorld

STATES = ("privileged", "perceived")
BLIND = ("nothing", "random")
"""Controllers that look at nothing: no picture is drawn for them."""


@dataclass(frozen=True)
class ReorientTask:
    """A controller on one world, hand, set of objects and rung, seeing the ``privileged`` or the ``perceived`` state.

    Names are those of the command's options. ``planner`` holds settings of the planner that differ from its own. In an
    episode ``goals`` are given one after another.
    """

    controller: str = "mpc"
    world: str = "table"
    hand: str = "dclaw3"
    objects: str = "train"
    rung: str = "so3"
    state: str = "privileged"
    seed: int = 1
    threads: int = 1
    goals: int = 1
    planner: Mapping[str, str] = field(default_factory=dict)

    def starts(self, episodes: int) -> list[Start]:
        """The starts of ``episodes``; InputError for a name that is not known, or goals after the first in the air."""
        if self.goals > 1 and self.world == "air":
            what = "there is no table under the object after the first goal"
            raise InputError(what, where="--goals", right="1, or --world table")
        names = object_names(self.objects, where="--objects")
        return draw_starts(self.seed, episodes, names, rung=self.rung, surface=self.world)

    def start(self, k: int) -> Start:
        """Start ``k``, the same however many there are; InputError for a name that is not known."""
        names = object_names(self.objects, where="--objects")
        return draw_start(self.seed, k, names, rung=self.rung, surface=self.world)

    def policy(self, k: int) -> Policy:
        """The controller of episode ``k``, of its own seed, so that any episode can be played again alone."""
        hand = hand_spec(self.hand, where="--hand")
        return make_controller(
            self.controller,
            hand,
            seed=self.seed + k,
            threads=self.threads,
            settings=self.planner,
            where="--controller",
        )

    def beside(self, name: str, k: int) -> Policy:
        """What is judged beside it in episode ``k``: ``nothing`` or ``random``."""
        hand = hand_spec(self.hand, where="--hand")
        return DoNothing(hand) if name == "nothing" else RandomActions(hand, seed=self.seed + k)

    def play(self, start: Start, policy: Policy, watch: Watcher | None = None) -> EpisodeScore:
        """Play ``start`` with ``policy``, which is closed then; what it sees is what ``state`` says."""
        if self.state not in STATES:
            raise unknown_name("state", self.state, STATES, where="--state")
        hand = hand_spec(self.hand, where="--hand")
        try:
            if self.state == "privileged" or policy.spec.name in BLIND:
                return run_episode(hand, policy, start, goals=self.goals, watch=watch)
            return _perceiving(hand, policy, start, self.goals, watch)
        finally:
            policy.close()


def _perceiving(hand: HandSpec, policy: Policy, start: Start, goals: int, watch: Watcher | None) -> EpisodeScore:
    """Play ``start`` with a policy that sees the object through the depth camera alone."""
    from knuckle.policy.perceived_state import PerceivedScene

    seen: list[PerceivedScene] = []

    def perceive(world: SimWorld) -> PerceivedScene:
        seen.append(PerceivedScene(world, seed=start.seed))
        return seen[0]

    score = run_episode(hand, policy, start, goals=goals, watch=watch, perceive=perceive)
    return replace(score, perceived=seen[0].tally)
