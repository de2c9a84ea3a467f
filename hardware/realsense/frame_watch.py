"""Which frames of a camera may be believed. Pure: the time is an argument.

A picture of the world has noise in it, so no two are equal: one that equals the last carries no news, whatever its
stamp and its count say, and several in a row mean a frozen camera. After that as many different ones are wanted before
the camera is believed again.
"""

from __future__ import annotations

import zlib
from collections import Counter

import numpy as np

from knuckle.hardware.spec.contracts import DepthFrame, Intrinsics


class FrameWatch:
    """Judges the frames of one camera, over all its reopenings. Intrinsics and scale are those of the first frame."""

    def __init__(self, *, late_s: float, frozen_frames: int) -> None:
        self._late_ns = round(1e9 * late_s)
        self._frozen_frames = frozen_frames
        self._form: tuple[Intrinsics, float, str] | None = None
        self._digest: int | None = None
        self._counter: int | None = None
        self._repeats = 0
        self._to_prove = 0
        self.dropped: Counter[str] = Counter()
        self.last_problem = ""

    @property
    def frozen(self) -> bool:
        """Whether so many frames in a row brought nothing new that the camera should be opened anew."""
        return 0 < self._frozen_frames <= self._repeats

    def reopened(self) -> None:
        """The camera was opened anew: its count begins anew."""
        self._counter = None
        self._repeats = 0

    def accept(self, frame: DepthFrame, now_ns: int) -> bool:
        """Whether ``frame`` may be used at ``now_ns``; if not it is counted, and ``last_problem`` says why."""
        reason, problem = self._judge(frame, now_ns)
        if reason:
            self.dropped[reason] += 1
            self.last_problem = problem
        return not reason

    def _judge(self, frame: DepthFrame, now_ns: int) -> tuple[str, str]:
        form = (frame.intrinsics, frame.scale_m, frame.frame)
        shape = (frame.intrinsics.height, frame.intrinsics.width)
        if frame.depth.dtype != np.uint16 or frame.depth.shape != shape:
            return "format", f"depth is {frame.depth.dtype} {frame.depth.shape}; uint16 {shape}"
        if self._form is not None and form != self._form:
            return "format", f"it changed from {_named(self._form)} to {_named(form)}; restart what reads it"
        if not frame.depth.any():
            return "zero", "every pixel is zero; is the lens covered, or too near?"
        if stale := self._repeated(frame):
            return stale
        age_ns = now_ns - frame.stamp_ns
        if age_ns > self._late_ns:
            return "late", f"a frame is {age_ns * 1e-6:.0f} ms old; at most {self._late_ns * 1e-6:.0f}"
        self._form = form
        return "", ""

    def _repeated(self, frame: DepthFrame) -> tuple[str, str] | None:
        digest = zlib.crc32(np.ascontiguousarray(frame.depth).data)
        same = self._frozen_frames > 0 and digest == self._digest
        stands = self._counter is not None and frame.counter <= self._counter
        self._digest, self._counter = digest, frame.counter
        if same or stands:
            self._repeats += 1
            if self.frozen:
                self._to_prove = self._frozen_frames
            what = "the same image" if same else f"the same count ({frame.counter})"
            return "frozen", f"{what} {self._repeats + 1} times in a row"
        self._repeats = 0
        if self._to_prove > 0:
            self._to_prove -= 1
            return "frozen", f"it was frozen; {self._to_prove} more different images are wanted"
        return None


def _named(form: tuple[Intrinsics, float, str]) -> str:
    k, scale_m, frame = form
    lens = f"{k.width}x{k.height} fx {k.fx:.2f} fy {k.fy:.2f} cx {k.cx:.2f} cy {k.cy:.2f} {k.distortion}"
    return f"{lens} in {1e3 * scale_m:g} mm of {frame}"
