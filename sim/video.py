"""MP4 files from frames: H.264 where the codec is there, else MPEG-4, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, RunError

CODECS = ("libx264", "h264", "mpeg4")


class VideoWriter:
    """``with VideoWriter(path, rate_hz) as video: video.add(rgb)``; the file appears when the block ends well.

    All frames have the size of the first: (height, width, 3) uint8. An odd row or column is cut: players want even
    sides.
    InputError where PyAV is not installed or a frame does not fit, RunError where the file cannot be written.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        if not 0.0 < rate_hz <= 240.0:
            raise InputError(f"a frame rate of {rate_hz:g}", where="video", right="above 0, at most 240 Hz")
        self.path = Path(path)
        self._rate = Fraction(rate_hz).limit_denominator(1000)
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.mp4")
        self._container: Any = None
        self._stream: Any = None
        self.frames = 0

    def __enter__(self) -> VideoWriter:
        with self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._container is not None:
                with self._writing():
                    self._finish()
                    if kind is None:
                        self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)
        if kind is None and self.frames == 0:
            raise RunError("no frame was added", where=str(self.path), right="at least one frame")

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Append one frame."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise InputError(
                f"a frame of shape {rgb.shape} {rgb.dtype}", where="video", right="(height, width, 3) uint8"
            )
        height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
        if self._stream is None:
            self._open(width, height)
        elif (self._stream.width, self._stream.height) != (width, height):
            right = f"{self._stream.width} x {self._stream.height} as the first"
            raise InputError(f"a frame of {width} x {height}", where="video", right=right)
        av = _pyav()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
        frame.pts = self.frames
        with self._writing():
            self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def _open(self, width: int, height: int) -> None:
        av = _pyav()
        codec = next((name for name in CODECS if _can_encode(av, name)), None)
        if codec is None:
            raise RunError("PyAV has no H.264 or MPEG-4 encoder", where="video", right="pip install av")
        with self._writing():
            self._container = av.open(str(self._partial), "w", options={"movflags": "faststart"})
        self._stream = self._container.add_stream(codec, rate=self._rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.thread_count = 1
        if codec == "libx264":
            self._stream.options = {"crf": "21", "preset": "veryfast"}

    def _finish(self) -> None:
        container, self._container = self._container, None
        container.mux(self._stream.encode(None))
        container.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A folder or a disk that refuses, said in one line; PyAV's errors of files are OSErrors too."""
        try:
            yield
        except OSError as error:
            what = f"the video cannot be written ({error.strerror})"
            raise RunError(what, where=str(self.path), right="a file in a folder of yours") from error


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError(f"video needs PyAV ({error})", where="video", right="pip install 'knuckle[view]'") from error
    return av


def _can_encode(av: Any, name: str) -> bool:
    try:
        return bool(av.codec.Codec(name, "w").is_encoder)
    except av.codec.codec.UnknownCodecError:
        return False
