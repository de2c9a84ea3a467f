"""A stroke as a file: safetensors in float32 with its facts as JSON in the header, whole or not there.

signals   (10 K, 15) uT    what the channels read, at 50 Hz, sample i at (i + 1) / 50 s
velocity  (K, 2) m/s       the target: how far the tip went from sample 10 k - 1 to 10 k + 9, by 0.2 s
place     (10 K, 2) m      where the tip was, at each sample
force     (10 K, 3) N      of the sheet on the tip, at each sample

`knuckle.sensors.skin_recording` reads it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from knuckle.core.errors import RunError
from knuckle.sim.skin.skin_stroke import SkinStroke

FORMAT, VERSION = "knuckle skin stroke", 1
ARRAYS = ("signals", "velocity", "place", "force")
BYTES_PER_CHUNK = 4 * (10 * (15 + 2 + 3) + 2)


def write_stroke(path: Path, stroke: SkinStroke, *, seed: int, k: int) -> int:
    """Write ``stroke`` under a temporary name, then rename; its size in bytes. RunError where it cannot be written."""
    arrays = {name: np.ascontiguousarray(getattr(stroke, name), dtype=np.float32) for name in ARRAYS}
    facts = {"format": FORMAT, "version": VERSION, "seed": seed, "stroke": k, "sheet": asdict(stroke.sheet)}
    content = save(arrays, metadata={"facts": json.dumps(facts)})
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        right = "room on the disk; the strokes written before are whole, and the same command goes on after them"
        raise RunError(f"the stroke cannot be written ({error.strerror})", where=str(path), right=right) from error
    finally:
        partial.unlink(missing_ok=True)
    return len(content)
