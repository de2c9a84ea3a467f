"""A recording is looked at before the library is: what is cut short is named, not guessed from the library's error."""

from __future__ import annotations

import struct
from pathlib import Path

from knuckle.core.errors import InputError, RecordingError

SQLITE = b"SQLite format 3\0"
ROSBAG = b"#ROSBAG V2.0\n"
LARGEST_HEADER = 4096


def check_recording(path: Path) -> None:
    """InputError where there is no such file, RecordingError where it is no recording or is cut short."""
    if not path.is_file():
        raise InputError("no such file", where=str(path), right="a .db3 or .bag recorded by librealsense")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(LARGEST_HEADER)
    if head.startswith(SQLITE) and len(head) >= 100:
        wanted = _database_size(head)
    elif head.startswith(ROSBAG):
        wanted = _index_position(head, path)
    else:
        right = "a .db3 or .bag recorded by librealsense"
        raise RecordingError(
            f"not a recording ({size} bytes that begin with {head[:8]!r})", where=str(path), right=right
        )
    if size < wanted:
        right = "copy it again, or record it anew"
        raise RecordingError(f"cut short: {size} of at least {wanted} bytes", where=str(path), right=right)


def _database_size(head: bytes) -> int:
    """Bytes of the whole file as SQLite's header says: page size at 16 (1 means 65536), pages at 28, big-endian."""
    page, pages = struct.unpack(">H", head[16:18])[0], struct.unpack(">I", head[28:32])[0]
    return (65536 if page == 1 else int(page)) * int(pages)


def _index_position(head: bytes, path: Path) -> int:
    """Where the index of a rosbag 1 begins: without it the file was not closed, and the library reads nothing.

    After the magic comes one record: length of its header, then fields, each a length and ``name=value``.
    """
    at = len(ROSBAG)
    length = struct.unpack("<I", head[at : at + 4])[0] if len(head) >= at + 4 else 0
    fields, at, end = {}, at + 4, at + 4 + length
    while at + 4 <= end <= len(head):
        size = struct.unpack("<I", head[at : at + 4])[0]
        name, _, value = head[at + 4 : at + 4 + size].partition(b"=")
        fields[name] = value
        at += 4 + size
    position = struct.unpack("<Q", fields[b"index_pos"])[0] if len(fields.get(b"index_pos", b"")) == 8 else 0
    if position == 0:
        right = "end a recording before its process is killed; `rosbag reindex` may mend it"
        raise RecordingError("cut short: it has no index", where=str(path), right=right)
    return int(position) + 1
