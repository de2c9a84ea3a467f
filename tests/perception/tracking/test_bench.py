"""The bench: every model is timed on the same crowd, and a rival that is not there is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from knuckle.cli import main
from knuckle.perception.tracking.bench_command import bench_tracker, crowd

SHORT = ["--frames", "12", "--repeats", "2", "--models", "sort+ridge-link"]

RIVAL = """
import json, sys
import numpy as np
rows = np.load(sys.argv[2])
assert rows["corners"].shape == (len(rows["frame"]), 4)
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    print(json.dumps({"cpu_s": 0.012, "tracks": 20.0}), flush=True)
"""


def test_a_crowd_has_as_many_boxes_in_every_frame_and_all_in_the_image() -> None:
    film = crowd(20, 50, 3)
    assert (film.starts[1:] - film.starts[:-1] == 20).all()
    assert (film.boxes[:, :2] > 0).all() and (film.boxes[:, 0] < 1280).all() and (film.boxes[:, 1] < 720).all()


def test_every_model_and_the_rival_have_a_time_for_each_frame(tmp_path: Path) -> None:
    rival = tmp_path / "python"
    # Stands for the Python of another environment: it gets the script and the detections, and answers as ours does.
    (tmp_path / "rival.py").write_text(RIVAL)
    rival.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "rival.py"} "$@"\n')
    rival.chmod(0o755)
    assert bench_tracker([*SHORT, "--rival", str(rival), "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["figures"]["cpu_rival_sort_ms"] == pytest.approx(1.0)
    for name in ("sort", "ridge_link"):
        low, high = figures["intervals"][f"cpu_{name}_ms"]
        assert 0.0 < low <= figures["figures"][f"cpu_{name}_ms"] <= high


@pytest.mark.parametrize("python", ["/nowhere/python", sys.executable])
def test_a_rival_that_is_not_installed_is_named_in_one_line(python: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "tracker", *SHORT, "--rival", python]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and ("cannot be run" in error or "'trackers'" in error)
