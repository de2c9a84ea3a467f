"""`knuckle setup`: when a build is current, what it says when one is impossible, and what it leaves behind."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
import zipfile
from pathlib import Path

import psutil
import pytest

from knuckle.core.errors import BusError, RunError
from knuckle_ros import messages_built
from knuckle_ros.message_build import definitions, install, toolchain
from knuckle_ros.message_build.compile import complaint
from knuckle_ros.message_build.prefix import correct, make_prefix
from knuckle_ros.message_build.wheel import pack_wheel

SOURCES = {"a_msgs": {"msg/A.msg": b"float64 x\n", "package.xml": b"<package/>"}}
VERSIONS = {"ros-rclpy": "7.1.6"}
ENVIRONMENT = Path(sys.prefix)


def test_the_fingerprint_changes_with_everything_it_stands_for() -> None:
    first = definitions.fingerprint(SOURCES, VERSIONS, "cp311-cp311-linux_x86_64")
    assert first == definitions.fingerprint(SOURCES, dict(VERSIONS), "cp311-cp311-linux_x86_64")
    others = [
        definitions.fingerprint({"a_msgs": {**SOURCES["a_msgs"], "msg/A.msg": b"float32 x\n"}}, VERSIONS, "cp311"),
        definitions.fingerprint({"a_msgs": {**SOURCES["a_msgs"], "msg/B.msg": b""}}, VERSIONS, "cp311"),
        definitions.fingerprint({"b_msgs": SOURCES["a_msgs"]}, VERSIONS, "cp311"),
        definitions.fingerprint(SOURCES, {"ros-rclpy": "7.1.7"}, "cp311"),
        definitions.fingerprint(SOURCES, VERSIONS, "cp312"),
        definitions.fingerprint(SOURCES, VERSIONS, "cp311"),
    ]
    assert len({first, *others}) == 7


def test_a_changed_definition_on_disk_changes_what_is_read(tmp_path: Path) -> None:
    shutil.copytree(definitions.definition_folder("knuckle_msgs"), tmp_path / "knuckle_msgs")
    before = definitions.definition_files("knuckle_msgs", tmp_path / "knuckle_msgs")
    assert before == definitions.definition_files("knuckle_msgs")
    (tmp_path / "knuckle_msgs" / "msg" / "Track.msg").write_text("uint64 id\n")
    assert definitions.definition_files("knuckle_msgs", tmp_path / "knuckle_msgs") != before


def test_a_broken_installation_without_definitions_says_so(tmp_path: Path) -> None:
    with pytest.raises(BusError, match="no message definitions here; reinstall knuckle"):
        definitions.definition_files("knuckle_msgs", tmp_path)


@pytest.mark.parametrize("package", definitions.PACKAGES)
def test_every_definition_is_listed_for_the_build_and_documented(package: str) -> None:
    files = definitions.definition_files(package)
    listed = set(re.findall(r'"((?:msg|srv|action)/\w+\.\w+)"', files["CMakeLists.txt"].decode()))
    assert listed == {name for name in files if "/" in name}
    if package == "tf2_msgs":
        return  # its one field is ROS's own
    for name in listed:
        lines = files[name].decode().splitlines()
        for above, line in itertools.pairwise(lines):
            if line and not line.startswith(("#", "---")) and above.strip() != "---":
                assert above.startswith("#"), f"{name}: '{line}' has no comment above"


@pytest.mark.parametrize("package", definitions.PACKAGES)
def test_the_package_files_agree_for_colcon(package: str) -> None:
    files = definitions.definition_files(package)
    root = xml.fromstring(files["package.xml"])
    depends = {element.text for element in root.iter("depend")}
    assert root.findtext("name") == package
    assert "@" in root.find("maintainer").attrib["email"]  # type: ignore[union-attr]
    listed = re.search(r"DEPENDENCIES ([\w ]+)", files["CMakeLists.txt"].decode())
    assert listed is not None and set(listed.group(1).split()) <= depends
    used = {line.split("/")[0] for name in files if "/" in name for line in files[name].decode().splitlines()
            if re.match(r"\w+_\w+/\w", line)}  # fmt: skip
    assert used <= depends


def test_colcon_leaves_tf2_msgs_to_a_real_installation() -> None:
    assert (definitions.definition_folder("tf2_msgs") / "COLCON_IGNORE").is_file()
    assert not (definitions.definition_folder("knuckle_msgs") / "COLCON_IGNORE").exists()


def test_the_build_machine_s_paths_are_replaced_and_nothing_else() -> None:
    python = "/opt/python/cp311-cp311"
    text = f'A "{python}/include/python3.11;{python}/lib/python3.11/site-packages/numpy/_core/include"'
    assert correct(text, "/py", r"/n\1p") == r'A "/py;/n\1p"'
    assert correct("set(x ${_IMPORT_PREFIX}/include)", "/py", "/np") == "set(x ${_IMPORT_PREFIX}/include)"


def test_the_generators_of_cpp_messages_are_taken_out_of_the_copy_alone(tmp_path: Path) -> None:
    line = 'ament_register_extension(\n  "rosidl_generate_idl_interfaces" "x")\n'
    for name in ("bin", "lib", "include"):
        (tmp_path / "env" / name).mkdir(parents=True)
    for package in ("rosidl_generator_cpp", "rosidl_generator_c"):
        (tmp_path / "env" / "share" / package / "cmake").mkdir(parents=True)
        (tmp_path / "env" / "share" / package / "cmake" / "register.cmake").write_text(line)
    make_prefix(tmp_path / "env", tmp_path / "copy", "/py", "/np")
    read = {path.parts[-3]: path.read_text() for path in (tmp_path / "copy" / "share").rglob("*.cmake")}
    assert read["rosidl_generator_c"] == line and "rosidl_generate" not in read["rosidl_generator_cpp"]
    assert all(path.read_text() == line for path in (tmp_path / "env").rglob("*.cmake"))


def test_a_wheel_is_what_pip_wants_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in (
        "lib/python3.11/site-packages/a_msgs/__init__.py",
        "lib/liba.so",
        "include/a.h",
        "share/a/package.xml",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    wheels = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        wheels.append(pack_wheel(tree, tmp_path / folder, "a-b", "1+x", "cp311-cp311-linux_x86_64", {"ros-c": "2"}))
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    assert wheels[0].name == "a_b-1+x-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(wheels[0]) as archive:
        names = archive.namelist()
        assert "Requires-Dist: ros-c==2\n" in archive.read("a_b-1+x.dist-info/METADATA").decode()
        record = archive.read("a_b-1+x.dist-info/RECORD").decode()
    assert names[:3] == ["a_b-1+x.data/data/lib/liba.so", "a_msgs/__init__.py", "a_b-1+x.data/data/share/a/package.xml"]
    assert [line.split(",")[0] for line in record.splitlines()] == names


def test_a_failed_build_is_told_by_its_first_error() -> None:
    assert complaint("[1/2] cc\nx.c:3: error: no member\n here\nninja: stopped", "") == "x.c:3: error: no member here"
    assert complaint("", "") == "no output"


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([], "no C compiler"),
        (["cc"], r"no C\+\+ compiler"),
        (["cc", "c++"], "no cmake"),
        (["cc", "c++", "cmake"], "neither ninja nor make"),
    ],
)
def test_a_missing_tool_is_named(tmp_path: Path, tools: list[str], said: str) -> None:
    (tmp_path / "bin").mkdir()
    for tool in tools:
        (tmp_path / "bin" / tool).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / tool).chmod(0o755)
    with pytest.raises(BusError, match=said):
        toolchain.find_toolchain(tmp_path, str(tmp_path))


def test_the_quicker_generator_is_taken_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("cc", "c++", "cmake", "make", "ninja"):
        (tmp_path / "bin" / tool).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / tool).chmod(0o755)
    assert toolchain.find_toolchain(tmp_path, "").generator == "Ninja"
    (tmp_path / "bin" / "ninja").unlink()
    assert toolchain.find_toolchain(tmp_path, "").generator == "Unix Makefiles"


@pytest.mark.ros
def test_too_little_space_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 5 << 20))  # type: ignore[attr-defined]
    with pytest.raises(RunError, match="5 MB free where the build needs"):
        toolchain.check_environment(ENVIRONMENT, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ros
def test_an_environment_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RunError, match="this folder cannot be written; an environment of your own"):
        toolchain.check_environment(ENVIRONMENT, tmp_path)


@pytest.mark.ros
def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be made"):
        toolchain.check_environment(ENVIRONMENT, tmp_path / "file" / "knuckle")


@pytest.mark.ros
def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    assert install.set_up_messages(said.append) is False
    assert said == []


@pytest.mark.ros
def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(package: str, folder: Path | None = None) -> dict[str, bytes]:
        files = definitions.definition_files(package, folder)
        return {**files, "CMakeLists.txt": b"message(FATAL_ERROR broken)\n"}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(install, "definition_files", broken)
    before = definitions.installed_version()
    with pytest.raises(RunError, match=r"tf2_msgs: the build failed: .*broken"):
        install.build_wheel(install.cache_root() / "x" / "a.whl", "0.1.0+x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert definitions.installed_version() == before


@pytest.mark.ros
def test_a_folder_left_by_a_killed_build_is_removed_and_a_young_one_is_not(tmp_path: Path) -> None:
    for name in (".build-old", ".build-young"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".build-old", (0, 0))
    install._remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".build-young"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_stopped_leaves_no_compiler_behind(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import os, signal; from knuckle_ros.commands.setup import _terminate;"
        "from knuckle_ros.message_build.compile import run_build;"
        "signal.signal(signal.SIGTERM, _terminate);"
        "run_build(['sh', '-c', 'sleep 60 & echo $! > pid.new; mv pid.new pid; wait'], dict(os.environ), 'a')"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL) as child:
        while not (tmp_path / "pid").is_file():
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(number)
        assert child.wait(timeout=20) != 0
    compiler = int((tmp_path / "pid").read_text())
    for _ in range(200):
        if not psutil.pid_exists(compiler) or psutil.Process(compiler).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.01)
    pytest.fail(f"process {compiler} outlived the build")


def test_messages_that_are_not_built_are_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_built.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BusError) as caught:
        messages_built.require_messages()
    assert str(caught.value) == "messages not built: tf2_msgs, knuckle_msgs; run `knuckle setup`"


def test_messages_of_other_definitions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_built.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(messages_built, "installed_version", lambda: "0.1.0+old")
    monkeypatch.setattr(messages_built, "expected_version", lambda: "0.1.0+new")
    with pytest.raises(BusError, match=r"built for other definitions.*run `knuckle setup`"):
        messages_built.require_messages()


def test_messages_of_a_ros_workspace_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_built.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(messages_built, "installed_version", lambda: None)
    messages_built.require_messages()
    assert messages_built.messages_problem() is None


def test_a_missing_ros_wheel_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(BusError, match=r"the wheel ros-rclpy is not installed; pip install 'knuckle\[ros\]'"):
        definitions.ros_versions()


def test_asking_for_messages_does_not_load_ros() -> None:
    code = (
        "import sys, knuckle_ros.message_build.install, knuckle_ros.messages_built as m; m.messages_problem();"
        "sys.exit('rclpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.ros
def test_the_built_messages_hold_what_they_are_given() -> None:
    from knuckle_msgs.msg import HandStatus, SafetyState  # type: ignore[import-not-found,unused-ignore]
    from knuckle_msgs.srv import Arm  # type: ignore[import-not-found,unused-ignore]
    from rclpy.serialization import deserialize_message, serialize_message
    from tf2_msgs.msg import TFMessage  # type: ignore[import-not-found,unused-ignore]

    states = {SafetyState.HOLD, SafetyState.ARMED, SafetyState.RELEASED, SafetyState.STOPPED}
    assert len(states) == 4 and SafetyState().state == SafetyState.HOLD
    status = HandStatus(name=["f1_abduction"], temperature=[41.5], error=[3], clamped=7, command_age=0.02)
    assert deserialize_message(serialize_message(status), HandStatus) == status
    assert deserialize_message(serialize_message(TFMessage()), TFMessage) == TFMessage()
    assert Arm.Response(success=True, lease="x").lease == "x"


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_build_from_nothing_makes_a_wheel_that_pip_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wheel = install.cache_root() / "x" / f"knuckle_messages-0.1.0+x-{definitions.python_tag()}.whl"
    install.build_wheel(wheel, "0.1.0+x")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [wheel.name]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps", str(wheel)]
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0
