"""The stable starts of the CPU's cache as one file, for a machine that cannot make them: run it where MuJoCo is.

    .venv/bin/python benchmarks/gpu/pack_starts.py --out .gpu/starts.npz [--hand dclaw3] [--objects train] [--count 64]

What is missing in the cache is made, which takes seconds an object. States are those of the training physics.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np

from knuckle.core.errors import KnuckleError
from knuckle.hardware.spec.hands import hand_spec
from knuckle.sim.objects import object_names
from knuckle.sim.reorient.start_cache import cached_starts
from knuckle.sim.scene import planner_scene


def pack(hand_name: str, objects: tuple[str, ...], count: int, cache: Path | None) -> dict[str, np.ndarray]:
    """``settled``, ``grasps`` and those ``held`` without the table (objects, count, nstate); of the latter two
    ``grasp_count`` and ``held_count`` (objects,), the rest zeros."""
    hand = hand_spec(hand_name, where="--hand")
    starts = [cached_starts(planner_scene(hand, name), count=count, folder=cache) for name in objects]
    width = starts[0].settled.shape[1]
    grasps, held = np.zeros((2, len(objects), count, width))
    for k, of_one in enumerate(starts):
        grasps[k, : len(of_one.grasps)] = of_one.grasps
        held[k, : of_one.in_air.sum()] = of_one.grasps[of_one.in_air]
    return {
        "hand": np.array(hand_name),
        "objects": np.array(objects),
        "settled": np.stack([of_one.settled for of_one in starts]).astype(np.float32),
        "grasps": grasps.astype(np.float32),
        "grasp_count": np.array([len(of_one.grasps) for of_one in starts], dtype=np.int32),
        "held": held.astype(np.float32),
        "held_count": np.array([of_one.in_air.sum() for of_one in starts], dtype=np.int32),
    }


def main() -> int:
    """Write the file; 2 for bad input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hand", default="dclaw3")
    parser.add_argument("--objects", default="train")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    try:
        names = object_names(given.objects, where="--objects")
        packed = pack(given.hand, names, given.count, given.cache)
    except KnuckleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **packed)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    partial = given.out.with_name(f".{given.out.name}")
    partial.write_bytes(buffer.getvalue())
    partial.replace(given.out)
    grasped, held = (int((packed[name] > 0).sum()) for name in ("grasp_count", "held_count"))
    print(f"{given.out}: {len(names)} objects, {given.count} poses each, grasps of {grasped}, in the air of {held}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
