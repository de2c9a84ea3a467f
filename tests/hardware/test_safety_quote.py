"""Names given by others, in a message: quoted, cut, counted."""

from __future__ import annotations

from knuckle.hardware.safety.quote import quote, quote_all


def test_a_name_is_quoted_and_cut_after_48_characters():
    assert quote("policy") == "'policy'"
    assert quote("x" * 48) == f"'{'x' * 48}'"
    assert quote("x" * 49) == f"'{'x' * 48}...'"
    assert quote("a\nb\x00") == "'a?b?'"
    assert quote(7) == "'7'"


def test_twelve_names_are_listed_and_more_are_counted():
    twelve = [f"n{i}" for i in range(12)]
    listed = ", ".join(f"'n{i}'" for i in range(12))
    assert quote_all(twelve) == listed
    assert quote_all([*twelve, "x"]) == f"{listed} and 1 more"
    assert quote_all([]) == ""
