"""Roboflow's ``trackers`` timed by its own Python, where it is installed: nothing here imports knuckle.

``python bench_rival.py FILE`` reads detections from FILE (frame, corners, scores as npz) and then names from its input,
``sort``, ``bytetrack`` or ``ocsort``, one a line; for each it follows all frames with a new tracker at its defaults and
prints the CPU seconds that its ``update`` took and the mean number of tracks.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

import numpy as np

CLASSES = {"sort": "SORTTracker", "bytetrack": "ByteTrackTracker", "ocsort": "OCSORTTracker"}


def main(path: str) -> None:
    """Serve the names that come in until the input ends."""
    trackers: Any = importlib.import_module("trackers")
    supervision: Any = importlib.import_module("supervision")
    with np.load(path) as data:
        frame, corners, scores = data["frame"], data["corners"], data["scores"]
        rate = float(data["rate_hz"])
    rows = [np.flatnonzero(frame == k) for k in range(int(frame.max()) + 1)]
    seen = [
        supervision.Detections(xyxy=corners[r].astype(np.float32), confidence=scores[r].astype(np.float32))
        for r in rows
    ]
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        tracker = getattr(trackers, CLASSES[line.strip()])(frame_rate=rate)
        begun, told = time.process_time(), 0
        for detections in seen:
            told += int((tracker.update(detections).tracker_id >= 0).sum())
        spent = time.process_time() - begun
        print(json.dumps({"cpu_s": spent, "tracks": told / len(seen)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
