"""The full definition of a message type as text (ros2msg: the type's own file, then that of every type it holds)."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

from knuckle.core.errors import BusError

_PRIMITIVE = re.compile(r"(bool|byte|char|w?string|float(32|64)|u?int(8|16|32|64))\Z")
_FIELD = re.compile(r"^\s*([A-Za-z]\w*(?:/\w+)*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*")
_LINE = "=" * 80


@cache
def message_text(type_name: str) -> str:
    """The definition of ``type_name`` (pkg/msg/Name) with all it depends on; BusError where a file is not installed."""
    parts, seen, waiting = [_own_text(type_name)], {type_name}, _held_types(type_name)
    while waiting:
        held = waiting.pop(0)
        if held in seen:
            continue
        seen.add(held)
        package, _, name = held.split("/")
        parts.append(f"{_LINE}\nMSG: {package}/{name}\n{_own_text(held)}")
        waiting += _held_types(held)
    return "\n".join(parts)


def _own_text(type_name: str) -> str:
    """The text of the type's own file, which lies in the share folder of the prefix its Python package is under."""
    right = "a message type whose package is installed (ours: `knuckle setup`)"
    problem = BusError(f"no definition of {type_name}", where="recorder", right=right)
    if type_name.count("/") != 2:
        raise problem
    package, kind, name = type_name.split("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise problem
    for prefix in Path(spec.origin).parents:
        path = prefix / "share" / package / kind / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise problem


def _held_types(type_name: str) -> list[str]:
    """The types of a definition's fields that are messages themselves, in order."""
    package, held = type_name.split("/")[0], []
    for line in _own_text(type_name).splitlines():
        match = _FIELD.match(line.split("#")[0])
        if match is None or _PRIMITIVE.match(match[1]):
            continue
        parts = match[1].split("/")
        held.append(f"{package if len(parts) == 1 else parts[0]}/msg/{parts[-1]}")
    return held
