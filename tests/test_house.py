"""The rules of the house hold, and the checker that says so finds what it should."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", checkout / "tools" / "house.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def house(checkout: Path) -> ModuleType:
    return _load(checkout)


def test_the_project_keeps_its_rules(house: ModuleType, checkout: Path) -> None:
    assert [str(breach) for breach in house.check(checkout)] == []


def test_every_room_is_read(house: ModuleType, checkout: Path) -> None:
    """A checker that reads no file finds no breach: these are the files it must have read."""
    names = {path.relative_to(checkout).as_posix() for path in house.files(checkout)}
    assert {"src/knuckle/cli.py", "src/knuckle/core/errors.py", "hardware/spec/dclaw.py", "constraints.txt"} <= names
    assert not any(name.startswith((".venv", "src/knuckle/hardware")) for name in names)
    rooms = {house.room_of(house.module_of(name)) for name in names if name.endswith(".py")}
    assert {"core", "hardware", "sim", "sensors", "perception", "policy", "knuckle_ros", "command"} <= rooms


def test_the_table_is_the_one_drawn_in_the_map(house: ModuleType, checkout: Path) -> None:
    text = (checkout / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].strip("`") in house.TABLE:
            drawn[cells[0].strip("`")] = set(re.findall(r"[a-z.]+", cells[3])) - {"nothing", "of", "ours"}
    assert drawn == {room: set(allowed) for room, allowed in house.TABLE.items()}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sim/world.py", "from knuckle.hardware.virtual import Bus"),
        ("sim/world.py", "from knuckle.hardware import Bus"),
        ("sim/world.py", "import knuckle.policy"),
        ("sim/world.py", "def f():\n    from knuckle import sensors"),
        ("sim/deep/world.py", "from ...policy import mpc"),
        ("sim/world.py", "from ..policy.mpc import plan"),
        ("hardware/bus.py", "import knuckle.sim.plant"),
        ("hardware/spec/dclaw.py", "from knuckle.sim import plant"),
        ("sensors/vqf.py", "from knuckle.hardware.spec import contracts"),
        ("perception/cloud.py", "import importlib\nimportlib.import_module('knuckle.sim')"),
        ("src/knuckle/core/errors.py", "from knuckle.nn import layers"),
        ("src/knuckle/core/errors.py", "import knuckle"),
        ("src/knuckle/motion/forecast.py", "from knuckle.perception import tracks"),
        ("policy/node.py", "import rclpy"),
        ("src/knuckle/cli.py", "def f():\n    import rclpy.node"),
        ("src/knuckle/cli.py", "import knuckle_ros.graph"),
        ("policy/mpc.py", "from knuckle_ros import graph"),
        ("tests/sim/test_world.py", "import sim"),
        ("tests/sim/test_world.py", "from hardware.spec import dclaw"),
        ("benchmarks/bus.py", "import rclpy"),
        ("tests/sim/test_world.py", "import rclpy"),
        ("tests/ros/test_node.py", "import sim"),
        ("ros_ws/src/knuckle_ros/knuckle_ros/node.py", "import policy.mpc"),
    ],
)
def test_a_forbidden_import_is_found(house: ModuleType, path: str, source: str) -> None:
    assert len(house.check_source(path, source)) == 1, house.check_source(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sim/world.py", "from knuckle.hardware.spec.dclaw import DCLAW3"),
        ("sim/world.py", "from knuckle.hardware.spec import contracts"),
        ("sim/world.py", "from knuckle.hardware import spec"),
        ("sim/world.py", "from . import objects\nfrom .objects import LETTER"),
        ("hardware/safety/limiter.py", "from ..spec import contracts\nimport knuckle.hardware.spec"),
        ("policy/mpc.py", "import numpy\nfrom knuckle import sim, perception\nfrom knuckle.core import errors"),
        ("src/knuckle/cli.py", "from knuckle import __version__\nimport knuckle.policy.commands"),
        ("ros_ws/src/knuckle_ros/knuckle_ros/node.py", "import rclpy\nfrom knuckle.policy import mpc"),
        ("tests/sim/test_world.py", "from knuckle.sim import world\nfrom knuckle.policy import mpc"),
        ("tests/ros/test_node.py", "import rclpy"),
        ("src/knuckle/core/errors.py", "import importlib.util\nimportlib.util.find_spec('rclpy')"),
    ],
)
def test_an_allowed_import_is_let_through(house: ModuleType, path: str, source: str) -> None:
    assert house.check_source(path, source) == []


def test_names_and_lengths_are_held(house: ModuleType) -> None:
    assert "named for" in house.check_source("sim/utils.py", "x = 1\n")[0].what
    assert house.check_source("sim/world.py", "x = 1\n" * 400) == []
    assert "401 lines" in house.check_source("sim/world.py", "x = 1\n" * 401)[0].what
    assert house.check_source("sim/world.py", "def f():\n" + "    x = 1\n" * 59) == []
    assert "f has 61 lines" in house.check_source("sim/world.py", "def f():\n" + "    x = 1\n" * 60)[0].what


@pytest.mark.parametrize(
    "call", ["time.time()", "time.sleep(1)", "datetime.datetime.now()", "np.random.default_rng()", "np.random.rand(3)"]
)
def test_logic_that_reads_a_clock_or_draws_by_itself_is_found(house: ModuleType, call: str) -> None:
    for path in ("sim/world.py", "hardware/safety/limiter.py", "src/knuckle/core/figures.py"):
        assert [breach.line for breach in house.check_source(path, f"x = 1\ny = {call}\n")] == [2]
    for path in ("hardware/dynamixel/port.py", "ros_ws/src/knuckle_ros/knuckle_ros/node.py", "tests/sim/test_a.py"):
        assert house.check_source(path, f"y = {call}\n") == []


@pytest.mark.parametrize(
    "call", ["time.perf_counter()", "np.random.default_rng(3)", "np.random.Generator", "rng.normal()"]
)
def test_a_cost_may_be_measured_and_a_seed_given(house: ModuleType, call: str) -> None:
    assert house.check_source("sim/world.py", f"y = {call}\n") == []


@pytest.mark.parametrize("folder", ["work", "root", "home", "tmp"])
def test_a_path_of_one_machine_is_found(house: ModuleType, folder: str) -> None:
    assert house.check_text("README.md", f"see\n/{folder}/someone/file")[0].line == 2
    assert house.check_text("README.md", f"see benchmarks/{folder}/file and ./{folder}/x") == []


def test_a_registry_host_is_found(house: ModuleType) -> None:
    host = "pypi" + ".org"
    assert len(house.check_text("constraints.txt", f"--index-url https://{host}/simple")) == 1


def test_a_broken_link_is_found(house: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "src" / "knuckle").mkdir(parents=True)
    (tmp_path / "sim").mkdir()
    (tmp_path / "src" / "knuckle" / "sim").symlink_to("../../sim")
    (tmp_path / "src" / "knuckle" / "policy").symlink_to(tmp_path / "policy")
    broken = {breach.path for breach in house.check_links(tmp_path)}
    assert broken == set(house.LINKS) - {"src/knuckle/sim"}


def test_a_command_without_a_module_is_found(house: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "src" / "knuckle").mkdir(parents=True)
    (tmp_path / "src" / "knuckle" / "there.py").touch()
    (tmp_path / "src" / "knuckle" / "cli.py").write_text('A = "knuckle.there:run"\nB = "knuckle.gone:run"\n')
    assert [breach.line for breach in house.check_commands(tmp_path)] == [2]
