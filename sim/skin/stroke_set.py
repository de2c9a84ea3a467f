"""A folder of strokes, made in several processes; a run that was ended, killed too, goes on where it was.

skin.json           seed, settings, channels, units: what the strokes are; the same for all of them
strokes/000017...   a stroke each, see stroke_file
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import require_writable, write_text
from knuckle.core.orphan import end_with_parent
from knuckle.sim.skin.skin_stroke import CHUNK, SAMPLE_S, MagneticSkin, SkinConfig, as_table
from knuckle.sim.skin.stroke_file import BYTES_PER_CHUNK, write_stroke
from knuckle.sim.skin.stroke_plan import CHUNK_S

CARD, STROKES = "skin.json", "strokes"
FORMAT, VERSION = "knuckle skin", 1


class StrokeSet:
    """The strokes in ``path``, of ``config`` and ``seed``. InputError where others are there, or no file can be."""

    def __init__(self, path: Path, config: SkinConfig, *, seed: int) -> None:
        self.path, self.config, self.seed = path, config, seed
        card = _card(config, seed)
        require_writable(path / CARD, what="the strokes")
        if (path / CARD).is_file():
            _require_same(path / CARD, card)
        else:
            (path / STROKES).mkdir(parents=True, exist_ok=True)
            write_text(path / CARD, json.dumps(card, indent=2) + "\n")

    def file(self, k: int) -> Path:
        """Where stroke ``k`` lies."""
        return self.path / STROKES / f"{k:06d}.safetensors"

    def missing(self, strokes: int) -> list[int]:
        """The strokes below ``strokes`` that are yet to be made."""
        return [k for k in range(strokes) if not self.file(k).is_file()]

    def make(self, strokes: int, *, jobs: int, done: Callable[[int], None] = lambda k: None) -> None:
        """Make what is missing of ``strokes`` in ``jobs`` processes; ``done`` is told each stroke that is there.

        InputError where the disk has no room for them or another run works in the folder; RunError where the
        simulation breaks down or a stroke cannot be written: those written before stay.
        """
        missing = self.missing(strokes)
        self._require_room(len(missing))
        with self._alone():
            for partial in (self.path / STROKES).glob(".[0-9]*.safetensors.*"):
                partial.unlink()
            _make(self, missing, jobs, done)

    def largest_bytes(self, strokes: int) -> int:
        """What ``strokes`` take at most."""
        return strokes * (math.ceil(self.config.stroke.longest / CHUNK_S) * BYTES_PER_CHUNK + 4096)

    def _require_room(self, strokes: int) -> None:
        need, free = self.largest_bytes(strokes), shutil.disk_usage(self.path).free
        if need > free:
            what = f"{strokes} strokes take up to {need / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free"
            raise InputError(what, where=str(self.path), right="another folder, or fewer strokes")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with open(self.path / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError("another run makes strokes there", where=str(self.path), right="wait for it") from None
            yield


def _make(strokes: StrokeSet, missing: list[int], jobs: int, done: Callable[[int], None]) -> None:
    if not missing:
        return
    # Spawned: MuJoCo's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    arguments = (strokes.config, strokes.seed)
    with ProcessPoolExecutor(min(jobs, len(missing)), context, _begin, arguments) as pool:
        waiting, running = iter(missing), dict[Future[int], int]()
        try:
            while True:
                while len(running) < 2 * jobs and (k := next(waiting, None)) is not None:
                    running[pool.submit(_make_one, k, strokes.file(k))] = k
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    k = running.pop(future)
                    _of(future, k)
                    done(k)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _of(future: Future[int], k: int) -> int:
    try:
        return future.result()
    except RunError as error:
        right = error.right or "the same command goes on after the strokes that are there"
        raise RunError(error.what, where=error.where or f"stroke {k}", right=right) from error


_worker: list[MagneticSkin] = []
"""The skin of a worker process, made once."""


def _begin(config: SkinConfig, seed: int) -> None:
    end_with_parent()
    _worker[:] = [MagneticSkin(config, seed=seed)]


def _make_one(k: int, path: Path) -> int:
    skin = _worker[0]
    return write_stroke(path, skin.stroke(k), seed=skin.seed, k=k)


def _card(config: SkinConfig, seed: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "seed": seed,
        "rate_hz": round(1.0 / SAMPLE_S),
        "samples_per_target": CHUNK,
        "channels": list(config.magnetometers.channels),
        "targets": ["velocity_x", "velocity_y"],
        "units": {"signals": "uT", "velocity": "m/s", "place": "m", "force": "N"},
        "settings": as_table(config),
    }


def _require_same(path: Path, card: dict[str, Any]) -> None:
    right = "the same settings and seed, or another folder"
    try:
        here = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"what is there cannot be read ({error})", where=str(path), right="another folder") from error
    if not isinstance(here, dict):
        raise InputError("what is there is no table", where=str(path), right="another folder")
    plain = json.loads(json.dumps(card))
    for name, value in plain.items():
        if name == "settings" and isinstance(here.get(name), dict):
            differing = [
                f"{group}.{key}" for group in value for key in value[group] if not _equal(here, value, group, key)
            ]
            if differing:
                raise InputError(f"the strokes there differ in {', '.join(differing)}", where=str(path), right=right)
        elif here.get(name) != value:
            what = f"the strokes there have {name} {here.get(name)!r:.60}, not {value!r:.60}"
            raise InputError(what, where=str(path), right=right)


def _equal(here: dict[str, Any], settings: dict[str, Any], group: str, key: str) -> bool:
    found = here["settings"].get(group)
    return isinstance(found, dict) and key in found and bool(found[key] == settings[group][key])
