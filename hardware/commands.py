"""`knuckle fault`: make a virtual servo, or its bus, fail. A real hand has no socket to ask, and is spared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from knuckle.core.arguments import parse_options
from knuckle.core.errors import DeviceError, InputError
from knuckle.hardware.virtual.camera_control import camera_fault
from knuckle.hardware.virtual.camera_faults import CAMERA_FAULTS
from knuckle.hardware.virtual.control_socket import ask, default_socket
from knuckle.hardware.virtual.faults import KINDS, RIGHT, parse_fault, parse_script

WHERE = "knuckle fault"
CAMERA = "camera"
MAX_SCRIPT = 3_000


@dataclass(frozen=True)
class FaultOptions:
    """Make a servo of a running virtual hand, or its bus, fail: knuckle fault servo:11 silent --for 2s"""

    words: Annotated[
        tuple[str, ...],
        arg(metavar="TARGET KIND", help="servo:ID, bus or camera, and what befalls it; --list tells the kinds"),
        Positional,
    ] = ()
    lasting: Annotated[str, arg(name="for", help="how long, as 2s or 500ms; empty: until --clear")] = ""
    by: Annotated[str, arg(help="how much, in the unit that --list gives the kind")] = ""
    script: Annotated[
        str, arg(metavar="FILE", help="a file of faults, each line: at 1.0 s servo:11 silent for 2 s")
    ] = ""
    list: Annotated[bool, FlagCreatePairsOff, arg(help="say which kinds there are")] = False
    clear: Annotated[bool, FlagCreatePairsOff, arg(help="end every fault, and forget those to come")] = False
    status: Annotated[bool, FlagCreatePairsOff, arg(help="say how the virtual servos are")] = False
    socket: Annotated[str, arg(metavar="PATH", help="where the virtual bus listens; empty: where graphs put it")] = ""
    armed_for_faults: Annotated[
        bool,
        FlagCreatePairsOff,
        arg(help="go on where what answers does not call itself virtual: this may break a real hand"),
    ] = False


def fault(argv: list[str]) -> int:
    """Run the command; InputError for words that are no fault, DeviceError where no virtual bus answers."""
    options = parse_options(FaultOptions, argv, WHERE)
    asked = [bool(options.words), bool(options.script), options.list, options.clear, options.status]
    if sum(asked) != 1:
        raise InputError("one of: TARGET KIND, --script, --list, --clear, --status", where=WHERE, right=RIGHT)
    if (options.lasting or options.by) and not options.words:
        raise InputError("--for and --by belong to TARGET KIND", where=WHERE, right=RIGHT)
    if options.list:
        print(kinds())
        return 0
    if options.words and options.words[0].partition(":")[0] == CAMERA:
        print(camera_fault(options.words, options.lasting, Path(options.socket) if options.socket else None))
        return 0
    requests = _requests(options)
    path = Path(options.socket) if options.socket else default_socket()
    status = _virtual(path, armed=options.armed_for_faults)
    if options.status:
        print(described(status))
        return 0
    for request in requests:
        print(_said(ask(path, request), status))
    return 0


def kinds() -> str:
    """The kinds of faults, a line each."""
    lines = []
    for name, kind in KINDS.items():
        by = "" if kind.amount is None else f" [by {kind.amount[1]:g} to {kind.amount[2]:g} {kind.amount[3]}".rstrip()
        by += f", {kind.amount[0]:g} unless said]" if kind.amount is not None else ""
        lines.append(f"  {name:14}{kind.help}{by}; {' or '.join(kind.targets)}")
    lines += [f"  {name:14}{help}; {CAMERA}" for name, help in CAMERA_FAULTS.items()]
    return "\n".join(["usage: knuckle fault TARGET KIND [--by AMOUNT] [--for TIME]", "", *lines])


def described(status: dict[str, Any]) -> str:
    """The state of a bus, as lines."""
    lines = [f"{status['hand']}, {len(status['servos'])} virtual {status['model']} at {status['port']}"]
    for servo in status["servos"]:
        torque = "torque" if servo["torque"] else "limp"
        error = f", error {servo['error']:#04x}" if servo["error"] else ""
        watchdog = ", bus watchdog expired" if servo["bus_watchdog"] < 0 else ""
        at = f"at {servo['position']} of {servo['goal']}, {servo['temperature']} degC"
        lines.append(f"  servo {servo['id']:3}: {torque}, {at}{error}{watchdog}")
    lines.append(f"faults now: {', '.join(status['faults']) or 'none'}; {status['faults_injected']} so far")
    return "\n".join(lines)


def _requests(options: FaultOptions) -> list[str]:
    """What to ask the bus; wrong words are refused before anything is asked."""
    if options.words:
        text = " ".join(options.words)
        text += f" by {options.by}" if options.by else ""
        text += f" for {options.lasting}" if options.lasting else ""
        parse_fault(text, where=WHERE)
        return [f"fault {text}"]
    if options.script:
        return [f"script {_script(Path(options.script))}"]
    return ["clear"] if options.clear else []


def _script(path: Path) -> str:
    """A script's lines, checked, in one line."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_SCRIPT + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path), right="a file of faults") from None
    except UnicodeDecodeError:
        raise InputError("is no text", where=str(path), right="a file of faults") from None
    if len(text) > MAX_SCRIPT:
        raise InputError(f"is longer than {MAX_SCRIPT} characters", where=str(path), right="a shorter script")
    script = parse_script(text, where=str(path))
    if not script:
        raise InputError("holds no fault", where=str(path), right=f"lines: at TIME s {RIGHT}")
    return "; ".join(f"at {scripted.at_s!r} s {scripted.fault}" for scripted in script)


def _virtual(path: Path, *, armed: bool) -> dict[str, Any]:
    """The status of what answers at ``path``; DeviceError where nothing does, or something that is not virtual."""
    right = "faults are for virtual hands: start one (hand.port=virtual), or name its --socket"
    try:
        status = ask(path, "status")
    except DeviceError as error:
        raise DeviceError(error.what, where=error.where, right=right) from None
    if status.get("virtual") is not True and not armed:
        what = "what answers does not call itself virtual"
        raise DeviceError(what, where=str(path), right="a real hand is spared, unless --armed-for-faults")
    return status


def _said(answer: dict[str, Any], status: dict[str, Any]) -> str:
    what = f"{status.get('hand', 'hand')}: "
    if "began" in answer:
        return f"{what}{answer['began']}"
    return what + (f"{answer['faults']} faults to come" if "faults" in answer else f"{answer['cleared']} faults ended")
