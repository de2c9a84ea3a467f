"""Every setting of the RealSense driver, with its range."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting, validate
from knuckle.core.errors import ConfigError

MODES: dict[str, tuple[int, ...]] = {
    "1280x720": (6, 15, 30),
    "848x480": (6, 15, 30, 60, 90),
    "640x480": (6, 15, 30, 60, 90),
    "640x360": (6, 15, 30, 60, 90),
    "480x270": (6, 15, 30, 60, 90),
    "424x240": (6, 15, 30, 60, 90),
}
"""Depth modes that D415 and D435 share on USB 3, as the cameras list them, and their frames a second."""

COLOUR_MODES = ("1280x720", "960x540", "848x480", "640x480", "640x360", "424x240")
MODELS = ("any", "d415", "d435")
ALIGNMENTS = ("none", "depth to colour", "colour to depth")


@dataclass(frozen=True)
class CameraSettings:
    """Which camera, what it streams, and what is done to its images.

    The default is Visual Dexterity's 320x180 for either model: neither has such a mode, so it is 640x360 decimated by
    two. ``stream_mode="640x480", decimation=1`` is the other preset that is tried.
    """

    camera_model: str = setting("any", "camera that must be there", choices=MODELS)
    serial: str = setting("", "serial number of the camera; empty where there is one alone")
    stream_mode: str = setting("640x360", "columns x rows of the depth stream", choices=tuple(MODES))
    fps: int = setting(30, "frames of the stream", low=6, high=90, unit="Hz")
    colour: bool = setting(False, "stream colour too")
    colour_mode: str = setting("640x480", "columns x rows of the colour stream", choices=COLOUR_MODES)
    align: str = setting("none", "which image is brought into the other's view", choices=ALIGNMENTS)
    decimation: int = setting(2, "depth pixels, along a row, that become one", low=1, high=8)
    spatial: bool = setting(False, "smooth depth along its surfaces (a steep slope comes out up to 3 mm off)")
    temporal: bool = setting(False, "smooth depth over time (what moves is blurred)")
    fill_holes: bool = setting(False, "guess depth where none was measured")
    playback: str = setting("", "recording to play instead of a camera: .db3, or .bag of a library before 2.56")
    late_frame_s: float = setting(0.15, "frames older than this are dropped", low=0.005, high=1e6, unit="s")
    frozen_frames: int = setting(4, "equal images in a row that mean a frozen camera; 0: never", low=0, high=1000)
    silence_s: float = setting(1.0, "no frame for so long: the camera is opened anew", low=0.05, high=60.0, unit="s")
    hang_s: float = setting(2.0, "the library answers nothing for so long: it is killed", low=0.1, high=60.0, unit="s")
    open_s: float = setting(20.0, "time in which the camera must open", low=0.5, high=300.0, unit="s")
    back_off_s: float = setting(0.5, "wait before the first reopening; doubled up to 8 s", low=0.01, high=8.0, unit="s")

    @property
    def depth_size(self) -> tuple[int, int]:
        """Columns and rows of the depth stream."""
        return size_of(self.stream_mode)

    @property
    def colour_size(self) -> tuple[int, int]:
        """Columns and rows of the colour stream."""
        return size_of(self.colour_mode)

    @property
    def largest_frame(self) -> int:
        """Bytes that depth and colour of one frame take at most."""
        depth, colour = (w * h for w, h in (self.depth_size, self.colour_size))
        return 2 * max(depth, colour) + 3 * max(depth, colour)


def checked(settings: CameraSettings, *, where: str = "camera") -> CameraSettings:
    """``settings`` themselves; ConfigError where a value, or a pair of them, will not do."""
    validate(settings, where=where)
    rates = MODES[settings.stream_mode]
    if settings.fps not in rates and not settings.playback:
        right = f"one of: {', '.join(map(str, rates))}"
        raise ConfigError(f"{settings.stream_mode} has no {settings.fps} Hz", where=f"{where}.fps", right=right)
    if settings.align != "none" and not settings.colour:
        raise ConfigError("alignment needs both images", where=f"{where}.align", right=f"set {where}.colour=true")
    return settings


def size_of(mode: str) -> tuple[int, int]:
    """Columns and rows of a mode "COLUMNSxROWS"."""
    width, _, height = mode.partition("x")
    return int(width), int(height)
