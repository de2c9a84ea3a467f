"""Strokes of a skin as they are read: whole ones, and every kind of broken one; and the linear rival on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from knuckle.core.errors import InputError, RecordingError
from knuckle.sensors.skin_recording import SkinStrokes
from knuckle.sensors.window_ridge import fit_ridge

CARD = {
    "format": "knuckle skin",
    "version": 1,
    "rate_hz": 50,
    "samples_per_target": 10,
    "channels": [f"b{axis}{k}" for k in range(5) for axis in "xyz"],
}
FACTS = {"format": "knuckle skin stroke", "version": 1, "seed": 1, "stroke": 0}


@pytest.fixture
def write_skin(tmp_path: Path) -> Callable[..., SkinStrokes]:
    """Writes strokes 0 to 11 of random numbers; keyword arguments replace arrays or ``facts`` of stroke 0."""

    def write(facts: dict | None = FACTS, **changes: np.ndarray) -> SkinStrokes:
        rng = np.random.default_rng(0)
        (tmp_path / "strokes").mkdir(exist_ok=True)
        (tmp_path / "skin.json").write_text(json.dumps(CARD))
        for k in range(12):
            arrays = {
                name: rng.standard_normal(shape).astype(np.float32)
                for name, shape in (("signals", (40, 15)), ("velocity", (4, 2)), ("place", (40, 2)), ("force", (40, 3)))
            }
            if k == 0:
                arrays |= changes
                arrays = {name: value for name, value in arrays.items() if value is not None}
            metadata = None if facts is None else {"facts": json.dumps(facts)}
            save_file(arrays, tmp_path / "strokes" / f"{k:06d}.safetensors", metadata=metadata)
        return SkinStrokes(tmp_path)

    return write


def test_a_stroke_comes_back_as_it_was_written(write_skin) -> None:
    signals = np.arange(600, dtype=np.float32).reshape(40, 15)
    strokes = write_skin(signals=signals)
    stroke = strokes.stroke(0)
    np.testing.assert_array_equal(stroke.signals, signals)
    assert (len(stroke), stroke.rate_hz, stroke.every, stroke.signals.dtype) == (40, 50.0, 10, np.float64)


def test_the_parts_share_no_stroke_and_leave_none_out(write_skin) -> None:
    strokes = write_skin()
    parts = {part: strokes.split(part) for part in ("train", "validation", "test")}
    assert parts == {"train": [*range(8), 10, 11], "validation": [8], "test": [9]}
    with pytest.raises(RecordingError, match="no part 'tests'"):
        strokes.split("tests")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signals": np.zeros((39, 15), np.float32)}, "'signals' is float32 of (39, 15)"),
        ({"signals": np.zeros((40, 14), np.float32)}, "(40, 15)"),
        ({"velocity": np.zeros((0, 2), np.float32)}, "is float32"),
        ({"velocity": np.zeros(4, np.float32)}, "'velocity'"),
        ({"force": np.zeros((40, 3), np.int32)}, "'force' is int32"),
        ({"force": np.full((40, 3), np.nan, np.float32)}, "'force' is not finite at row 0"),
        ({"place": None}, "cannot be read"),
        ({"facts": None}, "cannot be read"),
        ({"facts": {"format": "knuckle skin stroke", "version": 2}}, "another format"),
        ({"facts": [1]}, "another format"),
    ],
)
def test_a_stroke_that_does_not_fit_is_refused_by_name(write_skin, changes, said) -> None:
    strokes = write_skin(**changes)
    with pytest.raises(RecordingError) as caught:
        strokes.stroke(0)
    assert said in str(caught.value)
    assert "000000.safetensors" in str(caught.value)


def test_a_truncated_or_foreign_file_is_refused_and_the_others_are_read(write_skin, tmp_path: Path) -> None:
    strokes = write_skin()
    whole = (tmp_path / "strokes" / "000001.safetensors").read_bytes()
    for content in (b"", whole[:-1], whole[:7], b"\x80\x04pickle", b"\xff" * 64):
        (tmp_path / "strokes" / "000001.safetensors").write_bytes(content)
        with pytest.raises(RecordingError, match="cannot be read"):
            strokes.stroke(1)
    with pytest.raises(RecordingError, match="cannot be read"):
        strokes.stroke(99)
    assert len(strokes.stroke(2)) == 40


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no strokes of a skin here"):
        SkinStrokes(tmp_path)
    for wrong in ([1], {**CARD, "version": 2}, {**CARD, "channels": []}, {**CARD, "samples_per_target": True}):
        (tmp_path / "skin.json").write_text(json.dumps(wrong))
        with pytest.raises(RecordingError, match=r"skin\.json"):
            SkinStrokes(tmp_path)


def test_the_linear_rival_finds_a_filter_of_its_window_and_no_longer_one() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(8):
        x = rng.standard_normal((400, 3)) * [1.0, 100.0, 0.01] + [0.0, 5.0, -1.0]
        late = np.concatenate([np.tile(x[:1], (24, 1)), x])
        pairs.append((x, (0.5 * late[24:, :2] - 0.2 * late[:-24, 1:])[9::10] + 3.0))
    fitted = fit_ridge(pairs[:6], window=25, every=10, strength=1e-9)
    for x, y in pairs[6:]:
        np.testing.assert_allclose(fitted(x), y, atol=1e-4)
    short = fit_ridge(pairs[:6], window=10, every=10, strength=1e-9)
    assert np.mean((short(pairs[7][0]) - pairs[7][1])[:, 0] ** 2) > 100.0


def test_the_linear_rival_is_causal_and_refuses_pairs_that_do_not_fit() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 2)), rng.standard_normal((20, 1))
    fitted = fit_ridge([(x, y)], window=30, every=10)
    changed = x.copy()
    changed[100:] += 10.0
    np.testing.assert_array_equal(fitted(changed)[:10], fitted(x)[:10])
    assert (fitted(changed)[10:] != fitted(x)[10:]).all()
    with pytest.raises(InputError, match="199 samples do not fit 20 targets"):
        fit_ridge([(x[:-1], y)], window=30, every=10)
    with pytest.raises(InputError, match="no recording"):
        fit_ridge([], window=30, every=10)
