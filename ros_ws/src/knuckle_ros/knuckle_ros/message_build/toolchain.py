"""Finding what compiles the messages, and saying in one line what is missing before anything is written."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from knuckle.core.errors import BusError, RunError

BYTES_NEEDED = 200 << 20
"""Free space a build needs, with room to spare: measured 60 MB."""

_PYTHON_PARTS = {
    "catkin_pkg": "catkin_pkg",
    "ament_package": "ros-ament-package",
    "rosidl_adapter": "ros-rosidl-adapter",
    "rosidl_generator_py": "ros-rosidl-generator-py",
    "em": "empy",
    "numpy": "numpy",
}
_CMAKE_PARTS = ("ament_cmake", "rosidl_default_generators", "rosidl_core_generators", "python_cmake_module")


@dataclass(frozen=True)
class Toolchain:
    """What a build uses: cmake, the name of its generator, and the path programs are looked up on."""

    cmake: str
    generator: str
    path: str


def find_toolchain(prefix: Path, path: str) -> Toolchain:
    """The tools on ``path`` after the environment's own bin; BusError naming the first one that is missing."""
    search = os.pathsep.join([str(prefix / "bin"), path])

    def find(*names: str) -> str | None:
        return next((hit for name in names if (hit := shutil.which(name, path=search))), None)

    for names, what in ((("cc", "gcc", "clang"), "C"), (("c++", "g++", "clang++"), "C++")):
        if find(*names) is None:
            raise BusError(
                f"no {what} compiler to build the messages with ({', '.join(names)})",
                right="apt-get install build-essential",
            )
    cmake = find("cmake")
    if cmake is None:
        raise BusError("no cmake to build the messages with", right="pip install cmake, or apt-get install cmake")
    if find("ninja"):
        return Toolchain(cmake, "Ninja", search)
    if find("make"):
        return Toolchain(cmake, "Unix Makefiles", search)
    raise BusError("neither ninja nor make to build the messages with", right="pip install ninja")


def check_environment(prefix: Path, cache: Path) -> None:
    """Raise where the generators' wheels or Python's headers are missing, or nothing can be written.

    BusError for what is not installed, RunError for a full disk and folders that cannot be written.
    """
    missing = [wheel for module, wheel in _PYTHON_PARTS.items() if importlib.util.find_spec(module) is None]
    missing += [f"ros-{p.replace('_', '-')}" for p in _CMAKE_PARTS if not (prefix / "share" / p).is_dir()]
    if missing:
        raise BusError(
            f"build tools are missing: {', '.join(missing)}", where=str(prefix), right="pip install 'knuckle[ros]'"
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        raise BusError("Python's headers are not installed", where=str(header), right="apt-get install python3-dev")
    check_writable(Path(sysconfig.get_path("purelib")), Path(sys.prefix))
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot be made ({error.strerror})", where=str(cache), right="set XDG_CACHE_HOME") from error
    check_writable(cache)
    free = shutil.disk_usage(cache).free
    if free < BYTES_NEEDED:
        raise RunError(
            f"{free >> 20} MB free where the build needs {BYTES_NEEDED >> 20} MB",
            where=str(cache),
            right="free some space, or set XDG_CACHE_HOME to another disk",
        )


def check_writable(*folders: Path) -> None:
    """RunError naming the first of ``folders`` that this process may not write to."""
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise RunError("this folder cannot be written", where=str(folder), right="an environment of your own")
