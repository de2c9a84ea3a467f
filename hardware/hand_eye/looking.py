"""The newest colour image of a RealSense, looked at for the marker without making the hand wait."""

from __future__ import annotations

import threading

from knuckle.core.errors import DeviceError
from knuckle.hardware.hand_eye.marker import MarkerConfig, MarkerFinder
from knuckle.hardware.realsense.driver import RealSenseCamera
from knuckle.hardware.spec.contracts import ColourImage
from knuckle.hardware.spec.hand_spec import Array

TURN_S = 0.2


class MarkerWatch:
    """Reads ``camera`` and finds the marker in a thread of its own; ``look`` gives what was found in a new image."""

    def __init__(self, camera: RealSenseCamera, marker: MarkerConfig) -> None:
        self._camera, self._finder = camera, MarkerFinder(marker)
        self._lock = threading.Condition()
        self._found: Array | None = None
        self.image: ColourImage | None = None
        self.images = 0
        self._failure: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="marker-watch")
        self._thread.start()

    def look(self) -> Array | None:
        """The corners (4, 2) in an image that was not asked about yet; None where there is none, or no marker in it."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            found, self._found = self._found, None
            return found

    def wait_for_image(self, after: int, longest_s: float) -> bool:
        """Wait until more than ``after`` images were looked at; False where none came within ``longest_s``."""
        with self._lock:
            return self._lock.wait_for(lambda: self.images > after or self._failure is not None, longest_s)

    def close(self) -> None:
        """End the thread. The camera stays open."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    image = self._camera.read(TURN_S).colour
                except DeviceError:
                    # The driver opens it anew; meanwhile nothing is seen.
                    image = None
                if image is not None:
                    found = self._finder.find(image.pixels)
                    with self._lock:
                        self.image, self._found = image, found
                        self.images += 1
                        self._lock.notify_all()
        except Exception as error:
            with self._lock:
                self._failure = error
                self._lock.notify_all()
