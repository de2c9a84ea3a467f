"""Every line and every branch of the safety layer is covered by its own tests, or this fails.

python tools/safety_coverage.py        runs tests/hardware/test_safety_*.py and prints what is missing
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "hardware").glob("test_safety_*.py"))


def main() -> int:
    """Run the tests under coverage and judge; 0 where all is covered."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"--data-file={folder}/coverage"
        coverage = [sys.executable, "-m", "coverage"]
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
        ran = subprocess.run([*coverage, "run", data, "--branch", *pytest], cwd=ROOT)
        if ran.returncode != 0:
            return ran.returncode
        report = [*coverage, "report", data, "--show-missing", "--include=hardware/safety/*", "--fail-under=100"]
        return subprocess.run(report, cwd=ROOT).returncode


if __name__ == "__main__":
    raise SystemExit(main())
