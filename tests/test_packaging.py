"""What is installed: locked, hashed, no more than the demo needs, and whole in a wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from knuckle_ros.message_build.definitions import ABI, PACKAGES, definition_files


@pytest.fixture(scope="module")
def lock(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", checkout / "tools" / "lock.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def project(checkout: Path) -> dict[str, Any]:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))


def locked_versions(lock: ModuleType, section: str) -> dict[str, set[str]]:
    """Name to the versions locked for it, up to a section."""
    return {
        name: set(re.findall(r"^[\w.-]+==([^\s;]+)", text, re.MULTILINE))
        for name, text in lock.blocks(lock.locked(section)).items()
    }


def test_every_requirement_but_those_of_learning_is_locked_in_its_range(
    lock: ModuleType, project: dict[str, Any]
) -> None:
    versions = locked_versions(lock, "rest")
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *(r for e, rs in extras.items() if e != "learn" for r in rs)]
    for text in wanted:
        requirement = Requirement(text)
        found = versions[canonicalize_name(requirement.name)]
        assert found and all(requirement.specifier.contains(version) for version in found), text


def test_every_locked_package_has_hashes_and_one_exact_version_a_python(lock: ModuleType) -> None:
    for name, text in lock.blocks(lock.locked("rest")).items():
        for requirement in re.split(r"\n(?=\S)", text.strip()):
            first, _, hashes = requirement.partition("\n")
            assert re.match(r"[\w.-]+==\S+( ; .+)? \\$", first), first
            assert re.fullmatch(r"( +--hash=sha256:[0-9a-f]{64}( \\\n)?)+", hashes), name


def test_the_metadata_pins_nothing(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    for text in [*project["project"]["dependencies"], *(r for rs in extras.values() for r in rs)]:
        assert Requirement(text).specifier, f"{text} has no lower bound"
        assert "==" not in text, text


def test_sections_are_disjoint_and_the_demo_s_holds_nothing_large(lock: ModuleType) -> None:
    whole = list(lock.blocks(lock.locked("rest")))
    assert len(whole) == len(set(whole))
    assert re.findall(r"^# section: (\w+)", lock.locked("rest"), re.MULTILINE) == list(lock.SECTIONS)
    demo = set(locked_versions(lock, "demo"))
    assert not demo & {"torch", "open3d", "playwright", "av", "mypy", "pytest", "pyrealsense2"}
    assert {"ros-rclpy", "mujoco", "viser", "rosbags", "numpy", "setuptools"} <= demo
    assert set(ABI) <= demo
    assert demo < set(locked_versions(lock, "setup")) < set(locked_versions(lock, "test")) < set(whole)


def test_markers_that_always_hold_are_left_out_and_others_stay(lock: ModuleType) -> None:
    always = "platform_python_implementation == 'CPython' and sys_platform == 'linux'"
    assert lock.simplify(f"a==1 ; python_full_version < '3.14' and {always} \\\n") == "a==1 \\\n"
    kept = lock.simplify(f"a==1 ; python_full_version >= '3.12' and python_full_version < '3.14' and {always}\n")
    assert kept == "a==1 ; python_full_version >= '3.12'\n"
    assert lock.simplify("a==1\n") == "a==1\n"


def test_packages_are_picked_with_their_hashes(lock: ModuleType) -> None:
    text = "# section: x (y)\na==1 \\\n    --hash=sha256:0\nb==2 \\\n    --hash=sha256:1\n"
    assert lock.pick(text, ["b"]) == "b==2 \\\n    --hash=sha256:1\n"


def test_a_wheel_holds_every_room_the_graphs_and_the_definitions(checkout: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    built = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "runs", "tests")
    shutil.copytree(checkout, source, symlinks=True, ignore=built)
    build = f"import setuptools.build_meta as b; print(b.build_wheel({str(tmp_path)!r}))"
    quick = {
        **os.environ,
        "CC": "false",
        "CXX": "false",
    }  # the kernels are optional; test_kernel_library.py builds them
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, env=quick, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
    for package, folder in (("knuckle", checkout / "src" / "knuckle"), ("knuckle_ros", checkout / "src/knuckle_ros")):
        missing = {
            f"{package}/{path}"
            for path in (p.relative_to(folder).as_posix() for p in _modules(folder))
            if f"{package}/{path}" not in names
        }
        assert not missing
    assert {"knuckle/py.typed", "knuckle_ros/py.typed"} <= names
    graphs = {f"knuckle_ros/graphs/{path.name}" for path in (checkout / "src/knuckle_ros/graphs").iterdir()}
    assert graphs <= names
    for package in PACKAGES:
        assert {f"knuckle_ros/interfaces/{package}/{name}" for name in definition_files(package)} <= names
    assert not any(name.startswith(("tests/", "tools/", "hardware/", "sim/")) for name in names)


def _modules(folder: Path) -> list[Path]:
    """The modules below a folder, links of rooms followed."""
    found = []
    for path in folder.iterdir():
        if path.is_dir() and path.name not in ("__pycache__", "interfaces"):
            found += _modules(path)
        elif path.suffix == ".py":
            found.append(path)
    return found
