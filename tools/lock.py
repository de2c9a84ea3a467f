"""Write constraints.txt: every third-party version with its hashes, in sections that `make` installs in turn.

    make constraints

The versions come from `uv pip compile` over pyproject.toml. The sections are disjoint and in order: `demo` is what the
demo needs, `setup` what `make setup` adds, `learn` what training adds, `test` what the tests add, `rest` all other
extras. `lock.py print SECTION` prints the file up to a section.
torch is not locked, nor what it alone depends on: which of its builds is right depends on the machine. The resolution
takes it for a package without dependencies and leaves it out of the file.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "constraints.txt"

SECTIONS = {
    "demo": ("--extra=ros", "--extra=sim", "--extra=log", "--group=page", "--group=environment"),
    "setup": ("--extra=view", "--extra=hand"),
    "learn": ("--extra=learn", "--extra=policy"),
    "test": ("--extra=dev", "--extra=calibrate", "--extra=scenarios"),
    "rest": ("--extra=vision", "--group=build"),
}
"""Name of a section to what it adds to the ones before it."""

HEADER = """\
# Third-party packages with hashes, for CPython 3.11 to 3.13 on Linux. Made by `make constraints`; do not edit.
# pip install --require-hashes --no-deps -r constraints.txt   installs everything; `make` installs it by section.
"""
_ALWAYS = (
    "platform_python_implementation == 'CPython'",
    "platform_python_implementation != 'PyPy'",
    "python_full_version < '3.14'",
    "sys_platform == 'linux'",
)
_NAME = re.compile(r"[A-Za-z0-9._-]+")


UNLOCKED = "torch"


def compile_lock(uv: str, arguments: list[str]) -> str:
    """The text of `uv pip compile` for pyproject.toml with ``arguments``."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    without = f'[tool.uv]\ndependency-metadata = [{{ name = "{UNLOCKED}", requires-dist = [] }}]\n'
    command = [uv, "pip", "compile", "pyproject.toml", "--universal", "--python-version=3.11", "--quiet"]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", f"--no-emit-package={UNLOCKED}", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(project.replace("[tool.uv]\n", without), encoding="utf-8")
        return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def blocks(text: str) -> dict[str, str]:
    """Package name to its requirement lines (several where versions differ by Python), hashes included."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            match = _NAME.match(line)
            assert match is not None, line
            name = match.group().lower()
            line = simplify(line)
        found[name] = found.get(name, "") + line
    return found


def simplify(line: str) -> str:
    """A requirement line without the markers that are true of every supported machine."""
    requirement, _, rest = line.partition(" ; ")
    if not rest:
        return line
    markers, continued = rest.rstrip("\n").removesuffix("\\").rstrip(), rest.endswith("\\\n")
    kept = [part for part in markers.split(" and ") if part not in _ALWAYS]
    return requirement + (f" ; {' and '.join(kept)}" if kept else "") + (" \\\n" if continued else "\n")


def write_lock(uv: str, upgrade: bool) -> None:
    """Resolve everything once, then name the members of each section by resolving again under those versions."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.txt"
        kept = ["--constraints", str(LOCK)] if LOCK.is_file() and not upgrade else []
        wanted = [option for added in SECTIONS.values() for option in added]
        whole.write_text(compile_lock(uv, ["--generate-hashes", *kept, *wanted]), encoding="utf-8")
        packages = blocks(whole.read_text(encoding="utf-8"))
        text, done, options = HEADER, set[str](), list[str]()
        for section, added in SECTIONS.items():
            options += added
            names = set(blocks(compile_lock(uv, ["--constraints", str(whole), *options])))
            text += f"\n# section: {section} ({' '.join(option.partition('=')[2] for option in added)})\n"
            text += "".join(packages[name] for name in sorted(names - done))
            done |= names
    missing = sorted(set(packages) - done)
    if missing:
        raise SystemExit(f"no section holds {', '.join(missing)}")
    temporary = LOCK.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(LOCK)


def locked(section: str) -> str:
    """The text of constraints.txt up to and including ``section``."""
    order = list(SECTIONS)
    text = LOCK.read_text(encoding="utf-8")
    following = order[order.index(section) + 1 :]
    return text.partition(f"\n# section: {following[0]} ")[0] + "\n" if following else text


def pick(text: str, names: list[str]) -> str:
    """The requirement lines of ``names`` alone."""
    found = blocks(text)
    return "".join(found[name] for name in names)


def main(arguments: list[str]) -> int:
    """`lock.py write UV [--upgrade]` makes the file anew; `lock.py print SECTION` prints it up to a section;
    `lock.py pick NAME...` passes the named packages from standard input on."""
    if arguments[:1] == ["write"] and len(arguments) in (2, 3):
        write_lock(str(Path(arguments[1]).absolute()), "--upgrade" in arguments)
        return 0
    if arguments[:1] == ["print"] and len(arguments) == 2 and arguments[1] in SECTIONS:
        sys.stdout.write(locked(arguments[1]))
        return 0
    if arguments[:1] == ["pick"] and len(arguments) > 1:
        sys.stdout.write(pick(sys.stdin.read(), arguments[1:]))
        return 0
    print(main.__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
