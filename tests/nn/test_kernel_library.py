"""How the kernels are found, chosen and done without."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from knuckle.core.errors import InputError
from knuckle.nn import kernels
from knuckle.nn.kernels import library

built = pytest.mark.skipif(bool(kernels.missing()), reason="the kernels are not built here")


def test_without_a_library_the_reason_and_the_remedy_are_said(tmp_path: Path) -> None:
    assert "no C++ compiler was found" in kernels.missing(tmp_path)


def test_a_damaged_library_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "_native.so").write_bytes(b"\x7fELF, but no more")
    assert "_native.so cannot be loaded" in kernels.missing(tmp_path)


def test_a_foreign_library_is_not_used(tmp_path: Path) -> None:
    foreign = next(Path(path) for path in sys.modules["_ctypes"].__dict__.values() if str(path).endswith(".so"))
    shutil.copy(foreign, tmp_path / "_native.so")
    assert "_native.so cannot be loaded" in kernels.missing(tmp_path)


@built
def test_a_library_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = next(Path(library.__file__).parent.glob("_native*.so"))
    shutil.copy(ours, tmp_path / ours.name)
    monkeypatch.setattr(library, "VERSION", library.VERSION + 1)
    assert "install knuckle again" in kernels.missing(tmp_path)


def test_the_library_can_be_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.CHOICE, "none")
    assert kernels.missing() == "KNUCKLE_INSTRUCTION_SET=none"
    assert kernels.available() == ()
    with pytest.raises(InputError, match="the C\\+\\+ kernels cannot run: KNUCKLE_INSTRUCTION_SET=none"):
        kernels.instruction_set()


@built
def test_the_fastest_set_is_taken_and_a_slower_one_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.CHOICE, raising=False)
    names = kernels.available()
    assert names[0] == "baseline"
    assert kernels.INSTRUCTION_SETS[kernels.instruction_set()] == names[-1]
    for name in names:
        monkeypatch.setenv(library.CHOICE, name)
        assert kernels.INSTRUCTION_SETS[kernels.instruction_set()] == name
    monkeypatch.setenv(library.CHOICE, "sse9")
    with pytest.raises(InputError, match=r"KNUCKLE_INSTRUCTION_SET: unknown instruction set 'sse9'; .*avx2, avx512"):
        kernels.instruction_set()


@built
@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or platform.machine() != "x86_64", reason="not Linux on x86-64")
def test_what_is_available_is_what_the_processor_says() -> None:
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split())
    assert ("avx2" in kernels.available()) == ({"avx2", "fma"} <= flags)
    wanted = {"avx512f", "avx512vl", "avx512dq", "avx512bw", "avx2", "fma"}
    assert ("avx512" in kernels.available()) == (wanted <= flags)


@built
def test_a_set_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "available", lambda: ("baseline",))
    with pytest.raises(InputError, match="this processor cannot run avx512; one of: baseline"):
        kernels.instruction_set("avx512")


def test_the_package_asks_for_no_torch() -> None:
    code = "import sys, knuckle.nn.kernels as k; k.missing(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("compiler", ["", "false", "c++"])
def test_an_install_is_whole_and_has_the_kernels_where_there_is_a_compiler_that_works(
    checkout: Path, tmp_path: Path, compiler: str
) -> None:
    if compiler == "c++" and shutil.which("c++") is None:
        pytest.skip("no C++ compiler here")
    source = tmp_path / "source"
    left = shutil.ignore_patterns(".*", "*.egg-info", "*.so", "__pycache__", "build", "dist", "runs", "tests")
    shutil.copytree(checkout, source, symlinks=True, ignore=left)
    path = os.environ["PATH"] if compiler else str(Path(sys.executable).parent)
    given = {**os.environ, "PATH": path, "CC": compiler or "cc", "CXX": compiler or "c++"}
    build = f"import setuptools.build_meta as b; print(b.build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, env=given, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.unpack_archive(tmp_path / done.stdout.split()[-1], tmp_path / "installed", "zip")
    assert len(list((tmp_path / "installed").rglob("*.so"))) == (compiler == "c++")
    code = "import knuckle.nn.kernels as k; print(k.__file__, k.missing(), k.available())"
    asked = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    said = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) in said
    assert ("no C++ compiler was found" in said) == (compiler != "c++")
    assert ("'baseline'" in said) == (compiler == "c++")
