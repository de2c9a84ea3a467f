"""The guardian: a tiny process that outlives a killed supervisor for a moment and tidies up after it.

It reads a pipe whose other end the supervisor alone holds. The word "done" on it means that all is tidy. Its end
without that word means that the supervisor was killed: the children, who see the same, are given a moment to end by
themselves (a hand holds or releases), then they are killed, and the shared memory of the dead is removed. Only the
standard library is used, so that it costs little memory and cannot fail for a missing package.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from knuckle_ros.dds_leftovers import remove_leftovers
from knuckle_ros.run_members import MARK, end_members

GRACE_S = 3.0
AGAIN_S = 0.3
ROOT = Path(__file__).resolve().parents[1]


class Guardian:
    """The supervisor's handle on its guardian."""

    def __init__(self, run: str) -> None:
        read, self._write = os.pipe()
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from knuckle_ros.guardian import main; main()"
        environment = {key: value for key, value in os.environ.items() if key != MARK}
        # -S: no site-packages, so neither their memory nor the ROS bootstrapper's second start of the interpreter.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, run, str(time.time())],
            stdin=read,
            stdout=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        os.close(read)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def dismiss(self) -> None:
        """All is tidy: the guardian ends."""
        # Somebody may have ended it before us; nothing is left for it to do.
        with suppress(BrokenPipeError):
            os.write(self._write, b"done")
        os.close(self._write)
        self._process.wait()


def main() -> None:
    """Wait for the supervisor's word, or for its death, and then tidy up. Arguments: the run, and when it began."""
    run, born_after = sys.argv[1], float(sys.argv[2])
    # It must not end before its work is done; nothing it does can take long.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 16) == b"done":
        return
    end_members(run, GRACE_S)
    remove_leftovers(born_after)
    # Once more, for a process that was already dying when we first looked and still held its locks.
    time.sleep(AGAIN_S)
    remove_leftovers(born_after)


if __name__ == "__main__":
    main()
