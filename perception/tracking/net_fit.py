"""Training a motion network: rounds of updates that a seed and a number decide, so that a run goes on as it would have.

A round draws its own tracks anew. What comes between rounds is in the checkpoint: weights and the optimiser's moments.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import write_text
from knuckle.perception.tracking.boxes import Array
from knuckle.perception.tracking.net_settings import FitConfig
from knuckle.perception.tracking.unrolled_tracks import UnrolledTracks
from knuckle.perception.tracking.whole_file import write_whole

MAX_BYTES = 1 << 30


class Learner(Protocol):
    """A network of this folder, as training sees it."""

    def learn(self, features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and offsets (N, 4), of features (N, q, 10) with true offsets (N, 4)."""


class NetFit:
    """A network on its way. ``done`` updates were made, of those that ``config`` wants."""

    def __init__(self, net: nn.Module, windows: Array, history: int, config: FitConfig, seed: int) -> None:
        self.net, self.windows, self.history, self.config, self.seed = net, windows, history, config, seed
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=config.decay)
        self.done = 0
        self.cpu_s = 0.0

    @property
    def complete(self) -> bool:
        """Whether all updates were made."""
        return self.done >= self.config.updates

    def round(self) -> float:
        """Make one round of updates; its mean loss. Raises RunError where the loss is not finite."""
        begun = time.process_time()
        config = self.config
        rng = np.random.default_rng([self.seed, self.done])
        tracks = UnrolledTracks(self.windows, self.history, config.batch, rng, config.noise)
        total, count = 0.0, min(config.round, config.updates - self.done)
        learner: Learner = self.net  # type: ignore[assignment]
        for _ in range(count):
            features, target = tracks.features()
            loss, offsets = learner.learn(torch.from_numpy(features), torch.from_numpy(target.astype(np.float32)))
            value = float(loss.detach())
            if not math.isfinite(value):
                raise RunError(f"the loss is {value} after {self.done} updates", right="a smaller --set fit.rate")
            for group in self.optimizer.param_groups:
                group["lr"] = config.rate * self._share()
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.net.parameters(), config.clip)
            self.optimizer.step()
            tracks.step(offsets.numpy().astype(np.float64))
            total += value
            self.done += 1
        self.cpu_s += time.process_time() - begun
        return total / max(1, count)

    def _share(self) -> float:
        """The step of this update as a share of the largest."""
        warm = min(1.0, (self.done + 1) / max(1, self.config.warm))
        return warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * self.done / self.config.updates)))

    def keep(self, path: Path) -> None:
        """Write all that the next round follows from, whole or not at all."""
        tensors = {f"net.{name}": value.detach() for name, value in self.net.state_dict().items()}
        for k, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"adam.{k}.{name}": torch.as_tensor(value).reshape(value.shape) for name, value in moments.items()
            }
        facts = json.dumps({"done": self.done, "cpu_s": self.cpu_s, "seed": self.seed})
        write_whole(path, save({k: v.contiguous() for k, v in tensors.items()}, metadata={"facts": facts}))

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint. InputError where it is broken or of another network or seed."""
        where = str(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise InputError("the checkpoint is larger than 1 GiB", where=where, right="one of this run")
            with safe_open(path, framework="pt") as stream:
                facts = json.loads(stream.metadata()["facts"])
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118, it is no mapping
            done, cpu_s, seed = int(facts["done"]), float(facts["cpu_s"]), int(facts["seed"])
            if seed != self.seed:
                raise InputError(f"the run here has seed {seed}, not {self.seed}", where=where, right="another --run")
            self.net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith("adam."):
                    _, index, moment = name.split(".")
                    moments.setdefault(int(index), {})[moment] = value
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"the checkpoint cannot be read ({line})", where=where, right="another --run") from error
        self.done, self.cpu_s = done, cpu_s


def note(path: Path, figures: dict[str, float]) -> None:
    """Add a line of figures to a file of lines."""
    lines = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_text(path, lines + json.dumps(figures) + "\n")
