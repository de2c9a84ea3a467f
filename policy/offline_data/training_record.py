"""Learning online and keeping all that was seen on the way: a replay as a data set, medium-replay for example.

run.json               what is learned, where, with which seed
parts/000050176...     the episodes of a stretch of training, safetensors; the number is the steps until its end
learner.safetensors    PPO's weights and its Adam's moments, as they were then: a killed run goes on from there

Stable-Baselines3 learns; a `RecordingEnv` under it sees what is really played. A run that goes on is no repetition to
the bit of one that was never killed: the episode under way and the state of the generators are lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import stable_baselines3
import torch

from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.errors import InputError
from knuckle.core.figures import require_writable, write_text
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.episode import Episode
from knuckle.policy.offline_data.recording import RecordingEnv

RUN, PARTS, LEARNER = "run.json", "parts", "learner.safetensors"
ALGORITHMS = ("ppo", "sac")
STRETCH = 49_152
"""Steps between two checkpoints: 24 rollouts of PPO."""


def record_training(
    folder: Path,
    make: Callable[[], Any],
    *,
    name: str,
    algorithm: str,
    steps: int,
    seed: int,
    told: Callable[[int, float], None] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Dataset:
    """Learn by ``algorithm`` (`ALGORITHMS`, Stable-Baselines3's defaults but for ``settings``) for ``steps`` steps in
    ``folder``, and give back every episode in the order in which it ended; its fact ``training_step`` says when.

    A folder with a part of the run goes on from it (PPO alone keeps what that needs). ``told`` hears the steps done and
    the mean return of the last episodes. InputError where another run is in the folder.
    """
    changes = dict(settings or {})
    _open(folder, {"algorithm": algorithm, "name": name, "seed": seed, "settings": changes})
    done = max(_ends(folder), default=0)
    env = make()
    low, high = (np.asarray(bound, dtype=np.float32) for bound in (env.action_space.low, env.action_space.high))
    environment = env.spec.id if env.spec is not None else ""
    if done < steps:
        kept: list[Episode] = []
        model: Any = None
        recorder = RecordingEnv(env, kept.append, lambda: {"training_step": int(model.num_timesteps)})
        model = _model(algorithm, recorder, seed + done, changes)
        if done:
            _restore(model, folder)
            model.num_timesteps = done
        while done < steps:
            model.learn(min(STRETCH, steps - done), reset_num_timesteps=False)
            done = int(model.num_timesteps)
            if done >= steps:
                recorder.cut()
            _write_part(folder, done, kept)
            if algorithm == "ppo":
                write_arrays(folder / LEARNER, _learner_arrays(model), {"steps": done}, what="the learner")
            if told is not None and kept:
                told(done, float(np.mean([episode.total for episode in kept[-20:]])))
            kept.clear()
    env.close()
    return Dataset(name, tuple(read_parts(folder)), low, high, environment)


def read_parts(folder: Path) -> Sequence[Episode]:
    """The episodes of all parts in ``folder``, in order; InputError where one is broken."""
    episodes: list[Episode] = []
    for end in _ends(folder):
        path = folder / PARTS / f"{end:09d}.safetensors"
        arrays, facts = read_arrays(path, what="the part", right="another --out")
        at = 0
        for k, length in enumerate(arrays["lengths"].tolist()):
            rows = slice(at, at + length)
            seen = arrays["observations"][at + k : at + k + length + 1]  # each episode has one more than steps
            over = bool(arrays["terminated"][k])
            episodes.append(Episode(seen, arrays["actions"][rows], arrays["rewards"][rows], over, facts["episodes"][k]))
            at += length
    return episodes


def _open(folder: Path, settings: Mapping[str, Any]) -> None:
    if settings["algorithm"] not in ALGORITHMS:
        right = f"one of: {', '.join(ALGORITHMS)}"
        raise InputError(f"algorithm '{settings['algorithm']}'", where="recording", right=right)
    require_writable(folder / RUN, what="the run")
    if not (folder / RUN).is_file():
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        write_text(folder / RUN, json.dumps(dict(settings), indent=2) + "\n")
    try:
        here = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"its settings cannot be read ({error})"
        raise InputError(what, where=str(folder / RUN), right="a folder of its own") from error
    if here != dict(settings):
        raise InputError(f"another run is here: {here}", where=str(folder), right="the same settings, or another --out")
    if settings["algorithm"] == "sac" and _ends(folder):
        raise InputError("a run of SAC cannot be gone on with", where=str(folder), right="ppo, or another --out")


def _ends(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in (folder / PARTS).glob("[0-9]*.safetensors"))


def _model(algorithm: str, env: Any, seed: int, settings: Mapping[str, Any]) -> Any:
    return {"ppo": stable_baselines3.PPO, "sac": stable_baselines3.SAC}[algorithm](
        "MlpPolicy", env, seed=seed, device="cpu", verbose=0, **settings
    )


def _write_part(folder: Path, end: int, episodes: Sequence[Episode]) -> None:
    if not episodes:
        return
    arrays = {
        "observations": np.concatenate([episode.observations for episode in episodes]),
        "actions": np.concatenate([episode.actions for episode in episodes]),
        "rewards": np.concatenate([episode.rewards for episode in episodes]),
        "lengths": np.array([len(episode) for episode in episodes], dtype=np.int64),
        "terminated": np.array([episode.terminated for episode in episodes]),
    }
    facts = {"episodes": [dict(episode.facts) for episode in episodes]}
    write_arrays(folder / PARTS / f"{end:09d}.safetensors", arrays, facts, what="the part")


def _learner_arrays(model: Any) -> dict[str, Any]:
    arrays = {f"policy.{name}": tensor.numpy() for name, tensor in model.policy.state_dict().items()}
    for k, state in model.policy.optimizer.state_dict()["state"].items():
        arrays |= {f"adam.{k}.{name}": np.asarray(value) for name, value in state.items()}
    return arrays


def _restore(model: Any, folder: Path) -> None:
    arrays, _ = read_arrays(folder / LEARNER, what="the learner", right="another --out")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    model.policy.load_state_dict({n.removeprefix("policy."): t for n, t in tensors.items() if n.startswith("policy.")})
    whole = model.policy.optimizer.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, k, moment = name.split(".")
            whole["state"].setdefault(int(k), {})[moment] = tensor
    model.policy.optimizer.load_state_dict(whole)
