"""Mutation testing of the safety layer: each small change to its code must make one of its tests fail.

python tools/mutate_safety.py               every mutant; fails where one survives that mutants.md does not explain
python tools/mutate_safety.py limiter.py    those of some modules
python tools/mutate_safety.py --keep DIR    keeps in DIR which test reaches which line and what was killed, and goes on

The tests are collected once. For each mutant the process forks, and the child puts the changed code in the place of the
function's and runs the tests that reach the line, the quickest first, until one fails. Code that runs at import is
changed before anything is imported, which takes longer. One process at a time; it yields to everything else.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import tempfile
import time
import types
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import pytest
from ast_mutants import Mutant, mutants
from mutant_tests import (
    APART,
    APART_CPU_S,
    FOLDER,
    KILLED,
    LONGEST_CPU_S,
    ROOT,
    SURVIVED,
    Failures,
    Forked,
    Reach,
)

PACKAGE = "knuckle.hardware.safety"
EXPLAINED = FOLDER / "mutants.md"
TESTS = sorted(str(path) for path in (ROOT / "tests" / "hardware").glob("test_safety_*.py"))
QUIET = ["-q", "-x", "-p", "no:cacheprovider", "--timeout=0", "-p", "no:faulthandler"]
PATIENCE_S = 8.0
"""How long a test with processes waits for what a mutant has perhaps undone."""


def quick_examples() -> None:
    """The same few examples for every mutant, none kept or made smaller: whether one fails is all that counts."""
    import hypothesis

    hypothesis.settings.register_profile(
        "mutants",
        deadline=None,
        derandomize=True,
        database=None,
        max_examples=25,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutants")


class Functions:
    """The live functions of the safety layer, by module and qualified name."""

    def __init__(self) -> None:
        self._live: dict[tuple[str, str], list[types.FunctionType]] = {}
        for thing in gc.get_objects():
            if isinstance(thing, types.FunctionType) and str(thing.__module__).startswith(f"{PACKAGE}."):
                key = (thing.__module__.rpartition(".")[2], thing.__code__.co_qualname)
                self._live.setdefault(key, []).append(thing)

    def change(self, name: str, mutant: Mutant) -> None:
        """Give the function that ``mutant`` lies in its code."""
        live = self._live[name.removesuffix(".py"), mutant.function]
        codes = [compile(mutant.tree, live[0].__code__.co_filename, "exec")]
        while codes:
            code = codes.pop()
            if code.co_qualname == mutant.function:
                for function in live:
                    function.__code__ = code
                return
            codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        raise SystemExit(f"cannot find {name} {mutant.function}")


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module of the safety layer from a changed tree."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        self._module, self._mutant = f"{PACKAGE}.{name.removesuffix('.py')}", mutant
        self._path = str(ROOT / "src" / "knuckle" / "hardware" / "safety" / name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the changed module, of no other."""
        if fullname != self._module:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=self._path)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the changed code."""
        module.__file__ = self._path
        exec(self.get_code(self._module), module.__dict__)

    def get_code(self, fullname: str) -> types.CodeType:
        """The changed code, for a test that runs the module as a program."""
        return compile(self._mutant.tree, self._path, "exec")


class Killed:
    """Mutants that were killed before, in a file, so that what was broken off goes on; of unchanged code alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = set(path.read_text().splitlines()) if path.exists() else set()
        self._code = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()[:12] for p in FOLDER.glob("*.py")}

    def __contains__(self, key: str) -> bool:
        return self._line(key) in self._known

    def add(self, key: str) -> None:
        """Note one."""
        with self._path.open("a") as record:
            record.write(f"{self._line(key)}\n")

    def _line(self, key: str) -> str:
        return f"{self._code[key.split(' ')[0]]} {key}"


class Live:
    """A pytest plugin: instead of running what was collected, it tries every mutant inside a function on it."""

    def __init__(self, chosen: dict[str, list[Mutant]], progress: Callable[[str, bool], None], folder: Path) -> None:
        self.chosen, self.progress, self.folder = chosen, progress, folder
        self.failures = Failures()
        self.order: list[str] = []
        self._noticed: dict[tuple[str, str], list[str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Before the tests are imported, and after their configuration."""
        quick_examples()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure, then mutate."""
        session.config.pluginmanager.register(self.failures)
        reach, functions = Reach(session.items, self.failures, self.folder), Functions()
        self.order = reach.in_order(list(reach.items))
        # What lies still need not be copied for a child.
        gc.collect()
        gc.freeze()
        for name, found in self.chosen.items():
            for mutant in found:
                self.progress(mutant.key, self._try(name, mutant, reach.of(name, mutant.line), functions))
        return True

    def _try(self, name: str, mutant: Mutant, items: list[pytest.Item], functions: Functions) -> bool:
        """Whether a test of ``items`` fails: first those that noticed changes of the same function, the last first."""
        place = (name, mutant.function)
        noticed = self._noticed.setdefault(place, [])
        items.sort(key=lambda item: -noticed.index(item.nodeid) if item.nodeid in noticed else 1)
        read, write = os.pipe()

        def work() -> int:
            functions.change(name, mutant)
            code = self.failures.run(items)
            os.write(write, self.failures.first.encode())
            return code

        killed = Forked(work, cpu_s=APART_CPU_S if APART in name else LONGEST_CPU_S).code != SURVIVED
        os.close(write)
        with os.fdopen(read, "rb") as heard:
            first = heard.read().decode()
        if first:
            self._noticed[place] = [n for n in noticed if n != first] + [first]
        return killed


class Sorted:
    """A pytest plugin: the quickest tests first."""

    def __init__(self, order: list[str]) -> None:
        self._place = {name: i for i, name in enumerate(order)}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Before the tests are imported, and after their configuration."""
        quick_examples()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put them in order."""
        items.sort(key=lambda item: self._place.get(item.nodeid, 0))


def import_the_rest() -> None:
    """What no mutant is in, once, before children are made of this process: most of the time a test run takes."""
    import hypothesis.extra.numpy  # noqa: F401

    import knuckle.core.config
    import knuckle.hardware.spec.dclaw  # noqa: F401

    known = [module for module in sys.modules if module.startswith(PACKAGE)]
    if known:
        raise SystemExit(f"{known[0]} was imported before it could be changed")


def at_import(name: str, mutant: Mutant, order: list[str], tests: list[str]) -> int:
    """Whether ``tests`` notice a change of code that runs at import; for a process that has imported none of it."""
    sys.meta_path.insert(0, Changed(name, mutant))
    return KILLED if pytest.main([*QUIET, *tests], plugins=[Sorted(order)]) else SURVIVED


def noticed_at_import(name: str, mutant: Mutant, order: list[str]) -> bool:
    """Whether the tests notice it: first those that are called as the module is, then all."""
    own = [path for path in TESTS if path.endswith(f"test_safety_{name}")]
    rounds = [own, TESTS] if own else [TESTS]
    return any(Forked(lambda tests=tests: at_import(name, mutant, order, tests)).code != SURVIVED for tests in rounds)  # type: ignore[misc]


def explained() -> dict[str, str]:
    """Key to reason of every survivor that is explained."""
    lines = EXPLAINED.read_text(encoding="utf-8").splitlines() if EXPLAINED.exists() else []
    found = (re.fullmatch(r"- `(.+)`: (.+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


class Score:
    """Counts, and says what survives as soon as it does."""

    def __init__(self, total: int, killed: Killed) -> None:
        self.total, self.tried, self._killed = total, 0, killed
        self.survivors: list[str] = []

    def note(self, key: str, killed: bool) -> None:
        """One more was tried."""
        self.tried += 1
        if killed:
            self._killed.add(key)
        else:
            self.survivors.append(key)
            print(f"survived: {key}", flush=True)
        if self.tried % 100 == 0:
            print(f"{self.tried}/{self.total}", file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    """Try the mutants of the modules that are named, all where none is; 1 where one survives unexplained."""
    parser = argparse.ArgumentParser(prog="mutate_safety")
    parser.add_argument("names", nargs="*", help="modules of hardware/safety")
    parser.add_argument(
        "--keep", type=Path, help="folder that keeps which test reaches which line, and what was killed"
    )
    parser.add_argument("--nice", type=int, default=15, help="how far to yield to everything else")
    parser.add_argument("--skip-explained", action="store_true", help="do not try those that mutants.md explains")
    asked = parser.parse_args(words)
    os.nice(asked.nice)
    os.environ["KNUCKLE_PATIENCE_S"] = str(PATIENCE_S)
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return mutate(asked.names, folder, explained() if asked.skip_explained else {})


def mutate(names: list[str], folder: Path, skipped: Container[str]) -> int:
    """As ``main``; ``folder`` keeps which test reaches which line, and what was killed."""
    wanted = names or sorted(path.name for path in FOLDER.glob("*.py"))
    found = {name: mutants(name, (FOLDER / name).read_text(encoding="utf-8")) for name in wanted}
    killed = Killed(folder / "killed")
    left = {name: [m for m in each if m.key not in killed and m.key not in skipped] for name, each in found.items()}
    score = Score(sum(map(len, left.values())), killed)
    began, cpu = time.monotonic(), os.times()
    read, write = os.pipe()

    def live() -> int:
        """In a child, so that this process stays free of what is to be changed at import."""
        inside = {name: [m for m in each if m.function] for name, each in left.items()}
        with os.fdopen(write, "w") as told:
            plugin = Live(inside, lambda key, killed: print(int(killed), key, file=told, flush=True), folder)
            code = int(pytest.main([*QUIET, *TESTS], plugins=[plugin]))
            print("order", "\t".join(plugin.order), file=told, flush=True)
        return code

    pid = os.fork()
    if pid == 0:
        os.close(read)
        os._exit(live())
    os.close(write)
    order: list[str] = []
    with os.fdopen(read) as heard:
        for line in heard:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "order":
                order = rest.split("\t")
            else:
                score.note(rest, word == "1")
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or not order:
        raise SystemExit("the tests could not be collected, or fail without any mutant")
    import_the_rest()
    for name, each in left.items():
        for mutant in each:
            if not mutant.function:
                score.note(mutant.key, noticed_at_import(name, mutant, order))
    score.survivors += [m.key for each in found.values() for m in each if m.key in skipped]
    return judge(score, found, time.monotonic() - began, os.times().children_user - cpu.children_user)


def judge(score: Score, found: dict[str, list[Mutant]], wall_s: float, cpu_s: float) -> int:
    """Print the sums; 1 where a survivor is not explained, or an explanation is out of date."""
    reasons, keys = explained(), {mutant.key for each in found.values() for mutant in each}
    open_ones = [key for key in score.survivors if key not in reasons]
    stale = [key for key in reasons if key in keys and key not in score.survivors]
    modules = {key.split(" ")[0] for key in keys}
    stale += [key for key in reasons if key.split(" ")[0] in modules and key not in keys]
    for key in open_ones:
        print(f"not explained: {key}")
    for key in stale:
        print(f"explained, but killed or gone: {key}")
    total, survivors = len(keys), len(score.survivors)
    print(
        f"{total - survivors} of {total} mutants killed, {survivors - len(open_ones)} explained, "
        f"{len(open_ones)} not; {wall_s:.0f} s, {cpu_s:.0f} CPU seconds"
    )
    return 1 if open_ones or stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
