"""A process that is to give way does so among sessions too, and leaves a session that it does not lead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from knuckle_ros.niceness import AUTOGROUP, give_way

ASK = "import os; from knuckle_ros.niceness import give_way, AUTOGROUP; said = give_way(7); "
TELL = "print(os.nice(0), AUTOGROUP.read_text().split()[-1], said)"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
@pytest.mark.parametrize(("leads", "group"), [(True, "7"), (False, "0")])
def test_a_process_gives_way_among_sessions_only_where_it_leads_its_own(leads: bool, group: str) -> None:
    # The session of the process that leads none is a fresh one of its parent's, so that no test's group is judged.
    inner = [sys.executable, "-c", ASK + TELL]
    outer = inner if leads else [sys.executable, "-c", f"import subprocess; subprocess.run({inner!r}, check=True)"]
    ended = subprocess.run(outer, capture_output=True, text=True, start_new_session=True, check=True)
    assert ended.stdout.split() == ["7", group]


def test_a_refusal_is_told_and_the_process_is_nice_all_the_same(tmp_path: Path) -> None:
    code = "from pathlib import Path; from knuckle_ros.niceness import give_way; import os, sys; "
    code += "print(give_way(3, Path(sys.argv[1]))); print(os.nice(0))"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, start_new_session=True, check=True
    )
    assert ended.stdout.splitlines() == ["nice 3 counts within its own session alone (Is a directory)", "3"]


def test_at_nice_0_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "autogroup"
    file.write_text("untouched")
    assert give_way(0, file) == "" and file.read_text() == "untouched"


def test_a_kernel_that_takes_one_value_at_a_time_is_asked_again() -> None:
    # So it answers a user who is not root and starts several processes at once.
    code = """
from knuckle_ros.niceness import give_way
class Busy:
    answers = [BlockingIOError(11, "try again"), BlockingIOError(11, "try again"), None]
    def exists(self): return True
    def write_text(self, text):
        if (answer := self.answers.pop(0)): raise answer
        print("taken", text)
print(repr(give_way(4, Busy())))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True, check=True
    )
    assert ended.stdout.splitlines() == ["taken 4", "''"]
