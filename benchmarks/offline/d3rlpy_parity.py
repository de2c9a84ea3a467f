"""IQL, TD3+BC and CQL beside those of d3rlpy: the same rows, batch size, steps, seeds and settings, the same judge.

python benchmarks/offline/d3rlpy_parity.py [--data hopper-medium-v0] [--steps 1000] [--seeds 5] [--json FILE]

d3rlpy 2.8.1 (MIT) goes into a folder of its own, as it wants another gymnasium than ours:
pip install --no-deps --target DIR d3rlpy==2.8.1 structlog dataclasses-json marshmallow typing-inspect mypy-extensions \
    colorama gym gym_notices scikit-learn scipy joblib threadpoolctl narwhals
then PYTHONPATH=DIR before the command above.

Without --data both learn to walk in the plane (`knuckle eval offline --study navigation`). Both are given the
observations and rewards that ours is given, in batches drawn by the same rule; d3rlpy's own buffer, which knows no
observation after an episode's last step, is not used. Where d3rlpy does not begin as the authors' code does, ours is
told to do as it does: IQL's deviation begins at exp(-1.5), CQL's at 1, and CQL takes the policy's mean for the target's
action. What stays different: d3rlpy's initial weights are torch's, its deviations are bounded otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.core.figures import write_text
from knuckle.policy.offline.bootstrap import bootstrap_mean
from knuckle.policy.offline.fit import Fit
from knuckle.policy.offline.judge import play
from knuckle.policy.offline.learner import Rows
from knuckle.policy.offline.learners import settings_of
from knuckle.policy.offline.navigation.world import LIMIT, recorded_walks, walk
from knuckle.policy.offline.prepare import prepared, unit_transitions
from knuckle.policy.offline.transitions import Transitions
from knuckle.policy.offline_data.environments import task_of
from knuckle.policy.offline_data.open_data import open_data

LEARNERS = ("iql", "td3-bc", "cql")
Act = Callable[[NDArray[Any]], NDArray[Any]]
"""Actions (n, A), -1 to 1, for observations (n, O) as the learner was given them."""
JUDGED_NOISE, WALKS = 0.02, 50


def ours(name: str, options: argparse.Namespace, rows: Transitions, seed: int) -> Act:
    """Our learner after its steps."""
    settings = {"width": str(options.width), "batch": str(options.batch)}
    if name == "cql":
        settings |= {"samples": str(options.samples), "alpha": "5", "critic_layers": "2", "policy_rate": "0.0001"}
        settings |= {"log_std_offset": "0", "target_mean": "true"}
    if name == "iql":
        settings |= {"log_std": "-1.5"}
    fit = Fit(name, settings_of(name, settings), rows, seed=seed)
    fit.run(options.steps)
    return fit.act


def theirs(name: str, options: argparse.Namespace, rows: Transitions, seed: int) -> Act:
    """d3rlpy's after as many."""
    import d3rlpy
    from d3rlpy.dataset import TransitionMiniBatch

    d3rlpy.seed(seed)
    layers = d3rlpy.models.VectorEncoderFactory([options.width, options.width])
    shared = {"batch_size": options.batch, "actor_encoder_factory": layers, "critic_encoder_factory": layers}
    config: Any
    if name == "iql":
        config = d3rlpy.algos.IQLConfig(value_encoder_factory=layers, **shared)
    elif name == "td3-bc":
        config = d3rlpy.algos.TD3PlusBCConfig(**shared)
    else:
        config = d3rlpy.algos.CQLConfig(
            conservative_weight=5.0, alpha_learning_rate=0.0, n_action_samples=options.samples, **shared
        )
    algorithm = config.create(device=False)
    algorithm.create_impl((rows.observation_width,), rows.action_width)
    rng, given = np.random.default_rng(seed), Rows(rows)
    ones = np.ones((options.batch, 1), dtype=np.float32)
    for _ in range(options.steps):
        drawn = given.draw(options.batch, rng)
        acted = drawn.actions.numpy()
        batch = TransitionMiniBatch(
            observations=drawn.observations.numpy(),
            actions=acted,
            rewards=drawn.rewards.numpy()[:, None],
            next_observations=drawn.next_observations.numpy(),
            next_actions=acted,  # read by none of the three
            terminals=1.0 - drawn.lasts.numpy()[:, None],
            intervals=ones,
            transitions=[],
        )
        algorithm.update(batch)
    return lambda seen: np.asarray(algorithm.predict(np.asarray(seen, dtype=np.float32)))


def judged_in_the_plane(act: Act, seed: int) -> float:
    """Minus the mean steps of walks with a little noise, `LIMIT` where the goal is missed."""
    rng = np.random.default_rng([seed, 1])
    walks = walk(lambda at: np.asarray(act(at.astype(np.float32))), noise=JUDGED_NOISE, count=WALKS, rng=rng)
    return -float(np.where(walks.reached, walks.steps, LIMIT).mean())


def runs(options: argparse.Namespace, name: str, seed: int) -> dict[str, tuple[float, float]]:
    """Return and CPU ms a step of both sides."""
    if options.data:
        data = prepared(open_data(options.data), name)
        task = task_of(data.environment)
        if task is None or data.scale is None:
            raise SystemExit(f"no task is known for {options.data}")
        rows, scale = unit_transitions(data), data.scale
        middle, half = 0.5 * (data.high + data.low), 0.5 * (data.high - data.low)

        def judge(act: Act) -> float:
            played = play(
                lambda seen, numbers, step: middle + half * act(scale(seen)), task, episodes=options.episodes, seed=seed
            )
            return float(played.returns.mean())
    else:
        rows = recorded_walks(seed)

        def judge(act: Act) -> float:
            return judged_in_the_plane(act, seed)

    found = {}
    for side, learn in (("ours", ours), ("d3rlpy", theirs)):
        used = time.process_time()
        act = learn(name, options, rows, seed)
        cost = 1e3 * (time.process_time() - used) / options.steps
        found[side] = (judge(act), cost)
    return found


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="", help="what to learn from, as knuckle data show takes it")
    parser.add_argument("--learners", default="+".join(LEARNERS))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--samples", type=int, default=10, help="actions drawn of each kind, CQL")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--json", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, figures = np.random.default_rng(0), {}
    for name in options.learners.split("+"):
        results = [runs(options, name, seed) for seed in range(options.seeds)]
        apart = [found["ours"][0] - found["d3rlpy"][0] for found in results]
        series = {side: [found[side][0] for found in results] for side in ("ours", "d3rlpy")} | {"difference": apart}
        for side, values in series.items():
            low, high = bootstrap_mean(values, rng)
            cost = f", {np.mean([found[side][1] for found in results]):.1f} CPU ms a step" if side in results[0] else ""
            sys.stdout.write(f"{name:>7} {side:>10} {np.mean(values):9.2f} [{low:.2f}, {high:.2f}]{cost}\n")
            sys.stdout.flush()
            figures[f"{name}_{side}"] = {"mean": float(np.mean(values)), "interval": [low, high], "values": values}
    if options.json:
        write_text(Path(options.json), json.dumps(vars(options) | {"figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
