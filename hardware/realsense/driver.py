"""The RealSense camera as the rest of the house sees it: a DepthCamera that outlives its library and its cable."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from knuckle.core.errors import DeviceError, KnuckleError
from knuckle.hardware.realsense.camera_child import CameraChild
from knuckle.hardware.realsense.frame_watch import FrameWatch
from knuckle.hardware.realsense.settings import CameraSettings, checked
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.virtual.camera import VirtualCamera

TURN_S = 0.1
LONGEST_BACK_OFF_S = 8.0
KEPT = 2


@dataclass(frozen=True)
class CameraStatus:
    """How the camera is: ``state`` is opening, streaming, waiting (to be opened anew), ended or closed.

    ``problem`` is what keeps it from streaming, or the last reason for a drop; ``dropped`` counts frames by reason
    (format, zero, frozen, late, lost, unpaired, unread); ``openings`` and ``kills`` count the library's lives.
    """

    state: str
    name: str
    serial: str
    problem: str
    pid: int
    frames: int
    openings: int
    kills: int
    dropped: Mapping[str, int]


class RealSenseCamera:
    """A DepthCamera through librealsense, in a process that is watched, killed and started again with back-off.

    ``virtual`` stands in for the camera. ``now_ns`` is the clock of the stamps: the machine's own, or the world's where
    a simulated one is shown. Raises what the first opening fails of; later failures are waited out and shown by
    ``status``. Frames that cannot be believed (`frame_watch`) are dropped and counted.
    """

    def __init__(
        self,
        settings: CameraSettings,
        *,
        virtual: VirtualCamera | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.settings = checked(settings)
        self._virtual, self._now_ns = virtual, now_ns
        self._watch = FrameWatch(late_s=settings.late_frame_s, frozen_frames=settings.frozen_frames)
        self._changed = threading.Condition()
        self._frames: deque[DepthFrame] = deque()
        self._state, self._problem, self._name, self._serial = "opening", "", "", ""
        self._pid = self._received = self._openings = self._kills = self._lost = self._unpaired = self._unread = 0
        self._good = False
        self._refusal: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera-driver")
        self._thread.start()
        self._await_opening()

    def read(self, timeout_s: float) -> DepthFrame:
        """The next frame that nobody has read, within ``timeout_s``; DeviceError, with the reason, where none comes."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._frames) or self._over, timeout_s) or not self._frames:
                what = self._problem or f"no frame within {timeout_s:g} s"
                raise DeviceError(f"{self._state}: {what}", where="camera", right="frames")
            return self._frames.popleft()

    def status(self) -> CameraStatus:
        """How it is now."""
        with self._changed:
            counts = {"lost": self._lost, "unpaired": self._unpaired, "unread": self._unread}
            return CameraStatus(
                state=self._state,
                name=self._name,
                serial=self._serial,
                problem=self._problem,
                pid=self._pid,
                frames=self._received,
                openings=self._openings,
                kills=self._kills,
                dropped={**self._watch.dropped, **{key: n for key, n in counts.items() if n}},
            )

    def close(self) -> None:
        """End the process and the thread."""
        self._stopping.set()
        self._thread.join()
        if self._virtual is not None:
            self._virtual.close()

    @property
    def _over(self) -> bool:
        return self._state in ("ended", "closed")

    def _await_opening(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._refusal is not None or self._state != "opening")
        if self._refusal is not None:
            self.close()
            raise self._refusal

    def _run(self) -> None:
        back_off_s = self.settings.back_off_s
        try:
            while not self._stopping.is_set():
                self._good = False
                self._live()
                if self._over or self._refusal is not None:
                    return
                back_off_s = self.settings.back_off_s if self._good else min(2.0 * back_off_s, LONGEST_BACK_OFF_S)
                self._stopping.wait(back_off_s)
        except Exception as error:
            self._say(refusal=error)
        finally:
            if not self._over:
                self._say("closed", self._problem)

    def _live(self) -> None:
        """One life of the process; what ended it becomes the problem, or the refusal where it was the first."""
        child = None
        try:
            child = CameraChild(self.settings, self._virtual)
            self._pid = child.pid
            self._watch.reopened()
            while not self._stopping.is_set():
                frame = child.next(TURN_S)
                if child.opened and self._state != "streaming":
                    self._openings += 1
                    self._say("streaming", "", name=child.name, serial=child.serial)
                if frame is not None:
                    self._take(frame)
                if self._watch.frozen:
                    raise DeviceError(f"frozen: {self._watch.last_problem}", where="camera", right="it is opened anew")
        except EOFError:
            self._say("ended", "the recording has ended")
        except KnuckleError as error:
            first = self._openings == 0
            self._say("waiting", str(error), refusal=error if first else None)
        finally:
            if child is not None:
                self._bury(child)

    def _bury(self, child: CameraChild) -> None:
        code = child.end()
        with self._changed:
            self._pid = 0
            self._kills += code < 0
            self._lost += child.lost
            self._unpaired += child.unpaired

    def _take(self, frame: DepthFrame) -> None:
        fit = self._watch.accept(frame, self._now_ns())
        with self._changed:
            self._received += 1
            if not fit:
                self._problem = self._watch.last_problem
                return
            self._good, self._problem = True, ""
            if len(self._frames) >= KEPT:
                self._frames.popleft()
                self._unread += 1
            self._frames.append(frame)
            self._changed.notify_all()

    def _say(
        self,
        state: str = "",
        problem: str = "",
        *,
        name: str = "",
        serial: str = "",
        refusal: Exception | None = None,
    ) -> None:
        with self._changed:
            self._state = state or self._state
            self._problem = problem
            self._name, self._serial = name or self._name, serial or self._serial
            self._refusal = self._refusal or refusal
            self._changed.notify_all()
