"""Outputs made again beside those recorded, stamp by stamp and bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """The outputs of one topic, counted.

    ``identical``, ``different``; ``missing``: recorded, its inputs are there too, but it was not made again;
    ``without_inputs``: recorded, but the recording lacks what it was made of (its beginning, mostly);
    ``unrecorded``: made again, but not in the recording (dropped live, or lost on the way).
    """

    topic: str
    identical: int
    different: int
    missing: int
    without_inputs: int
    unrecorded: int

    @property
    def good(self) -> bool:
        """Whether something was compared and all of it was the same."""
        return self.identical > 0 and self.different == 0 and self.missing == 0


def compare(
    topic: str, recorded: Mapping[int, bytes], again: Mapping[int, bytes], has_inputs: Callable[[int], bool]
) -> Comparison:
    """Compare outputs by stamp; ``has_inputs(stamp_ns)`` says whether the recording holds what one is made of."""
    both = recorded.keys() & again.keys()
    lacking = recorded.keys() - again.keys()
    missing = sum(has_inputs(stamp) for stamp in lacking)
    identical = sum(recorded[stamp] == again[stamp] for stamp in both)
    return Comparison(
        topic=topic,
        identical=identical,
        different=len(both) - identical,
        missing=missing,
        without_inputs=len(lacking) - missing,
        unrecorded=len(again.keys() - recorded.keys()),
    )
