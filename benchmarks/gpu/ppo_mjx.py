"""PPO on MJX: the teacher of `knuckle train reorient`, its task, reward, networks and curriculum, on one GPU.

    python3 benchmarks/gpu/ppo_mjx.py --starts .gpu/starts.npz --out "$OUT" --minutes 8 --set worlds=4096

Leaves in the folder `--out`: metrics.jsonl (a line an update), actor.safetensors (what `to_policy.py` makes a policy
of) and learner.safetensors (what `--resume` goes on with), both written every minute and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jp
import numpy as np
from jax_task import RUNG_NAMES
from mjx_world import MjxWorld, read_starts
from ppo_update import PpoUpdate, adam_begin
from turned_networks import TurnedNetworks

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError, KnuckleError, RunError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.curriculum import Curriculum
from knuckle.policy.learned.train_config import Training, make_training

ACTOR, LEARNER, METRICS = "actor.safetensors", "learner.safetensors", "metrics.jsonl"
WRITE_EVERY_S = 60.0
STEP, STD_FLOOR = 1.5, 0.01
OBSERVED = 64
NOT_HERE = {
    "critic_first": 0,
    "shown": "",
    "warm_start": "",
    "physics": "training",
    "randomisation": "off",
    "noise_correlation": 0.0,
}
"""What this script knows one way of, by the names of `PpoConfig`."""


class Teacher:
    """Learns as ``training`` says, from ``starts``, in worlds of kind ``world``; ``culling`` is pairs, contacts and
    iterations of `mjx_model`."""

    def __init__(
        self, training: Training, starts: Path, culling: Mapping[str, int], world: type[MjxWorld] = MjxWorld
    ) -> None:
        self.training, ppo = training, training.ppo
        for name, only in NOT_HERE.items():
            if getattr(ppo, name) != only:
                raise InputError(f"{name} {getattr(ppo, name)}", where=f"--set {name}", right=str(only) or "nothing")
        if ppo.starts == "table":
            raise InputError("starts table", where="--set starts", right="settled, grasp or mixed")
        self.hand = hand_spec(training.hand, where="--hand")
        self.culling = dict(culling)
        packed = read_starts(starts, self.hand, training.objects)
        settings = {"episode_s": ppo.episode_s, "surface": ppo.surface, "held_share": ppo.held_share} | self.culling
        worlds = world(self.hand, training.objects, ppo.worlds, packed, ppo.starts, training.reward, **settings)
        self.networks = TurnedNetworks(self.hand, ppo.width, ppo.layers, ppo.symmetric)
        self.ppo = PpoUpdate(worlds, self.networks, ppo)
        self.curriculum = Curriculum(
            training.rungs, promote_at=ppo.promote_at, newest_share=ppo.newest_share, window=ppo.window
        )
        self.key, own, begin = jax.random.split(jax.random.key(training.seed), 3)
        self.params = strong(self.networks.begin(own, ppo.log_std))
        self.adam, self.rate = strong(adam_begin(self.params)), ppo.rate
        self.updates, self.steps = 0, 0
        self.state, self.seen = strong(jax.jit(worlds.begin)(begin, self._shares()))
        self._count = jax.jit(self.ppo.count)
        self._collect, self._learn = jax.jit(self.ppo.collect), jax.jit(self.ppo.learn)
        none = strong((jp.asarray(1e-4), jp.zeros(self.networks.columns), jp.ones(self.networks.columns)))
        self.sums = self._count(none, self.seen)

    @property
    def stats(self) -> tuple[Any, Any]:
        """Mean and std (width,) of the observations so far."""
        return self.sums[1], jp.sqrt(self.sums[2] + STD_FLOOR**2)

    def update(self) -> dict[str, float]:
        """Collect, learn, count what ended, climb; the update's figures. RunError where numbers are not finite."""
        self.key, collect, learn = jax.random.split(self.key, 3)
        stats = self.stats
        self.state, self.seen, batch, happened, means = self._collect(
            self.params, stats, self.state, self.seen, collect, self._shares()
        )
        # In float32, as are the observations; the next update is normalised by what this one saw.
        self.sums = self._count(self.sums, batch["seen"])
        rate = jp.asarray(self.rate, jp.float32)
        self.params, self.adam, learned = self._learn(self.params, self.adam, stats, batch, learn, rate)
        self.updates, self.steps = self.updates + 1, self.steps + self.training.batch
        most = self._most_log_std()
        self.params["log_std"] = jp.minimum(self.params["log_std"], most)
        figures = {name: float(value) for name, value in (means | learned).items()}
        if not all(bool(jp.isfinite(value).all()) for value in self.params.values()):
            what = f"the weights are not finite after update {self.updates}"
            raise RunError(what, where="training", right="a lower rate_high; the last files are whole")
        self._adapt(figures["approx_kl"])
        return (
            figures | self._counted(happened) | {"rate": self.rate, "std": float(jp.exp(self.params["log_std"]).mean())}
        )

    def actor(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and facts of the actor's file."""
        mean, std = (np.asarray(value, np.float64) for value in self.stats)
        arrays = {"normaliser.mean": mean, "normaliser.std": std, "observed": np.asarray(self.seen[:OBSERVED])}
        for k in range(self.networks.layers + 1):
            for part in ("weight", "bias"):
                arrays[f"layer.{k}.{part}"] = np.asarray(self.params[f"actor.{k}.{part}"])
        device = jax.devices()[0]
        facts = {
            "hand": self.hand.name,
            "symmetric": self.training.ppo.symmetric,
            "clip": self.training.ppo.normaliser_clip,
            "training": self.training.facts(),
            "method": "PPO, MJX",
            "updates": self.updates,
            "steps": self.steps,
            "rung": self.curriculum.newest,
            "culling": self.culling,
            "device": f"{device.platform} {device.device_kind}",
            "versions": {name: version(name) for name in ("jax", "mujoco", "mujoco-mjx")},
        }
        return arrays, facts

    def write(self, folder: Path) -> None:
        """Both files, each whole or as it was before."""
        write_arrays(folder / ACTOR, *self.actor(), what="the actor")
        arrays = {f"params.{name}": np.asarray(value) for name, value in self.params.items()}
        for part in ("first", "second"):
            arrays |= {f"adam.{part}.{name}": np.asarray(value) for name, value in self.adam[part].items()}
        arrays |= {f"sums.{k}": np.asarray(value) for k, value in enumerate(self.sums)}
        facts = {"updates": self.updates, "steps": self.steps, "rate": self.rate, "adam": float(self.adam["step"])}
        facts |= {"hand": self.hand.name, "curriculum": self.curriculum.facts()}
        write_arrays(folder / LEARNER, arrays, facts, what="the learner")

    def resume(self, path: Path) -> None:
        """Go on with what the learner's file at ``path`` has learned; the worlds begin anew. InputError: no fit."""
        right = "a learner.safetensors of the same hand, width, layers and rungs"
        arrays, facts = read_arrays(path, what="the learner", right=right)
        try:
            if facts["hand"] != self.hand.name:
                raise ValueError(f"hand {facts['hand']}")
            for name, value in self.params.items():
                if arrays[f"params.{name}"].shape != value.shape:
                    raise ValueError(f"{name} is {arrays[f'params.{name}'].shape}")
            self.params = {name: jp.asarray(arrays[f"params.{name}"]) for name in self.params}
            moments = {
                part: {n: jp.asarray(arrays[f"adam.{part}.{n}"]) for n in self.params} for part in ("first", "second")
            }
            self.adam = {"step": jp.asarray(facts["adam"], jp.float32)} | moments
            self.sums = tuple(jp.asarray(arrays[f"sums.{k}"]) for k in range(3))
            self.updates, self.steps, self.rate = facts["updates"], facts["steps"], facts["rate"]
            self.curriculum.restore(facts["curriculum"])
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"the learner does not fit ({error})", where=str(path), right=right) from error

    def _shares(self) -> Any:
        shares = self.curriculum.shares()
        return jp.asarray([shares.get(name, 0.0) for name in RUNG_NAMES])

    def _most_log_std(self) -> float:
        ppo = self.training.ppo
        return ppo.log_std + min(self.steps / ppo.anneal_steps, 1.0) * (ppo.log_std_end - ppo.log_std)

    def _adapt(self, change: float) -> None:
        ppo = self.training.ppo
        if change > 2.0 * ppo.kl:
            self.rate = max(self.rate / STEP, ppo.rate_low)
        elif change < 0.5 * ppo.kl:
            self.rate = min(self.rate * STEP, ppo.rate_high)

    def _counted(self, happened: Any) -> dict[str, float]:
        """What ended in the update, counted into the curriculum."""
        seen = {name: np.asarray(values) for name, values in happened.items()}
        done = seen["terminated"] | seen["truncated"]
        on_rung, held = done & ~seen["held"], done & seen["held"]
        for rung, won in zip(seen["rung"][on_rung], seen["won"][on_rung], strict=True):
            self.curriculum.add(RUNG_NAMES[rung], bool(won))
        episodes = int(done.sum())
        figures = {f"success_{name}": self.curriculum.success(name) for name in self.training.rungs}
        figures |= {"episodes": episodes, "rung": self.curriculum.top, "broken": int(seen["broken"].sum())}
        figures["compiled"] = self.ppo.compiled
        figures["dropped"] = float(seen["terminated"].sum() / max(episodes, 1))
        figures["five"] = float(seen["five"].mean())
        figures["success_held"] = float(seen["won"][held].mean()) if held.any() else float("nan")
        figures["taken_up"] = float(self.curriculum.climb())
        return figures


def strong(tree: Any) -> Any:
    """The same arrays, each with a type of its own: what is taken for a Python number at first, and for an array later,
    would be compiled twice, minutes each time."""
    return jax.tree_util.tree_map(lambda leaf: jax.lax.convert_element_type(leaf, np.dtype(leaf.dtype)), tree)


def train(teacher: Teacher, folder: Path, minutes: float, updates: int) -> None:
    """Update until ``minutes`` have passed since the process began to train, or ``updates`` (0: no limit) are done."""
    begun = written = time.perf_counter()
    took = 0.0
    with open(folder / METRICS, "a", encoding="utf-8") as stream:
        while True:
            before = time.perf_counter()
            figures = teacher.update()
            now = time.perf_counter()
            line = {"updates": teacher.updates, "steps": teacher.steps, "spent_s": round(now - begun, 3)}
            line |= {
                "update_s": round(now - before, 3),
                "steps_per_s": round(teacher.training.batch / (now - before), 1),
            }
            line |= {name: value if value == value else None for name, value in figures.items()}
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            print(_said(line), flush=True)
            # The first update compiles, and says nothing of how long the next one takes.
            ahead, took = (now - before if took else 0.0), now - before
            over = now - begun + ahead > 60.0 * minutes or teacher.updates == updates
            if over or now - written > WRITE_EVERY_S:
                teacher.write(folder)
                written = time.perf_counter()
            if over:
                return


def _said(line: Mapping[str, Any]) -> str:
    wins = " ".join(f"{k[8:]} {v:.2f}" for k, v in line.items() if k.startswith("success_") and v is not None)
    return f"{line['spent_s']:7.1f} s  update {line['updates']}  {line['steps_per_s']:.0f} steps/s  {wins}"


def main() -> int:
    """Train; 2 for bad input, 1 for a run that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", type=Path, required=True, help="the file of pack_starts.py")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "runs/gpu")))
    parser.add_argument("--minutes", type=float, default=8.0, help="from the first update, compiling counted in")
    parser.add_argument("--updates", type=int, default=0, help="stop after so many (0: by time alone)")
    parser.add_argument("--hand", default="dclaw3")
    parser.add_argument("--preset", default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=16, help="near pairs of each kind of shapes looked at (0: all)")
    parser.add_argument("--contacts", type=int, default=16, help="contacts of each kind felt (0: all)")
    parser.add_argument("--iterations", type=int, default=10, help="of the solver, as on the CPU")
    parser.add_argument("--resume", type=Path, help="a learner.safetensors to go on with")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings, as knuckle train has them"
    )
    given = parser.parse_args()
    # TensorFloat-32 is too coarse for contact forces.
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        changes = {}
        for text in given.set:
            name, equals, value = text.partition("=")
            if not equals:
                raise InputError(f"'{text}'", where="--set", right="name=value")
            changes[name] = value
        training = make_training(given.preset, given.hand, changes, threads=1, seed=given.seed)
        culling = {"pairs": given.pairs, "contacts": given.contacts, "iterations": given.iterations}
        given.out.mkdir(parents=True, exist_ok=True)
        teacher = Teacher(training, given.starts, culling)
        if given.resume is not None:
            teacher.resume(given.resume)
        print(
            f"{jax.devices()[0].device_kind}: {training.ppo.worlds} worlds of {len(training.objects)} objects",
            flush=True,
        )
        train(teacher, given.out, given.minutes, given.updates)
    except KnuckleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
