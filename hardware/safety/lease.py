"""The lease: one commander at a time may move the hand, and shows so with every command."""

from __future__ import annotations

from collections.abc import Callable

from knuckle.core.errors import CommandRefused
from knuckle.hardware.safety.quote import quote

LONGEST_NAME = 64


class LeaseDesk:
    """Hands out one lease, ``<commander>/<token>``, where ``mint`` yields a new token at each call.

    The name in front lets a refusal say whose command it was; the token makes it this arming's and no other's.
    """

    def __init__(self, mint: Callable[[], str]) -> None:
        self._mint = mint
        self._lease = ""
        self.holder = ""
        """Who holds the lease; empty where nobody does."""

    def check_free(self, commander: str) -> None:
        """CommandRefused where ``commander`` cannot have the lease: a bad name, or someone holds it (both named)."""
        if not commander or len(commander) > LONGEST_NAME or not commander.isprintable() or commander.strip() == "":
            raise CommandRefused(
                f"{quote(commander)} cannot be a commander's name",
                where="hand/arm",
                right=f"1 to {LONGEST_NAME} printable characters",
            )
        if self.holder:
            raise CommandRefused(
                f"{quote(commander)} asks for the lease that {quote(self.holder)} holds",
                where="hand/arm",
                right=f"hold or release the hand, or end {quote(self.holder)}, first",
            )

    def grant(self, commander: str) -> str:
        """The new lease of ``commander``; CommandRefused as in ``check_free``."""
        self.check_free(commander)
        self._lease, self.holder = f"{commander}/{self._mint()}", commander
        return self._lease

    def end(self) -> None:
        """Void the lease, if there is one."""
        self._lease, self.holder = "", ""

    def check(self, lease: str) -> None:
        """CommandRefused unless ``lease`` is the present one; names who sent it and who holds it."""
        if self._lease and lease == self._lease:
            return
        sender = lease.rpartition("/")[0]
        said = f"a command of {quote(sender)} with a lease that is void" if sender else "a command without a lease"
        held = f"{quote(self.holder)} holds the lease" if self.holder else "nobody holds the lease"
        raise CommandRefused(f"{said}; {held}", where="joint_commands", right="the lease that hand/arm returned")
