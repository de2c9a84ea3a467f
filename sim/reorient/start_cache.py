"""The cache of stable starts: one plain npz an object, beside a JSON card that says what it is of.

The key is a hash of everything that shapes the states: the compiled model (hand, object, physics), the numbers asked
for, the versions of MuJoCo and of this file. A cache that is missing is made; one that is broken or of something else
is refused, and made anew only where that is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.cards import file_sha256
from knuckle.core.errors import InputError
from knuckle.core.figures import write_text
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.reorient.stable_starts import StableStarts, make_starts
from knuckle.sim.scene import Scene

VERSION = 1
_ARRAYS = ("settled", "grasps", "targets", "in_air")
_REMAKE = "delete it, or have it made anew with remake"


@dataclass(frozen=True)
class StartCard:
    """What a cache file is of: ``key`` as `cache_key` has it, the file's ``sha256``, and the rest for a reader."""

    key: str
    sha256: str
    version: int
    hand: str
    object: str
    dt_s: float
    count: int
    seed: int
    settled: int
    grasps: int
    in_air: int


def cache_root() -> Path:
    """Where caches are kept: knuckle/starts in the user's cache folder (XDG_CACHE_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "knuckle" / "starts"


def cache_key(scene: Scene, count: int, seed: int) -> str:
    """The hash that names a cache of ``count`` starts drawn with ``seed`` for ``scene``, hexadecimal."""
    model = np.empty(mujoco.mj_sizeModel(scene.model), np.uint8)
    mujoco.mj_saveModel(scene.model, None, model)
    text = f"{VERSION} {mujoco.__version__} {count} {seed} {scene.hand!r} {scene.thing!r} "
    return hashlib.sha256(text.encode() + model.tobytes()).hexdigest()


def cached_starts(
    scene: Scene, *, count: int = 64, seed: int = 0, folder: Path | None = None, remake: bool = False, threads: int = 1
) -> StableStarts:
    """The stable starts of ``scene``, read from ``folder`` (`cache_root` if None), or made and kept there.

    InputError where the cache that is there is broken or of something else, unless ``remake``. A folder that cannot be
    written to costs the making each time, and nothing else.
    """
    key = cache_key(scene, count, seed)
    where = (cache_root() if folder is None else folder) / f"{scene.hand.name}_{scene.thing.name}_{key[:12]}.npz"
    # The card is written last: states without it are of someone who is still writing them, or was stopped.
    if not remake and where.with_suffix(".json").exists():
        return _read(where, key, scene)
    starts = make_starts(scene, count, np.random.default_rng(seed), threads)
    with contextlib.suppress(OSError):
        _write(where, key, scene, starts, count, seed)
    return starts


def _write(where: Path, key: str, scene: Scene, starts: StableStarts, count: int, seed: int) -> None:
    """Both files, each under a temporary name first; the card, which vouches for the other, last."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: getattr(starts, name) for name in _ARRAYS})
    where.parent.mkdir(parents=True, exist_ok=True)
    partial = where.with_name(f".{where.name}.{os.getpid()}")
    try:
        partial.write_bytes(buffer.getvalue())
        partial.replace(where)
    finally:
        partial.unlink(missing_ok=True)
    numbers = (len(starts.settled), len(starts.grasps), int(starts.in_air.sum()))
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    card = StartCard(key, sha256, VERSION, scene.hand.name, scene.thing.name, scene.dt_s, count, seed, *numbers)
    write_text(where.with_suffix(".json"), json.dumps(asdict(card), indent=2) + "\n")


def _read(where: Path, key: str, scene: Scene) -> StableStarts:
    card = _card(where.with_suffix(".json"))
    if card.get("key") != key:
        raise InputError("the start cache is of something else", where=str(where), right=_REMAKE)
    if card.get("sha256") != file_sha256(where):
        raise InputError("the start cache does not match its card", where=str(where), right=_REMAKE)
    try:
        with np.load(where, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"the start cache is broken ({error})", where=str(where), right=_REMAKE) from error
    starts = StableStarts(**arrays)
    _check(starts, scene, where)
    return starts


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the start cache's card cannot be read ({error})", where=str(path), right=_REMAKE) from error
    if not isinstance(card, dict) or card.get("version") != VERSION:
        raise InputError("the start cache's card is of another version", where=str(path), right=_REMAKE)
    return card


def _check(starts: StableStarts, scene: Scene, where: Path) -> None:
    wanted: dict[str, tuple[Array, tuple[int, ...]]] = {
        "settled": (starts.settled, (len(starts.settled), scene.nstate)),
        "grasps": (starts.grasps, (len(starts.grasps), scene.nstate)),
        "targets": (starts.targets, (len(starts.grasps), scene.hand.dof)),
    }
    for name, (array, shape) in wanted.items():
        if array.shape != shape or not np.isfinite(array).all() or array.dtype != np.float64:
            raise InputError(f"the start cache's {name} are not finite states", where=str(where), right=_REMAKE)
    if len(starts.settled) == 0 or starts.in_air.shape != (len(starts.grasps),):
        raise InputError("the start cache lacks states", where=str(where), right=_REMAKE)
