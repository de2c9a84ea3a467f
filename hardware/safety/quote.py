"""Names given by others, made fit for a message: one line, bounded, quoted."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 48
MOST = 12


def quote(name: object) -> str:
    """``name`` in quotes, unprintable characters replaced, at most LONGEST characters of it."""
    text = str(name)
    shown = "".join(c if c.isprintable() else "?" for c in text[:LONGEST])
    return f"'{shown}...'" if len(text) > LONGEST else f"'{shown}'"


def quote_all(names: Iterable[object]) -> str:
    """The names quoted and joined by commas, at most MOST of them; the rest is counted."""
    every = list(names)
    shown = ", ".join(quote(name) for name in every[:MOST])
    return f"{shown} and {len(every) - MOST} more" if len(every) > MOST else shown
