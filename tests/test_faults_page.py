"""The table of faults names tests that exist, and leaves no row out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = [*range(1, 17), 18, 19, 20, 21]


def test_every_fault_has_its_behaviour_and_its_tests() -> None:
    stated, _, tests = PAGE.partition("## The tests")
    for part in (stated, tests):
        assert [int(number) for number in re.findall(r"^\| (\d+) \|", part, re.MULTILINE)] == ROWS


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/.]+)::(test_\w+)`", PAGE)
    assert len(named) > 2 * len(ROWS)
    for file, name in named:
        assert f"\ndef {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
