"""Reads numeric arrays out of a MATLAB 5 file (``.mat``, "-v6" and "-v7"), and nothing else.

Every length in the file is checked against the file and against a limit before memory is taken, and no code, object
or struct in it is looked at. After "MAT-File Format" (The MathWorks), chapter 1: a header of 128 bytes, then elements
of a tag and data, each one array, most of them deflated.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import RecordingError

MAX_FILE_BYTES = 1 << 30
MAX_ARRAY_BYTES = 1 << 29
_RIGHT = "a whole MATLAB 5 file, as save -v7 or scipy.io.savemat writes it"
_COMPRESSED, _MATRIX = 15, 14
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single and the integers; 1 to 5 are cell, struct, object, char, sparse
_PEEK_BYTES = 1024  # enough for the flags, the dimensions and the name of an array


class _DamagedError(Exception):
    """What is wrong with the file, without its name."""


def read_arrays(path: Path, names: frozenset[str]) -> dict[str, NDArray[np.generic]]:
    """The arrays among ``names`` that the file holds, in the type they are stored as; all others are skipped.

    Raises RecordingError where the file is no MATLAB 5 file, is cut short, damaged, or too large.
    """
    where = str(path)
    try:
        if not path.is_file():
            raise RecordingError("there is no such file", where=where, right="the path of a recording")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RecordingError("the file is larger than 1 GiB", where=where, right=_RIGHT)
        return _read(path.read_bytes(), names)
    except OSError as error:
        raise RecordingError(f"the file cannot be read ({error.strerror})", where=where, right=_RIGHT) from error
    except _DamagedError as error:
        raise RecordingError(str(error), where=where, right=_RIGHT) from error


def _read(data: bytes, names: frozenset[str]) -> dict[str, NDArray[np.generic]]:
    order = _byte_order(data)
    found: dict[str, NDArray[np.generic]] = {}
    for kind, body in _elements(data, order):
        stream = _Body(body, kind == _COMPRESSED)
        if kind == _COMPRESSED:
            kind, size = struct.unpack(order + "II", stream.peek(8)[:8].ljust(8, b"\0"))
            stream.drop(8)
        else:
            size = len(body)
        if kind != _MATRIX:
            continue
        array = _Array(stream.peek(_PEEK_BYTES), order)
        if array.name in names:
            if array.name in found:
                raise _DamagedError(f"'{array.name}' is there twice")
            found[array.name] = array.read(stream, size)
    return found


def _byte_order(data: bytes) -> str:
    if data[:4] == b"\x89HDF" or b"MATLAB 7.3" in data[:16]:
        raise _DamagedError("a MATLAB 7.3 (HDF5) file is not read")
    if len(data) < 128 or data[:6] != b"MATLAB" or data[126:128] not in (b"IM", b"MI"):
        raise _DamagedError("not a MATLAB 5 file" if data else "the file is empty")
    return "<" if data[126:128] == b"IM" else ">"


def _elements(data: bytes, order: str) -> Iterator[tuple[int, memoryview]]:
    at, view = 128, memoryview(data)
    while at < len(data):
        if at + 8 > len(data):
            raise _DamagedError("the file is truncated")
        kind, size = struct.unpack_from(order + "II", data, at)
        if at + 8 + size > len(data):
            raise _DamagedError("the file is truncated")
        yield kind, view[at + 8 : at + 8 + size]
        at += 8 + size


class _Body:
    """The bytes of one element, inflated only as far as they are asked for."""

    def __init__(self, body: memoryview, compressed: bool) -> None:
        self._rest, self._inflater = body, zlib.decompressobj() if compressed else None
        self._head = b""

    def peek(self, size: int) -> bytes:
        """Up to ``size`` bytes from here, which stay to be read."""
        while self._inflater and len(self._head) < size and not self._inflater.eof:
            try:
                more = self._inflater.decompress(self._rest, size - len(self._head))
            except zlib.error as error:
                raise _DamagedError("the file is damaged: its compressed data does not inflate") from error
            self._rest = memoryview(self._inflater.unconsumed_tail)
            if not more and not len(self._rest):
                break
            self._head += more
        return self._head[:size] if self._inflater else bytes(self._rest[:size])

    def drop(self, size: int) -> None:
        """Go ``size`` bytes on."""
        if self._inflater:
            self._head = self._head[size:]
        else:
            self._rest = self._rest[size:]

    def end(self) -> None:
        """Nothing but padding may be left. Inflating to the end compares zlib's checksum with what was inflated: a
        damaged byte may well inflate, to other numbers."""
        if self._inflater and (len(self.peek(8)) == 8 or not self._inflater.eof):
            raise _DamagedError("the file is damaged: its compressed data does not end where it should")


class _Array:
    """The head of an array: its class, dimensions and name, and where its numbers begin."""

    def __init__(self, head: bytes, order: str) -> None:
        self._order = order
        at, flags, _ = self._part(head, 0)
        at, shape, kind = self._part(head, at)
        self._numbers_at, name, _ = self._part(head, at)
        if len(flags) < 8 or kind != 5 or not 8 <= len(shape) <= 128:
            raise _DamagedError("the file is damaged: the head of an array makes no sense")
        word = struct.unpack(order + "I", flags[:4])[0]
        self.numeric = word & 0xFF in _NUMERIC_CLASSES and not word & 0x800
        self.shape = struct.unpack(f"{order}{len(shape) // 4}i", shape[: len(shape) // 4 * 4])
        self.name = name.decode("ascii", "replace")

    def read(self, stream: _Body, size: int) -> NDArray[np.generic]:
        """The array itself, in its shape."""
        if not self.numeric:
            raise _DamagedError(f"'{self.name}' is not an array of real numbers")
        if size > MAX_ARRAY_BYTES:
            raise _DamagedError(f"'{self.name}' is larger than {MAX_ARRAY_BYTES >> 20} MiB")
        stream.drop(self._numbers_at)
        tag = stream.peek(8).ljust(8, b"\0")
        kind, length = struct.unpack(self._order + "II", tag)
        skip = 8
        if kind >> 16:  # a small element: length and type share a word, the data follows in the same eight bytes
            kind, length, skip = kind & 0xFFFF, kind >> 16, 4
        dtype = np.dtype(self._order + _NUMBERS.get(kind, "V1"))
        count = math.prod(self.shape)
        if kind not in _NUMBERS or min(self.shape) < 0 or count * dtype.itemsize != length or length > size:
            raise _DamagedError(f"the file is damaged: '{self.name}' does not hold what its shape {self.shape} says")
        data = stream.peek(skip + length)[skip:]
        if len(data) != length:
            raise _DamagedError(f"the file is truncated in '{self.name}'")
        stream.drop(skip + length)
        stream.end()
        return np.frombuffer(data, dtype).reshape(self.shape, order="F")

    def _part(self, head: bytes, at: int) -> tuple[int, bytes, int]:
        """The data and type of the part at ``at``, and where the next one begins."""
        if at + 8 > len(head):
            raise _DamagedError("the file is truncated")
        kind, size = struct.unpack_from(self._order + "II", head, at)
        if kind >> 16:
            return at + 8, head[at + 4 : at + 4 + min(kind >> 16, 4)], kind & 0xFFFF
        if at + 8 + size > len(head):
            raise _DamagedError("the file is damaged: the head of an array makes no sense")
        return at + 8 + (size + 7) // 8 * 8, head[at + 8 : at + 8 + size], kind
