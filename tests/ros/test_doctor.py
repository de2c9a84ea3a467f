"""What the doctor says, on this machine and on poorer ones."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from knuckle_ros import doctor
from knuckle_ros.commands.doctor import doctor as command
from knuckle_ros.doctor import BROKEN, LACKING, OK, Finding, examine


def finding(name: str, domain: int = 97, port: int = 0) -> Finding:
    return next(found for found in examine(domain, port) if found.name == name)


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make modules look as if they were not installed."""
    find, version = importlib.util.find_spec, doctor.importlib.metadata.version

    def hidden_version(name: str) -> str:
        if name.removeprefix("ros-").replace("-", "_") in modules:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else find(name))
    monkeypatch.setattr(doctor.importlib.metadata, "version", hidden_version)


@pytest.fixture(autouse=True)
def no_probes(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """GL and cameras are asked by processes of their own, which takes a second; the command's test does so for real."""
    if "command" not in request.node.name:
        monkeypatch.setattr(doctor, "_probe", lambda command: (True, "egl: EGL works here"))


def test_every_finding_that_is_not_ok_says_what_would_help() -> None:
    for found in examine(97, 0):
        assert found.level in (OK, LACKING, BROKEN)
        assert found.level == OK or found.remedy, found
        assert "\n" not in found.found + found.remedy


def test_messages_that_are_not_built_are_found_and_setup_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "knuckle_msgs", "tf2_msgs")
    found = finding("messages")
    assert (found.level, found.remedy) == (BROKEN, "knuckle setup")


def test_a_machine_without_ros_or_physics_is_told_which_extra_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "rclpy", "mujoco")
    assert finding("ros").remedy == "pip install 'knuckle[ros]'"
    assert finding("physics").remedy == "pip install 'knuckle[sim]'"
    assert finding("gl").level == LACKING


def test_a_machine_without_the_kernels_is_told_what_serves_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNUCKLE_INSTRUCTION_SET", "none")
    found = finding("kernels")
    assert (found.level, found.found) == (LACKING, "KNUCKLE_INSTRUCTION_SET=none")
    assert "torch and numpy serve" in found.remedy


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = finding("page port", port=port)
    assert found.level == LACKING
    assert str(port) in found.found
    assert "page.port" in found.remedy


def test_a_domain_in_use_is_named() -> None:
    from knuckle_ros.domain_lock import domain_lock

    with domain_lock(98, "run demo"):
        found = finding("ros domain", domain=98)
    assert found.level == LACKING
    assert "knuckle run demo" in found.found


def test_a_driver_that_kills_its_process_is_a_finding_and_not_our_end() -> None:
    crash = [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"]
    done = subprocess.run(
        [sys.executable, "-c", f"from knuckle_ros.doctor import _probe; print(_probe({crash!r}))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "(False, 'ended with code -11')"


def test_the_command_prints_a_line_each_and_writes_them_as_json(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "doctor.json"
    code = command(["--domain", "97", "--page-port", "0", "--json", str(path)])
    written = json.loads(path.read_text())
    names = [found["name"] for found in written["findings"]]
    assert code == (1 if any(found["level"] == BROKEN for found in written["findings"]) else 0)
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    assert {"gl", "messages", "shared memory", "page port", "servo port", "depth camera", "display"} <= set(names)
