"""Matrix libraries on one thread: theirs wait by spinning, on the processors that the worlds' threads want.

The learner's products are small. With two threads for worlds and for products, on two cores, PPO made 3,750 steps a
second; with the second thread for the worlds alone, 5,300 (docs/experiments/2026-11-28-ppo-rate.md).
"""

from __future__ import annotations

import os

NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_matrix_thread() -> None:
    """Ask for it where the environment says nothing else; it is read when numpy is imported, so call this before."""
    for name in NAMES:
        os.environ.setdefault(name, "1")
