"""A folder of strokes: written here, read by the sensors' room; ended and gone on with; refused in one line."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from knuckle.cli import main
from knuckle.core.errors import InputError, RunError
from knuckle.sensors.skin_recording import SkinStrokes
from knuckle.sim.skin import stroke_file, stroke_set
from knuckle.sim.skin.skin_stroke import MagneticSkin, SkinConfig, from_pairs
from knuckle.sim.skin.stroke_file import write_stroke
from knuckle.sim.skin.stroke_plan import StrokeConfig
from knuckle.sim.skin.stroke_set import StrokeSet

BRIEF = "stroke.shortest=1,stroke.longest=1.4"
CONFIG = SkinConfig(stroke=StrokeConfig(shortest=1.0, longest=1.4))


def test_what_the_simulation_writes_the_sensors_room_reads(tmp_path: Path) -> None:
    stroke = MagneticSkin(CONFIG, seed=3).stroke(5)
    strokes = StrokeSet(tmp_path, CONFIG, seed=3)
    assert write_stroke(strokes.file(5), stroke, seed=3, k=5) <= strokes.largest_bytes(1)
    folder = SkinStrokes(tmp_path)
    assert folder.there() == [5]
    assert (folder.rate_hz, folder.every, len(folder.channels)) == (50.0, 10, 15)
    read = folder.stroke(5)
    for name in ("signals", "velocity", "place", "force"):
        np.testing.assert_array_equal(getattr(read, name), getattr(stroke, name).astype(np.float32))
    assert read.facts["sheet"]["friction"] == stroke.sheet.friction
    assert (read.facts["seed"], read.facts["stroke"]) == (3, 5)


def test_the_command_makes_strokes_and_goes_on_where_some_are_there(tmp_path: Path, capsys) -> None:
    out, figures = tmp_path / "skin", tmp_path / "figures.json"
    words = ["data", "skin", "--out", str(out), "--seed", "3", "--jobs", "1", "--settings", BRIEF]
    StrokeSet(out, from_pairs({"stroke.shortest": "1", "stroke.longest": "1.4"}, where=""), seed=3)
    write_stroke(out / "strokes" / "000000.safetensors", MagneticSkin(CONFIG, seed=3).stroke(0), seed=3, k=0)
    first = (out / "strokes" / "000000.safetensors").read_bytes()
    (out / "strokes" / ".000001.safetensors.99").write_bytes(b"half")
    assert main([*words, "--strokes", "2", "--json", str(figures)]) == 0
    assert "1 strokes are there already" in capsys.readouterr().out
    told = json.loads(figures.read_text())["figures"]
    assert (told["strokes"], told["strokes_made"]) == (2.0, 1.0)
    assert (out / "strokes" / "000000.safetensors").read_bytes() == first
    assert sorted(path.name for path in (out / "strokes").iterdir()) == ["000000.safetensors", "000001.safetensors"]
    # A worker process draws the same bits as this one.
    here = MagneticSkin(CONFIG, seed=3).stroke(1).signals.astype(np.float32)
    np.testing.assert_array_equal(SkinStrokes(out).stroke(1).signals, here)


def test_a_killed_run_leaves_whole_strokes_and_no_process(tmp_path: Path) -> None:
    out = tmp_path / "skin"
    words = ["data", "skin", "--out", str(out), "--strokes", "100000", "--jobs", "2", "--settings", BRIEF]
    run = subprocess.Popen(
        [sys.executable, "-m", "knuckle", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        patience = time.monotonic() + 100.0
        while len(list((out / "strokes").glob("[0-9]*.safetensors"))) < 3:
            assert run.poll() is None and time.monotonic() < patience
            time.sleep(0.05)
        workers = psutil.Process(run.pid).children(recursive=True)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    _, alive = psutil.wait_procs(workers, timeout=60.0)
    assert not alive
    folder = SkinStrokes(out)
    assert len(folder.there()) >= 3
    for k in folder.there():
        assert np.isfinite(folder.stroke(k).signals).all()


def test_other_strokes_are_not_mixed_in(tmp_path: Path) -> None:
    StrokeSet(tmp_path, CONFIG, seed=3)
    StrokeSet(tmp_path, CONFIG, seed=3)
    with pytest.raises(InputError, match="seed 3, not 4"):
        StrokeSet(tmp_path, CONFIG, seed=4)
    other = from_pairs({"magnetometers.noise": "3"}, where="--settings")
    with pytest.raises(InputError, match=r"differ in stroke\.shortest, stroke\.longest, magnetometers\.noise"):
        StrokeSet(tmp_path, other, seed=3)
    for broken in ("[1]", "{", "\x00"):
        (tmp_path / "skin.json").write_text(broken)
        with pytest.raises(InputError, match=r"skin\.json: what is there"):
            StrokeSet(tmp_path, CONFIG, seed=3)


def test_two_runs_do_not_work_in_one_folder(tmp_path: Path) -> None:
    strokes = StrokeSet(tmp_path, CONFIG, seed=3)
    with strokes._alone(), pytest.raises(InputError, match="another run"):
        StrokeSet(tmp_path, CONFIG, seed=3).make(1, jobs=1)


def test_a_full_disk_ends_in_one_line_and_leaves_nothing_half(tmp_path: Path, monkeypatch) -> None:
    strokes = StrokeSet(tmp_path, CONFIG, seed=3)
    stroke = MagneticSkin(CONFIG, seed=3).stroke(0)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stroke_file.os, "fsync", full)
    with pytest.raises(RunError, match="cannot be written") as caught:
        write_stroke(strokes.file(0), stroke, seed=3, k=0)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "strokes").iterdir()) == []


def test_a_disk_without_room_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr(stroke_set.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="take up to .* MB, and 10 MB are free"):
        StrokeSet(tmp_path, CONFIG, seed=3).make(100_000, jobs=1)
    assert list((tmp_path / "strokes").iterdir()) == []


def test_the_command_refuses_what_it_cannot_use(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    for words, said in (
        (["--settings", "layer.sigma=1"], "0.0005 to 0.02 m"),
        (["--settings", "layer.stigma=1"], "did you mean 'layer.sigma'"),
        (["--strokes", "0"], "out of range"),
        (["--out", str(tmp_path / "file" / "skin")], "cannot be written"),
    ):
        assert main(["data", "skin", "--out", str(tmp_path / "skin"), *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "skin").exists()
