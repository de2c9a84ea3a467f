"""The threads of matrix libraries beside those of the worlds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASKED = """
import os, sys
from knuckle.policy.learned import train_command
assert "numpy" not in sys.modules, "imported before it can be told"
try:
    train_command.train_reorient(["--settings"])
finally:
    print(os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"])
"""


@pytest.mark.parametrize(("given", "wanted"), [({}, "1 1"), ({"OMP_NUM_THREADS": "3"}, "3 1")])
def test_training_keeps_matrix_threads_off_the_worlds_unless_told_otherwise(given: dict[str, str], wanted: str) -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=clean | given, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == wanted
