"""librealsense, imported in one place. It lives in the camera's process alone, never beside rclpy."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any

from knuckle.core.errors import DeviceError


def librealsense() -> Any:
    """The module pyrealsense2; DeviceError where what it needs is missing.

    Its wheel wants the system's libusb; where the package libusb-package is installed, its copy serves as well.
    """
    with suppress(ModuleNotFoundError):
        import libusb_package

        path = libusb_package.get_library_path()
        if path is not None:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    try:
        import pyrealsense2
    except ModuleNotFoundError:
        right = "pip install 'knuckle[hand]'"
        raise DeviceError("pyrealsense2 is not installed", where="camera", right=right) from None
    except ImportError as error:
        right = "apt-get install libusb-1.0-0, or pip install libusb-package"
        raise DeviceError(str(error), where="camera", right=right) from None
    return pyrealsense2
