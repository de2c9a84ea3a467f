"""Curves as lines of text."""

from __future__ import annotations

from knuckle.core.mark_curve import curve


def test_a_curve_is_drawn_between_its_extremes() -> None:
    assert curve([3.0, 2.0, 1.0]) == "█▅▁" and curve([]) == "" and len(curve([1.0] * 500)) == 60


def test_shares_are_drawn_between_nothing_and_all_in_order_and_averaged_where_they_do_not_fit() -> None:
    shares = (0.0, 1.0)
    assert curve([0.0, 0.5, 1.0, float("nan")], ends=shares) == "▁▅█" and curve([0.5], ends=shares) == "▅"
    assert curve([0.0] * 50 + [1.0] * 50, width=2, ends=shares) == "▁█"
