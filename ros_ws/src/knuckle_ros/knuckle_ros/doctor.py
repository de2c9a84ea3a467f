"""What this machine can do: one finding for each thing that knuckle may use. Nothing here needs rclpy or messages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from knuckle.core.errors import BusError
from knuckle_ros.dds_leftovers import FOLDER, leftovers
from knuckle_ros.domain_lock import domain_lock
from knuckle_ros.messages_built import messages_problem

OK, LACKING, BROKEN = "ok", "lacking", "broken"
"""Levels: works; absent, and something else serves in its place; absent, and the demo cannot run."""

MEGABYTE = 1e6
PROBE_S = 30.0
TRIED_PYTHONS = ((3, 11),)
LEAST_MEMORY = 1000 * MEGABYTE
LEAST_SHARED_MEMORY = 64 * MEGABYTE

_GL = """
from knuckle.hardware.spec.mounts import pinhole
from knuckle.sim.renderer import choose_renderer
chosen = choose_renderer("auto", pinhole(32, 18))
print(f"{chosen.source}: {chosen.reason}")
chosen.renderer.close()
"""
_CAMERAS = """
import pyrealsense2 as rs
print(", ".join(d.get_info(rs.camera_info.name) for d in rs.context().query_devices()) or "none connected")
"""


@dataclass(frozen=True)
class Finding:
    """One thing: its level, what was found, and what would help (empty where nothing need be done)."""

    name: str
    level: str
    found: str
    remedy: str = ""


def examine(domain: int, page_port: int) -> list[Finding]:
    """All findings, for a run on ROS domain ``domain`` with its page on ``page_port``."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _processor,
        _memory,
        _shared_memory,
        _ros,
        _messages,
        _compiler,
        lambda: _domain(domain),
        lambda: _page_port(page_port),
        _physics,
        _gl,
        _gpu,
        _kernels,
        _display,
        _depth_camera,
        _serial_ports,
    ]
    return [check() for check in checks]


def _python() -> Finding:
    found = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info[:2] in TRIED_PYTHONS:
        return Finding("python", OK, found)
    return Finding("python", LACKING, found, "nothing may be needed; 3.11 is what is tested")


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0))
    load = f"{cores} cores, load {os.getloadavg()[0]:.1f}"
    if cores >= 2:
        return Finding("processor", OK, load)
    return Finding("processor", LACKING, load, "two cores; on one the simulated clock waits more for the planner")


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    found = f"{free / MEGABYTE:.0f} MB free"
    return Finding("memory", OK, found) if free >= LEAST_MEMORY else Finding("memory", BROKEN, found, "1000 MB free")


def _shared_memory() -> Finding:
    if not FOLDER.is_dir():
        return Finding("shared memory", LACKING, f"no {FOLDER}", "mount it; DDS then need not copy through UDP")
    stat = os.statvfs(FOLDER)
    free = stat.f_bavail * stat.f_frsize
    found = f"{free / MEGABYTE:.0f} MB free of {stat.f_blocks * stat.f_frsize / MEGABYTE:.0f} MB"
    dead = leftovers(born_after=0.0)
    if dead:
        found += f", {len(dead)} DDS files that nobody holds"
    if free < LEAST_SHARED_MEMORY:
        return Finding("shared memory", LACKING, found, "64 MB free (docker run --shm-size=256m)")
    return Finding("shared memory", OK, found)


def _ros() -> Finding:
    try:
        versions = [f"{name} {importlib.metadata.version(f'ros-{name}')}" for name in ("rclpy", "rmw-fastrtps-cpp")]
    except importlib.metadata.PackageNotFoundError as error:
        if importlib.util.find_spec("rclpy") is not None:
            return Finding("ros", OK, "rclpy of a ROS installation")
        return Finding("ros", BROKEN, f"{error.name} is not installed", "pip install 'knuckle[ros]'")
    return Finding("ros", OK, ", ".join(versions))


def _messages() -> Finding:
    try:
        problem = messages_problem()
    except BusError as error:
        return Finding("messages", BROKEN, error.what, error.right)
    if problem is None:
        return Finding("messages", OK, "built")
    return Finding("messages", BROKEN, problem, "knuckle setup")


def _compiler() -> Finding:
    found = {tool: shutil.which(tool) for tool in ("c++", "cmake", "ninja")}
    missing = [tool for tool, path in found.items() if path is None]
    if not missing:
        return Finding("compiler", OK, ", ".join(str(path) for path in found.values()))
    level = OK if _messages().level == OK else BROKEN
    remedy = "" if level == OK else "apt-get install g++, pip install cmake ninja"
    return Finding("compiler", level, f"no {', '.join(missing)} (only `knuckle setup` compiles)", remedy)


def _domain(domain: int) -> Finding:
    try:
        with domain_lock(domain, "doctor"):
            return Finding("ros domain", OK, f"{domain} is free")
    except BusError as error:
        return Finding("ros domain", LACKING, f"{error.what} (domain {domain})", error.right)


def _page_port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Finding("page port", LACKING, f"{port}: {error.strerror}", "--set page.port=N with a free one")
    return Finding("page port", OK, f"{port} is free")


def _physics() -> Finding:
    try:
        return Finding("physics", OK, f"mujoco {importlib.metadata.version('mujoco')}")
    except importlib.metadata.PackageNotFoundError:
        return Finding("physics", BROKEN, "mujoco is not installed", "pip install 'knuckle[sim]'")


def _gl() -> Finding:
    """Drawn by a process of its own: a broken driver may take the interpreter with it."""
    if importlib.util.find_spec("mujoco") is None:
        return Finding("gl", LACKING, "not tried without mujoco", "pip install 'knuckle[sim]'")
    worked, said = _probe([sys.executable, "-c", _GL])
    if not worked:
        return Finding("gl", BROKEN, said, "MUJOCO_GL=off draws depth by ray casting")
    if said.startswith("egl"):
        return Finding("gl", OK, said)
    remedy = "nothing is needed; apt-get install libegl1 libgl1-mesa-dri draws faster"
    return Finding("gl", LACKING, said, remedy)


def _gpu() -> Finding:
    if shutil.which("nvidia-smi"):
        worked, said = _probe(["nvidia-smi", "-L"])
        if worked:
            return Finding("gpu", OK, said.partition(" (UUID")[0])
    nodes = sorted(str(path) for path in Path("/dev/dri").glob("renderD*"))
    if nodes:
        return Finding("gpu", OK, ", ".join(nodes))
    return Finding("gpu", LACKING, "none", "nothing is needed; training is slower without one")


def _kernels() -> Finding:
    from knuckle.nn import kernels
    from knuckle.nn.kernels.library import REMEDY

    problem = kernels.missing()
    if problem:
        return Finding("kernels", LACKING, problem, f"nothing is needed, torch and numpy serve; faster: {REMEDY}")
    return Finding("kernels", OK, kernels.INSTRUCTION_SETS[kernels.instruction_set()])


def _display() -> Finding:
    name = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if name:
        return Finding("display", OK, name)
    remedy = "nothing is needed; from afar, ssh -L 8080:127.0.0.1:8080 and a browser there"
    return Finding("display", LACKING, "none", remedy)


def _depth_camera() -> Finding:
    if importlib.util.find_spec("pyrealsense2") is None:
        found = "pyrealsense2 is not installed"
        return Finding("depth camera", LACKING, found, "for a real one: pip install 'knuckle[hand]'")
    worked, said = _probe([sys.executable, "-c", _CAMERAS])
    if worked and said != "none connected":
        return Finding("depth camera", OK, said)
    return Finding("depth camera", LACKING, said, "for a real one: connect it")


def _serial_ports() -> Finding:
    ports = sorted(path for pattern in ("ttyUSB*", "ttyACM*") for path in Path("/dev").glob(pattern))
    if not ports:
        return Finding("servo port", LACKING, "none", "for a real hand: its USB adapter")
    closed = [str(path) for path in ports if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        remedy = "sudo usermod -aG dialout $USER, then log in again"
        return Finding("servo port", LACKING, f"{', '.join(closed)} may not be opened", remedy)
    return Finding("servo port", OK, ", ".join(map(str, ports)))


def _probe(command: list[str]) -> tuple[bool, str]:
    """Whether a command ended well, and the last line it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return False, f"no answer within {PROBE_S:.0f} s"
    text = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, text[-1] if text else f"ended with code {done.returncode}"
