"""The windows of a source divided by sequence: to learn from, to validate on, to test on."""

from __future__ import annotations

from knuckle.core.errors import InputError
from knuckle.motion.tracks.windows import Windows

EVERY = 5
"""Where nothing is said, every fifth sequence validates."""


def divide(windows: Windows, test: str, validation: str) -> tuple[Windows, Windows, Windows]:
    """Parts by the names of sequences, with + between; validation is every fifth of the rest where empty.

    InputError for a sequence without a window, one named twice, or nothing to learn from.
    """
    known = windows.sequences
    left_out, told = sequences(test, known, "--test"), sequences(validation, known, "--validation")
    both = sorted(left_out & told)
    if both:
        raise InputError(f"{', '.join(both)} is to be tested and validated on", where="--validation", right="others")
    rest = [name for name in known if name not in left_out]
    told = told or set(rest[EVERY // 2 :: EVERY] or rest[-1:])
    learned = {name for name in rest if name not in told}
    if not learned:
        what = f"nothing to learn from: {len(known)} sequences with windows, {len(left_out)} to test on"
        raise InputError(what, where="--data", right="two sequences at least that are not tested on")
    return windows.of_sequences(learned), windows.of_sequences(told), windows.of_sequences(left_out)


def every_fourth(known: list[str]) -> str:
    """What is tested on where nothing is said: every fourth sequence, with + between."""
    return "+".join(known[3::4] or known[-1:])


def sequences(text: str, known: list[str], where: str) -> set[str]:
    """The names in ``text``, with + between; InputError for one that has no window."""
    names = {name for name in text.split("+") if name}
    for name in sorted(names):
        if name not in known:
            shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
            raise InputError(f"no window of a sequence '{name}'", where=where, right=f"of: {shown}")
    return names
