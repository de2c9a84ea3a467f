"""Whether the learner learns, on a task a child could do, in seconds on a CPU.

In the physics' place is one without contacts: the object turns about the vertical as the first joints are asked to.

    JAX_PLATFORMS=cpu PYTHONPATH=src python benchmarks/gpu/check_learning.py --starts starts.npz

Fails where fewer than 90% of the last episodes succeed, or collecting was compiled more than once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax.numpy as jp
from jax_task import multiply
from mjx_world import MjxWorld
from ppo_mjx import Teacher

from knuckle.policy.learned.train_config import make_training

UPDATES, ENOUGH = 25, 0.9
TURN_RAD = 0.25
SETTINGS = {
    "objects": "truck",
    "worlds": "128",
    "steps": "16",
    "rungs": "yaw60",
    "starts": "settled",
    "held_share": "0.0",
    "width": "64",
    "window": "256",
    "episode_s": "2.0",
}


class TurntableWorld(MjxWorld):
    """A world whose object turns by the mean of what the first joints are asked for, and is at rest after it."""

    def physics(self, model: Any, qpos: Any, qvel: Any, warm: Any, target: Any) -> tuple[Any, Any, Any]:
        """One control step."""
        asked = (target - qpos[self.layout.joint_q]) / self.task.chart.step_rad
        half = 0.5 * TURN_RAD * asked[0::3].mean()
        zero, at = jp.zeros(()), self.layout.object_q.start + 3
        turn = jp.stack([jp.cos(half), zero, zero, jp.sin(half)])
        return qpos.at[at : at + 4].set(multiply(turn, qpos[at : at + 4])), 0.0 * qvel, warm


def main() -> int:
    """Train and say how it went; 1 where nothing was learned."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", type=Path, required=True)
    given = parser.parse_args()
    training = make_training("full", "dclaw3", SETTINGS, threads=1, seed=0)
    culling = {"pairs": 8, "contacts": 8, "iterations": 4}
    teacher = Teacher(training, given.starts, culling, world=TurntableWorld)
    for _ in range(UPDATES):
        figures = teacher.update()
    print(f"success {figures['success_yaw60']:.2f} after {teacher.steps} steps, compiled {teacher.ppo.compiled} times")
    return 0 if figures["success_yaw60"] >= ENOUGH and teacher.ppo.compiled == 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
