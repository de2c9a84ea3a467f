"""Pictures: a PNG from a frame, and frames side by side. Needs nothing but numpy."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError


def png(rgb: NDArray[np.uint8]) -> bytes:
    """``rgb`` (height, width, 3) uint8 as the bytes of a PNG file; InputError for another shape or type."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise InputError(f"a frame of shape {rgb.shape} {rgb.dtype}", where="png", right="(height, width, 3) uint8")
    height, width = rgb.shape[:2]
    # Each row is preceded by its filter: 2 stores the difference to the row above, which packs smooth areas best.
    rows = rgb.reshape(height, width * 3)
    above = np.vstack([np.zeros((1, width * 3), np.uint8), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), rows - above])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def tiled(frames: Sequence[NDArray[np.uint8]], columns: int, gap: int = 4) -> NDArray[np.uint8]:
    """Frames of one size (h, w, 3), row by row in ``columns`` columns, white between and where none is left."""
    height, width = frames[0].shape[:2]
    rows = -(-len(frames) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for k, frame in enumerate(frames):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        sheet[top : top + height, left : left + width] = frame
    return sheet


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
