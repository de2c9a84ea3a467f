"""The command: quick help, one line for every error, the right exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from knuckle import cli
from knuckle.core.errors import InputError, RunError


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A command named `try` whose function each test writes itself."""
    module = types.ModuleType("knuckle_try")
    monkeypatch.setitem(sys.modules, "knuckle_try", module)
    monkeypatch.setitem(cli.COMMANDS, "try", cli.Command("a test", "knuckle_try:run"))
    return module


def knuckle(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "knuckle", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from knuckle import cli; cli.main(['--help']);"
        "heavy = {'numpy', 'scipy', 'torch', 'rclpy', 'mujoco', 'tyro', 'rich', 'knuckle_ros'} & set(sys.modules);"
        "sys.exit(f'loaded {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_shows_its_help(name: str) -> None:
    done = knuckle(*name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert f"knuckle {name}" in done.stdout


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_an_option_that_does_not_exist_is_one_line(name: str) -> None:
    done = knuckle(*name.split(), "--no-such-option")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"knuckle: knuckle {name}: ") and done.stderr.count("\n") == 1


def test_an_unknown_command_is_one_line_with_the_nearest_name() -> None:
    done = knuckle("strem", "file.mat")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("knuckle: unknown command 'strem'; did you mean 'stream'?")
    assert done.stderr.count("\n") == 1


def test_an_unknown_member_of_a_group_names_the_group() -> None:
    done = knuckle("eval", "reorint")
    assert done.returncode == 2
    assert "unknown command 'eval reorint'; did you mean 'eval reorient'? known: eval " in done.stderr


def test_a_group_alone_lists_its_members_and_counts_as_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench"]) == 2
    assert "bench bus" in capsys.readouterr().out
    assert cli.main([]) == 2


def test_the_arguments_after_the_command_reach_it(target: types.ModuleType) -> None:
    seen: list[list[str]] = []
    target.run = lambda argv: seen.append(argv) or 7  # type: ignore[attr-defined,func-returns-value]
    assert cli.main(["try", "--set", "a.b=1"]) == 7
    assert seen == [["--set", "a.b=1"]]


@pytest.mark.parametrize(("kind", "code"), [(InputError, 2), (RunError, 1)])
def test_an_error_of_the_family_is_one_line_and_its_code(
    target: types.ModuleType, capsys: pytest.CaptureFixture[str], kind: type[RunError], code: int
) -> None:
    def run(argv: list[str]) -> int:
        raise kind("is\ntruncated", where="a.mat", right="a whole file")

    target.run = run  # type: ignore[attr-defined]
    assert cli.main(["try"]) == code
    assert capsys.readouterr().err == "knuckle: a.mat: is truncated; a whole file\n"


@pytest.mark.parametrize("module", list(cli.EXTRAS))
def test_a_missing_extra_is_one_line_that_names_it(
    target: types.ModuleType, capsys: pytest.CaptureFixture[str], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    def run(argv: list[str]) -> int:
        __import__(module)
        return 0

    target.run = run  # type: ignore[attr-defined]
    assert cli.main(["try"]) == 1
    assert (
        capsys.readouterr().err == f"knuckle: {module} is not installed; pip install 'knuckle[{cli.EXTRAS[module]}]'\n"
    )


def test_a_missing_module_of_ours_is_a_bug_and_is_not_hidden(target: types.ModuleType) -> None:
    def run(argv: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'knuckle.gone'", name="knuckle.gone")

    target.run = run  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError):
        cli.main(["try"])


def test_every_extra_named_exists_in_the_project(checkout: Path) -> None:
    import tomllib

    extras = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(cli.EXTRAS.values()) <= set(extras)
    known = {"ros", "sim", "vision", "learn", "policy", "hand", "calibrate", "view", "log", "scenarios", "dev"}
    assert set(extras) == known


def test_an_interrupt_ends_without_a_traceback() -> None:
    code = (
        "import sys, time, types; from knuckle import cli;"
        "module = types.ModuleType('slow'); sys.modules['slow'] = module;"
        "module.run = lambda argv: (print('up', flush=True), time.sleep(30), 0)[2];"
        "cli.COMMANDS['slow'] = cli.Command('', 'slow:run'); sys.exit(cli.main(['slow']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (cli.INTERRUPTED, "")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    child = subprocess.Popen(
        [sys.executable, "-m", "knuckle", "--help"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    _, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (cli.BROKEN_PIPE, "")


def test_the_version_is_the_package_s() -> None:
    from knuckle import __version__

    assert knuckle("--version").stdout == f"knuckle {__version__}\n"
