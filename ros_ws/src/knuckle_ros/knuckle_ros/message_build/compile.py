"""Running CMake over one definition package."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from knuckle.core.errors import RunError
from knuckle_ros.message_build.toolchain import Toolchain

TIMEOUT_S = 900.0


def build_environment(tools: Toolchain, prefix: Path) -> dict[str, str]:
    """The environment variables of a build.

    The wheels' start hook has already set LD_LIBRARY_PATH in this process and is told, by the variable it reads
    itself, not to run the interpreter a second time.
    """
    return {
        **os.environ,
        "PATH": tools.path,
        "AMENT_PREFIX_PATH": str(prefix),
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
        "CMAKE_COLOR_DIAGNOSTICS": "OFF",
    }


def compile_package(source: Path, build: Path, prefix: Path, install: Path, tools: Toolchain) -> None:
    """Configure, compile and install the rosidl package at ``source`` into ``install``.

    Raises RunError with the first line of the compiler's or CMake's complaint.
    """
    environment = build_environment(tools, prefix)
    configure = [tools.cmake, "-S", str(source), "-B", str(build), "-G", tools.generator]
    configure += [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBUILD_TESTING=OFF",
        f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_INSTALL_PREFIX={install}",
        f"-DPython3_EXECUTABLE={sys.executable}",
    ]
    jobs = str(len(os.sched_getaffinity(0)))
    run_build(configure, environment, source.name)
    run_build([tools.cmake, "--build", str(build), "--target", "install", "-j", jobs], environment, source.name)


def run_build(command: list[str], environment: dict[str, str], package: str) -> None:
    """Run one step of a build; RunError where it fails. Whatever ends this call ends the compilers below it too."""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise RunError(f"building took longer than {TIMEOUT_S:.0f} s", where=package) from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode != 0:
        raise RunError(f"the build failed: {complaint(stdout, stderr)}", where=package)


def complaint(stdout: str, stderr: str) -> str:
    """The line of a failed build's output that says most: the first with an error, else the last."""
    lines = [line.strip() for line in (stderr + "\n" + stdout).splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if "error" in line.lower():
            return " ".join(lines[index : index + 2])[:400]
    return lines[-1][:400] if lines else "no output"
