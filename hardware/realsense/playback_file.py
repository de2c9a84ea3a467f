"""A recording is looked at before the library is: what is cut short is named, not guessed from the library's error."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from knuckle.core.errors import InputError, RecordingError

SQLITE = b"SQLite format 3\0"
ROSBAG = b"#ROSBAG V2.0\n"
SQLITE_HEADER = 100


def check_recording(path: Path) -> None:
    """InputError where there is no such file, RecordingError where it is no recording or is cut short."""
    if not path.is_file():
        raise InputError("no such file", where=str(path), right="a .db3 or .bag recorded by librealsense")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(SQLITE_HEADER)
    if head.startswith(SQLITE) and len(head) == SQLITE_HEADER:
        wanted = _database_size(head)
    elif head.startswith(ROSBAG):
        wanted = _bag_size(path, size)
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


def _bag_size(path: Path, size: int) -> int:
    """Bytes up to the end of a rosbag 1's index, as far as it can be followed; RecordingError where it has none.

    A record is a length and a header, a length and data; a header holds fields, each a length and ``name=value``. The
    first record says where the index begins, and how many connections and chunks it lists, a record each.
    """
    with path.open("rb") as file:
        file.seek(len(ROSBAG))
        fields = _fields(file.read(_length(file)))
        at = int.from_bytes(fields.get(b"index_pos", b""), "little")
        if at == 0:
            right = "end a recording before its process is killed; `rosbag reindex` may mend it"
            raise RecordingError("cut short: it has no index", where=str(path), right=right)
        records = sum(int.from_bytes(fields.get(name, b""), "little") for name in (b"conn_count", b"chunk_count"))
        for _ in range(2 * records):
            if at + 4 > size:
                return at + 4
            file.seek(at)
            at += 4 + _length(file)
    return at


def _length(file: BinaryIO) -> int:
    return int.from_bytes(file.read(4), "little")


def _fields(header: bytes) -> dict[bytes, bytes]:
    fields, at = {}, 0
    while at + 4 <= len(header):
        size = int.from_bytes(header[at : at + 4], "little")
        name, _, value = header[at + 4 : at + 4 + size].partition(b"=")
        fields[name] = value
        at += 4 + size
    return fields
