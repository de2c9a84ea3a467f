"""The stop latch: on disk before anything acts, cleared by rearm alone, and stopped whenever in doubt."""

from __future__ import annotations

import errno
import json
import os

import pytest

from knuckle.core.errors import RunError
from knuckle.hardware.safety.latch import StopLatch


def test_a_fresh_folder_is_not_stopped_and_left_clean(tmp_path):
    latch = StopLatch(tmp_path / "new" / "stop.json")
    assert latch.engaged() == ""
    assert os.listdir(tmp_path / "new") == []


def test_an_engaged_latch_is_found_by_the_next_process_and_names_the_source(tmp_path):
    path = tmp_path / "stop.json"
    StopLatch(path).engage("page", 42)
    assert StopLatch(path).engaged() == f"emergency stop by 'page', latched in {path}"
    assert json.loads(path.read_text()) == {"version": 1, "source": "page", "stamp_ns": 42}
    assert os.listdir(tmp_path) == ["stop.json"]


def test_clearing_removes_it_and_may_be_repeated(tmp_path):
    latch = StopLatch(tmp_path / "stop.json")
    latch.engage("page", 0)
    latch.clear()
    assert latch.engaged() == ""
    latch.clear()
    assert os.listdir(tmp_path) == []


def test_file_and_folder_are_synced_after_the_name_is_in_place(tmp_path, monkeypatch):
    path = tmp_path / "stop.json"
    seen = []
    real = os.fsync

    def spy(handle):
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file"
        seen.append((kind, path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", spy)
    StopLatch(path).engage("page", 0)
    assert seen == [("file", False), ("folder", True)]
    seen.clear()
    StopLatch(path).clear()
    assert seen[-1] == ("folder", False)


WHOLE = b'{"version": 1, "source": "page", "stamp_ns": 5}\n'


@pytest.mark.parametrize("length", range(len(WHOLE) - 2))
def test_a_latch_cut_short_anywhere_counts_as_stopped(tmp_path, length):
    path = tmp_path / "stop.json"
    path.write_bytes(WHOLE[:length])
    assert StopLatch(path).engaged() == f"stop latch {path} is damaged: counts as stopped"


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b"3",
        b'"stop"',
        b"{}",
        b'{"version": 1}',
        b'{"source": "page"}',
        b'{"version": 2, "source": "page"}',
        b'{"version": 1, "source": 7}',
        b"\xff\xfe\x00",
        b"[" * 4000,
        WHOLE + b"x" * 5000,
        b"x" * 100_000,
    ],
)
def test_a_damaged_latch_counts_as_stopped_until_cleared(tmp_path, content):
    path = tmp_path / "stop.json"
    path.write_bytes(content)
    latch = StopLatch(path)
    said = latch.engaged()
    assert said == f"stop latch {path} is damaged: counts as stopped"
    latch.clear()
    assert latch.engaged() == ""


@pytest.mark.timeout(10)
def test_a_pipe_or_a_folder_in_its_place_counts_as_stopped_without_waiting(tmp_path):
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    assert "is damaged" in StopLatch(pipe).engaged()
    assert "is damaged" in StopLatch(folder).engaged()
    with pytest.raises(RunError, match="cannot be removed") as caught:
        StopLatch(folder).clear()
    assert "remove it by hand" in str(caught.value)


def test_a_folder_that_cannot_be_written_counts_as_stopped(tmp_path):
    (tmp_path / "file").write_text("")
    latch = StopLatch(tmp_path / "file" / "stop.json")
    assert latch.engaged().endswith("counts as stopped")
    with pytest.raises(RunError, match="cannot be written"):
        latch.engage("page", 0)
    with pytest.raises(RunError, match="a writable folder"):
        latch.clear()


def _full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_counts_as_stopped_and_keeps_a_latch(tmp_path, monkeypatch):
    path = tmp_path / "stop.json"
    latch = StopLatch(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full_disk)
        assert "No space left" in latch.engaged()
        with pytest.raises(RunError, match="No space left"):
            latch.engage("page", 0)
    latch.engage("page", 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full_disk)
        with pytest.raises(RunError, match="No space left"):
            latch.clear()
    assert "emergency stop by 'page'" in latch.engaged()


def test_no_descriptor_is_left_open(tmp_path):
    latch = StopLatch(tmp_path / "stop.json")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        latch.engage("page", 0)
        assert latch.engaged()
        latch.clear()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("size", "said"), [(4096, "emergency stop by 'page'"), (4097, "is damaged")])
def test_no_more_than_its_first_4096_bytes_are_read_and_it_stops_all_the_same(tmp_path, size, said):
    path = tmp_path / "stop.json"
    text = '{"version": 1, "stamp_ns": 0, "source": "page"'
    path.write_text(text + " " * (size - len(text) - 1) + "}")
    assert said in StopLatch(path).engaged()
