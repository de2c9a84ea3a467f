"""The lease: one commander at a time, and every refusal names both."""

from __future__ import annotations

from itertools import count

import pytest

from knuckle.core.errors import CommandRefused
from knuckle.hardware.safety.lease import LeaseDesk
from knuckle.hardware.safety.quote import quote, quote_all


@pytest.fixture
def desk() -> LeaseDesk:
    numbers = count(1)
    return LeaseDesk(lambda: f"t{next(numbers)}")


def test_the_lease_granted_is_the_lease_accepted(desk):
    lease = desk.grant("policy")
    desk.check(lease)
    assert (lease, desk.holder) == ("policy/t1", "policy")


def test_a_second_commander_is_refused_and_both_are_named(desk):
    lease = desk.grant("policy")
    for name in ("page", "policy"):
        with pytest.raises(CommandRefused, match=f"'{name}' asks for the lease that 'policy' holds"):
            desk.grant(name)
    desk.check(lease)


def test_every_lease_is_new_and_an_ended_one_is_void(desk):
    old = desk.grant("policy")
    desk.end()
    assert desk.holder == ""
    with pytest.raises(CommandRefused, match="'policy' with a lease that is void; nobody holds the lease"):
        desk.check(old)
    new = desk.grant("page")
    assert new != old
    with pytest.raises(CommandRefused, match="of 'policy' with a lease that is void; 'page' holds the lease"):
        desk.check(old)


@pytest.mark.parametrize("lease", ["", "policy", "t1"])
def test_a_command_without_a_lease_is_refused_naming_the_holder(desk, lease):
    with pytest.raises(CommandRefused, match="a command without a lease; nobody"):
        desk.check(lease)
    desk.grant("policy")
    with pytest.raises(CommandRefused, match="a command without a lease; 'policy' holds"):
        desk.check(lease)


@pytest.mark.parametrize("lease", ["policy/t2", "policy/", "policy/t1 ", "POLICY/t1", "policy/t1/t1", "/t1"])
def test_only_the_exact_lease_passes(desk, lease):
    desk.grant("policy")
    with pytest.raises(CommandRefused):
        desk.check(lease)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 65, "\x1b[2J"])
def test_a_name_that_cannot_be_shown_gets_no_lease(desk, name):
    with pytest.raises(CommandRefused, match="cannot be a commander's name") as caught:
        desk.grant(name)
    assert "\x1b" not in str(caught.value)
    assert desk.holder == ""


def test_the_longest_name_and_a_name_with_a_slash_are_fine(desk):
    desk.grant("x" * 64)
    desk.end()
    desk.check(desk.grant("robot/policy"))
    with pytest.raises(CommandRefused, match="'robot/policy' with a lease that is void"):
        desk.check("robot/policy/t9")


def test_quotes_are_bounded_and_printable():
    assert quote("a") == "'a'"
    assert quote("a\x00b") == "'a?b'"
    assert quote("x" * 48) == f"'{'x' * 48}'"
    assert quote("x" * 49) == f"'{'x' * 48}...'"
    assert quote_all(["a", "b"]) == "'a', 'b'"
    assert quote_all("abcdefghijkl").count(",") == 11
    assert quote_all("abcdefghijklm").endswith("'l' and 1 more")
