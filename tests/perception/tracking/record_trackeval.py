"""Records what trackeval 1.3.0 (MIT) says of the jumbles, as known answers: trackeval_answers.json.

Run where trackeval is installed, which is no dependency of the project: PYTHONPATH=src:. python THIS_FILE
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trackeval.metrics import CLEAR, HOTA, Identity

from knuckle.perception.tracking.matches import compare
from tests.perception.tracking.films import jumble

SEEDS = range(6)


def answers(seed: int) -> dict[str, Any]:
    """The scores of one jumble."""
    film = compare(*jumble(seed))
    data = {
        "num_timesteps": len(film.truth),
        "num_gt_ids": film.truth_tracks,
        "num_tracker_ids": film.told_tracks,
        "num_gt_dets": film.truth_boxes,
        "num_tracker_dets": film.told_boxes,
        "gt_ids": film.truth,
        "tracker_ids": film.told,
        "similarity_scores": film.overlaps,
    }
    hota = HOTA().eval_sequence(data)
    clear = CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    idf1 = Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    return {
        "hota": float(hota["HOTA"].mean()),
        "deta": float(hota["DetA"].mean()),
        "assa": float(hota["AssA"].mean()),
        "mota": float(clear["MOTA"]),
        "idsw": float(clear["IDSW"]),
        "idf1": float(idf1["IDF1"]),
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("trackeval_answers.json")
    path.write_text(json.dumps([answers(seed) for seed in SEEDS], indent=1) + "\n", encoding="utf-8")
