"""``knuckle bench tracker``: what a frame of many tracks costs each model, beside Roboflow's ``trackers``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from knuckle.perception.tracking.detection_recipe import Detected
    from knuckle.perception.tracking.sequence import Sequence

MODELS = "last+cv+sort+bytetrack+ocsort+ridge+mtp+trackssm+bytetrack-link+ridge-link+mtp-link+trackssm-link"
RIVALS = ("sort", "bytetrack", "ocsort")


@dataclass(frozen=True)
class BenchTracker:
    """Time trackers on one film of many boxes, in turns, on one thread: CPU ms a frame, median and range."""

    models: str = setting(MODELS, "models, with + between")
    weights: str = setting("", "folder of weights and tuned settings; those that come along where empty")
    tracks: int = setting(20, "boxes in every frame", low=1, high=500)
    frames: int = setting(200, "frames of the film", low=10, high=100_000)
    repeats: int = setting(5, "times that every model follows the film, in turns", low=1, high=1000)
    rival: str = setting("", "Python of an environment with the package 'trackers'; left out where empty")
    seed: int = setting(0, "seed of the film and its detections", low=0, high=2**31 - 1)
    json: str = setting("", "file to write the figures to")


def bench_tracker(argv: list[str]) -> int:
    """Run ``knuckle bench tracker``. Raises InputError for a model, a folder or a Python that cannot be used."""
    config = parse_arguments(BenchTracker, argv, "knuckle bench tracker")
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from knuckle.core.figures import Figures, require_writable
    from knuckle.perception.tracking.detection_recipe import detect
    from knuckle.perception.tracking.evaluation import figure_name
    from knuckle.perception.tracking.ready import ready_tracker
    from knuckle.perception.tracking.weights_folder import SHIPPED

    if config.json:
        require_writable(Path(config.json))
    folder = Path(config.weights) if config.weights else SHIPPED
    film = crowd(config.tracks, config.frames, config.seed)
    made = detect(film, config.seed)
    names = [name for name in config.models.split("+") if name]
    for name in names:
        ready_tracker(name, 1.0 / film.rate_hz, folder)

    def own(name: str) -> tuple[float, float]:
        tracker, told = ready_tracker(name, 1.0 / film.rate_hz, folder), 0
        begun = time.process_time()
        for k, seen in enumerate(made.frames):
            tracks = tracker.push(film.stamp_ns(k), seen)
            told += 0 if tracks is None else len(tracks.ids)
        return time.process_time() - begun, told / film.frames

    runs: dict[str, Callable[[], tuple[float, float]]] = {}
    for name in names:
        runs[figure_name(name)] = lambda name=name: own(name)  # type: ignore[misc]
    rival = _Rival(config.rival, film, made) if config.rival else None
    if rival is not None:
        for name in RIVALS:
            runs[f"rival_{name}"] = lambda name=name: rival.run(name)  # type: ignore[misc]
    spent: dict[str, list[float]] = {name: [] for name in runs}
    told: dict[str, float] = {}
    try:
        for _ in range(config.repeats):
            for name, run in runs.items():
                cpu_s, told[name] = run()
                spent[name].append(1e3 * cpu_s / film.frames)
    finally:
        if rival is not None:
            rival.end()
    figures = {f"cpu_{name}_ms": float(np.median(values)) for name, values in spent.items()}
    ranges = {f"cpu_{name}_ms": (min(values), max(values)) for name, values in spent.items()}
    table = Table("model", "CPU ms a frame", "range", "tracks told", box=None, pad_edge=False)
    for name, values in spent.items():
        median = figures[f"cpu_{name}_ms"]
        table.add_row(name, f"{median:.3f}", f"{min(values):.3f} to {max(values):.3f}", f"{told[name]:.1f}")
    Console().print(table)
    if config.json:
        command = ["knuckle", "bench", "tracker", *argv]
        Figures(command, asdict(config), config.seed, config.repeats, figures, ranges).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


def crowd(tracks: int, frames: int, seed: int) -> Sequence:
    """A film of ``tracks`` boxes that all stay in the image and go round in it, each its own way."""
    import numpy as np

    from knuckle.perception.tracking.sequence import make_sequence

    rng = np.random.default_rng(seed)
    time_s = np.arange(frames)[:, None] / 25.0
    turns, phase = rng.uniform(0.3, 1.2, (2, tracks)), rng.uniform(0.0, 2.0 * np.pi, (2, tracks))
    across, along = (np.sin(turns[k] * time_s + phase[k]) for k in (0, 1))
    height = rng.uniform(60.0, 140.0, tracks) * np.ones((frames, 1))
    boxes = np.stack([640.0 + 600.0 * across, 360.0 + 300.0 * along, 0.45 * height, height], axis=-1)
    frame, track = (part.ravel() for part in np.meshgrid(np.arange(frames), np.arange(tracks), indexing="ij"))
    return make_sequence("crowd", 25.0, (1280, 720), frames, frame, track, boxes.reshape(-1, 4), np.ones_like(frame))


class _Rival:
    """The rival's process, on one thread, fed with the same detections."""

    def __init__(self, python: str, film: Sequence, made: Detected) -> None:
        import os

        import numpy as np

        from knuckle.perception.tracking.boxes import to_corners

        self.where = python
        frame = np.concatenate([np.full(len(seen.scores), k) for k, seen in enumerate(made.frames)])
        corners = np.concatenate([to_corners(seen.boxes) for seen in made.frames])
        scores = np.concatenate([seen.scores for seen in made.frames])
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "detections.npz"
        np.savez(path, frame=frame, corners=corners, scores=scores, rate_hz=film.rate_hz)
        script = Path(__file__).with_name("bench_rival.py")
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # Our own path is none of the rival's: it has packages of other versions.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | threads
        try:
            self.process = subprocess.Popen(
                [python, str(script), str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
        except OSError as error:
            self.folder.cleanup()
            raise InputError(f"it cannot be run ({error.strerror})", where=python, right="a Python") from error
        try:
            self._answer()
        except InputError:
            self.end()
            raise

    def run(self, name: str) -> tuple[float, float]:
        """CPU seconds and mean tracks of one tracker over the film."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        answer = self._answer()
        return float(answer["cpu_s"]), float(answer["tracks"])

    def end(self) -> None:
        """End the process and take its file away."""
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            right = "a Python whose environment has 'trackers' 2.6 (pip install trackers)"
            raise InputError("the rival ended without an answer", where=self.where, right=right)
        answer: dict[str, float] = json.loads(line)
        return answer
