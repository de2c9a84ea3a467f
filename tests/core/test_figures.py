"""Figures: the file of `--json` and the interval beside a rate."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from knuckle.core import figures
from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import Figures, require_writable, wilson


def test_the_file_holds_the_keys_of_the_design(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    Figures(["eval"], {"a": 1}, 3, 20, {"success_0p4": 0.5}, {"success_0p4": (0.3, 0.7)}).write(path)
    read = json.loads(path.read_text())
    assert list(read) == ["command", "config", "seed", "n", "figures", "intervals", "machine"]
    assert (read["seed"], read["n"], read["figures"]) == (3, 20, {"success_0p4": 0.5})
    assert read["intervals"] == {"success_0p4": [0.3, 0.7]}
    assert read["machine"]["cores"] == os.cpu_count()


@given(st.integers(0, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case: tuple[int, int]) -> None:
    k, n = case
    low, high = wilson(k, n)
    assert 0.0 <= low <= high <= 1.0
    if n:
        oracle = binomtest(k, n).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=1e-7)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    figures.write_text(path, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        figures.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_one_line_before_a_run_and_after_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for path in (tmp_path, tmp_path / "file" / "a.json", Path("/proc/a.json")):  # the last refuses even root
        with pytest.raises(InputError, match="the figures cannot be written there") as early:
            require_writable(path)
        with pytest.raises(RunError, match="the figures cannot be written") as late:
            Figures(["eval"], {}, 0, 1, {}).write(path)
        assert str(early.value).startswith(f"{path}: ") and str(late.value).startswith(f"{path}: ")
    require_writable(tmp_path / "new" / "a.json")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]
