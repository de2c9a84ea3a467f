"""The one family of errors: each is a single line that says what is wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class KnuckleError(Exception):
    """Root of the family.

    ``what`` is wrong, ``where`` (a file, a topic, a dotted key), and what would be ``right``. The command line prints
    ``str(error)`` and exits with ``exit_code``: 2 where the input was bad, 1 where a run failed.
    """

    exit_code: int = 1

    def __init__(self, what: str, *, where: str = "", right: str = "") -> None:
        self.what, self.where, self.right = what, where, right
        line = f"{where}: {what}" if where else what
        super().__init__(" ".join((f"{line}; {right}" if right else line).split()))


class InputError(KnuckleError):
    """What the user gave cannot be used: a file, a value, a name."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration key is unknown, of the wrong type or outside its range; ``where`` is the dotted key."""


class RecordingError(InputError):
    """A recording is truncated, foreign, or lacks what it should hold."""


class CommandRefused(KnuckleError):
    """A command for the hand was not accepted (lease, names, age, state, NaN); nothing was written."""


class DeviceError(KnuckleError):
    """A hand, camera, port or renderer could not be opened or stopped answering."""


class BusError(KnuckleError):
    """The ROS bus cannot be used as asked: messages not built, no rclpy, a second copy on the domain."""


class RunError(KnuckleError):
    """A run that had started could not be finished."""


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: str = "") -> InputError:
    """The error for a name that is none of ``known``: it lists them all, and the nearest first."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return InputError(f"unknown {kind} '{name}'", where=where, right=f"{hint}known: {', '.join(names) or 'none'}")
