"""The rules of the house that ruff and mypy do not know: who imports whom, links, lengths, names, no machine's paths.

python tools/house.py        prints every breach as file:line: what is wrong, and fails where there is one
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TABLE: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "nn": frozenset({"core"}),
    "hardware": frozenset({"core"}),
    "sim": frozenset({"core", "hardware.spec"}),
    "sensors": frozenset({"core", "nn"}),
    "perception": frozenset({"core", "nn", "hardware.spec"}),
    "policy": frozenset({"core", "nn", "sim", "perception", "hardware.spec"}),
    "motion": frozenset({"core", "nn"}),
    "video": frozenset({"core", "nn"}),
}
"""Room to the rooms it may import, as ARCHITECTURE.md draws them."""

ALL_ROOMS = frozenset(TABLE)
LINKS = {
    "src/knuckle/hardware": "../../hardware",
    "src/knuckle/perception": "../../perception",
    "src/knuckle/policy": "../../policy",
    "src/knuckle/sensors": "../../sensors",
    "src/knuckle/sim": "../../sim",
    "src/knuckle_ros": "../ros_ws/src/knuckle_ros/knuckle_ros",
}
FORBIDDEN_NAMES = frozenset({"base.py", "common.py", "helper.py", "helpers.py", "misc.py", "util.py", "utils.py"})
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
BUS = "knuckle_ros"
COMMAND = "command"
ROS_MODULES = frozenset({"rclpy", "ament_index_python"})

CLOCKS = frozenset(
    {
        "time.time",
        "time.time_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.sleep",
        "datetime.now",
        "datetime.utcnow",
    }
)
"""Calls that make logic give other results another time; perf_counter, which measures a cost, is none of them."""

_SKIPPED = frozenset({".git", ".venv", "__pycache__", "build", "dist", "runs"})
_COLCON = frozenset({"ros_ws/install", "ros_ws/log"})
_TEXT = frozenset([".py", ".md", ".toml", ".yaml", ".txt", ".sh", ".xml", ".cfg", ".msg", ".srv", ".action"])
_NAMED = frozenset({"Makefile", "LICENSE", "NOTICE", "run", ".gitignore"})
_MACHINE = re.compile(
    r"(?<![\w./-])/(?:work|root|home|tmp|Users)/[\w.-]"  # a folder of somebody's machine
    r"|\b(?:pypi\.org|pythonhosted\.org)\b|file:///[a-z]"  # a registry's host, a local index
)


@dataclass(frozen=True)
class Breach:
    """One broken rule: the file below the root, the line (0 for the file itself), and what is wrong."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True)
class Import:
    """One import: the dotted name it reaches, absolute, and its line."""

    name: str
    line: int


def module_of(path: str) -> str:
    """The dotted name a file below the root is imported by, empty for tests, tools and benchmarks."""
    parts = path.removesuffix(".py").split("/")
    if parts[:2] == ["src", "knuckle"]:
        parts = parts[1:]
    elif parts[:4] == ["ros_ws", "src", BUS, BUS]:
        parts = parts[3:]
    elif parts[0] in ALL_ROOMS:
        parts = ["knuckle", *parts]
    else:
        return ""
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room a module lives in: a key of TABLE, "knuckle_ros", "command", or empty for none."""
    first, _, rest = module.partition(".")
    if first == BUS:
        return BUS
    if first != "knuckle":
        return ""
    room = rest.partition(".")[0]
    return room if room in TABLE else COMMAND


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[Import]:
    """Every import below ``tree``, inside functions too, and literal calls of import_module and __import__."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".") if is_package else module.split(".")[:-1]
            anchor = parent[: len(parent) - node.level + 1] if node.level else []
            source = ".".join([*anchor, *(node.module or "").split(".")]).strip(".")
            yield from (Import(f"{source}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield Import(node.args[0].value, node.lineno)


def import_problem(module: str, target: str) -> str:
    """What is wrong with ``module`` importing the dotted name ``target``; empty where nothing is."""
    first, _, rest = target.partition(".")
    room = room_of(module)
    if first in ROS_MODULES and room != BUS:
        return f"imports {first}; only {BUS} does"
    if first in ALL_ROOMS and first != "nn":
        return f"imports '{target}'; a room imports as knuckle.{first}"
    if not room or room == BUS or first not in ("knuckle", BUS):
        return ""
    if room == COMMAND:
        return f"imports {BUS}; the command finds it lazily" if first == BUS else ""
    if first == BUS:
        return f"room {room} imports {BUS}"
    wanted = rest.split(".")
    if wanted[0] == room or any(wanted[: len(a)] == a for a in (allowed.split(".") for allowed in TABLE[room])):
        return ""
    return f"room {room} imports knuckle.{rest}; it may import: {', '.join(sorted(TABLE[room])) or 'nothing of ours'}"


def check_source(path: str, text: str) -> list[Breach]:
    """The breaches of one Python file: its imports, name and lengths."""
    found = []
    if path.rpartition("/")[2] in FORBIDDEN_NAMES:
        found.append(Breach(path, 0, "a file is named for the thing it defines"))
    length = text.count("\n")
    if length > MAX_FILE_LINES:
        found.append(Breach(path, 0, f"{length} lines, more than {MAX_FILE_LINES}"))
    tree = ast.parse(text, path)
    module = module_of(path)
    on_the_bus = path.startswith("tests/ros/")
    seen = set()
    for item in imports(tree, module, path.endswith("__init__.py")):
        problem = import_problem(BUS if on_the_bus else module, item.name)
        if problem and (item.line, problem) not in seen:
            seen.add((item.line, problem))
            found.append(Breach(path, item.line, problem))
    if module:
        found += check_functions(path, tree)
    if room_of(module) in TABLE and not is_driver(module):
        found += check_logic(path, tree)
    return found


def is_driver(module: str) -> bool:
    """Whether a module talks to a device, which has a clock of its own: hardware but for spec and safety."""
    parts = module.split(".")
    return parts[1:2] == ["hardware"] and parts[2:3] not in (["spec"], ["safety"])


def check_logic(path: str, tree: ast.AST) -> list[Breach]:
    """Logic that reads a clock, sleeps or draws without a seed: time and randomness are arguments."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if any(called == clock or called.endswith(f".{clock}") for clock in CLOCKS):
            found.append(Breach(path, node.lineno, f"calls {called}; time is an argument"))
        elif called.endswith("default_rng") and not node.args and not node.keywords:
            found.append(Breach(path, node.lineno, "draws without a seed; randomness is an argument"))
        elif re.match(r"(np|numpy)\.random\.[a-z]", called) and not called.endswith("default_rng"):
            found.append(Breach(path, node.lineno, f"calls {called}; randomness is an argument"))
    return found


def check_functions(path: str, tree: ast.AST) -> list[Breach]:
    """Functions that are too long to be read at once."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(Breach(path, node.lineno, f"{node.name} has {length} lines, over {MAX_FUNCTION_LINES}"))
    return found


def check_text(path: str, text: str) -> list[Breach]:
    """Lines that name a folder of one machine or a registry's host."""
    return [
        Breach(path, number, f"'{match.group()}' belongs to one machine")
        for number, line in enumerate(text.splitlines(), 1)
        if (match := _MACHINE.search(line)) is not None
    ]


def check_links(root: Path) -> list[Breach]:
    """Every room at the top is linked into src/knuckle, by a relative link."""
    found = []
    for link, target in LINKS.items():
        path = root / link
        if not path.is_symlink() or str(path.readlink()) != target or not path.is_dir():
            found.append(Breach(link, 0, f"must be a symbolic link to {target}"))
    return found


def check_commands(root: Path) -> list[Breach]:
    """The modules that the command's table names exist: in the file tree, without importing them."""
    path = "src/knuckle/cli.py"
    text = (root / path).read_text(encoding="utf-8")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for module in re.findall(r'"(knuckle(?:_ros)?\.[\w.]+):\w+"', line):
            if not (root / "src" / f"{module.replace('.', '/')}.py").is_file():
                found.append(Breach(path, number, f"no module {module}"))
    return found


def files(root: Path, folder: Path | None = None) -> Iterator[Path]:
    """The files of the project that are text by their name, links not followed, what is built left out."""
    for path in sorted((folder or root).iterdir()):
        built = path.name in _SKIPPED or path.name.endswith((".egg-info", "_cache", ".hypothesis"))
        if built or path.is_symlink() or path.relative_to(root).as_posix() in _COLCON:
            continue
        if path.is_dir():
            yield from files(root, path)
        elif path.suffix in _TEXT or path.name in _NAMED:
            yield path


def check(root: Path) -> list[Breach]:
    """All breaches below ``root``."""
    found = check_links(root) + check_commands(root)
    for path in files(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            found += check_source(name, text)
        found += check_text(name, text)
    return found


def main() -> int:
    """Print the breaches of this project; 1 where there is one."""
    breaches = check(ROOT)
    for breach in breaches:
        print(breach)
    print(f"house: {len(breaches) or 'no'} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    raise SystemExit(main())
