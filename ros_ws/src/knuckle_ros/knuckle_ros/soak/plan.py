"""What a soak does to a graph, and when: drawn from a seed before anything runs, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from knuckle.hardware.virtual.fault_storm import fault_storm

FIRST_S = 2.0
CALM_S = (2.0, 4.0)
"""Between the end of a fault and the next one."""

SERVO_KINDS = ("silent", "intermittent", "garbage", "slow", "delayed", "frozen", "stuck", "off", "reboot", "unplug")
CAMERA_KINDS = ("unplug", "freeze", "zero", "hang")
KILLED = ("policy", "world", "perception")
MOST_KILLS = 4
"""Of one process within a supervisor's restart window; at the sixth death it gives a process up."""
WINDOW_S = 400.0


@dataclass(frozen=True)
class Injection:
    """A fault at ``at_s`` of the soak: ``what`` is done to ``target``, for ``lasting_s`` (0: it happens once).

    ``holds`` is True where the hand must leave ARMED because of it.
    """

    at_s: float
    target: str
    what: str
    lasting_s: float = 0.0
    holds: bool = False

    def __str__(self) -> str:
        lasting = f" for {self.lasting_s:g} s" if self.lasting_s else ""
        return f"{self.target} {self.what}{lasting}"


def soak_plan(seed: int, seconds: float, servos: Sequence[int], *, camera: bool = True) -> tuple[Injection, ...]:
    """The faults of a soak of ``seconds`` over a hand with ``servos`` (ids), each over before the next begins.

    Kinds come in shuffled rounds, so that a short soak too has many of them. Without ``camera`` none befalls it.
    """
    rng = np.random.default_rng(seed)
    draw: dict[str, Callable[[float], Injection]] = {
        "servo": lambda at_s: _servo(rng, servos, at_s),
        "kill": lambda at_s: Injection(at_s, KILLED[int(rng.integers(len(KILLED)))], "SIGKILL", holds=True),
        "freeze": lambda at_s: Injection(at_s, "policy", "SIGSTOP", _lasting(rng, 3.0, 4.0), holds=True),
        "garbage": lambda at_s: Injection(at_s, "joint_commands", "garbage", _lasting(rng, 0.5, 1.5)),
        "stop": lambda at_s: Injection(at_s, "emergency_stop", "call", holds=True),
    }
    if camera:
        draw["camera"] = lambda at_s: Injection(
            at_s, "camera", CAMERA_KINDS[int(rng.integers(len(CAMERA_KINDS)))], _lasting(rng, 2.0, 3.0), holds=True
        )
    classes = [*draw, "servo", "servo"]
    plan: list[Injection] = []
    waiting: list[str] = []
    at_s = FIRST_S
    while True:
        waiting = waiting or [classes[int(n)] for n in rng.permutation(len(classes))]
        made = draw[waiting.pop()](round(at_s, 3))
        if made.what == "SIGKILL" and _kills(plan, made) >= MOST_KILLS:
            made = draw["servo"](round(at_s, 3))
        if made.at_s + made.lasting_s > seconds:
            return tuple(plan)
        plan.append(made)
        at_s = made.at_s + made.lasting_s + float(rng.uniform(*CALM_S))


def _servo(rng: np.random.Generator, servos: Sequence[int], at_s: float) -> Injection:
    scripted = fault_storm(rng, servos, 60.0, kinds=SERVO_KINDS, lasting_s=(0.05, 1.5), calm_s=(30.0, 31.0))[0]
    target, what = str(scripted.fault).split(" for ")[0].split(" ", 1)
    return Injection(at_s, target, what, scripted.fault.duration_s or 0.0)


def _lasting(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 3)


def _kills(plan: Sequence[Injection], made: Injection) -> int:
    return sum(i.what == "SIGKILL" and i.target == made.target and i.at_s > made.at_s - WINDOW_S for i in plan)
