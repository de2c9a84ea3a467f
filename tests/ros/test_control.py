"""The control pipe between the supervisor and its processes."""

from __future__ import annotations

from knuckle_ros.control import control_pair


def test_a_supervisor_that_does_not_read_never_makes_the_driver_wait() -> None:
    ours, theirs = control_pair()
    sent = 0
    while theirs.send("health", "a line"):
        sent += 1
        assert sent < 100_000
    assert sent > 10
    assert ours.receive() == ("health", "a line")
    assert theirs.send("health", "a line")
    ours.close()
    assert not theirs.send("health", "a line")
    theirs.close()
