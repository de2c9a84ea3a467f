"""Which of the KITTI sequences at hand are learned and tuned on, and which are judged: fixed before any was judged.

Both halves have cars and pedestrians; the two with the most cars of each length were parted. Nobody looked at a score.
"""

from __future__ import annotations

SPLITS: dict[str, tuple[str, ...]] = {
    "kitti-train": ("0000", "0002", "0004", "0005", "0018"),
    "kitti-test": ("0003", "0007", "0010", "0011"),
}
"""What ``--films`` takes beside the names of films."""
