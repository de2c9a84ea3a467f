"""From definitions to importable messages: the cache, the build where it is empty, and pip."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from knuckle.core.errors import RunError
from knuckle_ros.message_build.compile import compile_package
from knuckle_ros.message_build.definitions import (
    DISTRIBUTION,
    PACKAGES,
    definition_files,
    expected_version,
    installed_version,
    python_tag,
    ros_versions,
)
from knuckle_ros.message_build.prefix import make_prefix
from knuckle_ros.message_build.toolchain import check_environment, check_writable, find_toolchain
from knuckle_ros.message_build.wheel import pack_wheel

_LEFTOVER_S = 3600.0
Say = Callable[[str], None]


def cache_root() -> Path:
    """Where built wheels are kept: knuckle/messages in the user's cache folder (XDG_CACHE_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "knuckle" / "messages"


def set_up_messages(say: Say, *, rebuild: bool = False) -> bool:
    """Make knuckle_msgs and tf2_msgs importable in this environment; False where they already were.

    ``say`` is told each step. Raises BusError for missing tools and RunError for a failed build; in both cases
    neither the cache nor the environment holds anything half-written.
    """
    version = expected_version()
    if installed_version() == version and not rebuild:
        return False
    cache = cache_root() / version.partition("+")[2]
    wheel = cache / f"{DISTRIBUTION.replace('-', '_')}-{version}-{python_tag()}.whl"
    if rebuild or not wheel.is_file():
        check_environment(Path(sys.prefix), cache_root())
        say("building the messages from the ROS wheels (once for this version, about half a minute)")
        build_wheel(wheel, version)
        say(f"built {wheel.name}")
    check_writable(Path(sysconfig.get_path("purelib")), Path(sys.prefix))
    say(f"installing {wheel.name}")
    _pip_install(wheel)
    importlib.invalidate_caches()
    return True


def build_wheel(wheel: Path, version: str) -> None:
    """Compile PACKAGES against the wheels of this environment and put the result at ``wheel``, whole or not at all."""
    environment = Path(sys.prefix)
    tools = find_toolchain(environment, os.environ.get("PATH", os.defpath))
    import numpy  # the messages' C sources include its headers

    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(root)
    work = Path(tempfile.mkdtemp(prefix=".build-", dir=root))
    try:
        make_prefix(environment, work / "prefix", sysconfig.get_path("include"), numpy.get_include())
        for package in PACKAGES:
            source = work / "source" / package
            for name, content in definition_files(package).items():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_bytes(content)
            compile_package(source, work / "build" / package, work / "prefix", work / "install", tools)
        packed = pack_wheel(work / "install", work, DISTRIBUTION, version, python_tag(), ros_versions())
        wheel.parent.mkdir(parents=True, exist_ok=True)
        os.replace(packed, wheel)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError("the disk is full", where=str(root), right="free some space") from error
        raise RunError(f"the build could not write ({error})", where=str(root)) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_leftovers(root: Path) -> None:
    """Remove build folders that a killed run left behind; younger ones may belong to a run that is under way."""
    for folder in root.glob(".build-*"):
        if time.time() - folder.stat().st_mtime > _LEFTOVER_S:
            shutil.rmtree(folder, ignore_errors=True)


def _pip_install(wheel: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--force-reinstall", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no output"]
        right = "python -m ensurepip" if "No module named pip" in done.stderr else ""
        raise RunError(f"pip could not install it: {lines[-1]}", where=wheel.name, right=right)
