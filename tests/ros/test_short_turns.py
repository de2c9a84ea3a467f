"""Turns as short as the kernel gives, for every thread that is started later, and for no policy but the usual one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from knuckle_ros.short_turns import TURN_NS
from tests.ros.turns import turns_ns

THREADS = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from knuckle_ros.short_turns import take_short_turns
from tests.ros.turns import turns_ns
"""
ROOT = Path(__file__).parents[2]


def run(code: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", THREADS + code, str(ROOT)], capture_output=True, text=True, check=True
    )
    return ended.stdout.splitlines()


@pytest.mark.skipif(not turns_ns(os.getpid()), reason="this kernel has no turns to ask for")
def test_threads_that_are_started_later_have_short_turns_too_and_the_nice_value_stays() -> None:
    code = "os.nice(3); said = take_short_turns(); wait = threading.Event()\n"
    code += "for _ in range(3): threading.Thread(target=wait.wait).start()\n"
    code += "print(said, turns_ns(os.getpid()), os.nice(0)); wait.set()"
    assert run(code) == [f" {[TURN_NS] * 4} 3"]


def test_a_thread_under_another_policy_keeps_it() -> None:
    code = "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)); said = take_short_turns()\n"
    code += "print(repr(said), os.sched_getscheduler(0) == os.SCHED_BATCH)"
    assert run(code) == ["'' True"]
