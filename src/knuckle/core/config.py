"""Configuration: frozen flat dataclasses whose fields carry a range, a unit and one line of help.

The same dataclass is parsed by tyro, declared as ROS parameters and saved in a card, so its bounds are written once.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from knuckle.core.errors import ConfigError, InputError

T = TypeVar("T")

_META = "knuckle"


@dataclass(frozen=True)
class FieldSpec:
    """What is known of one configuration field: name, Python type, default, inclusive bounds, unit, help, choices."""

    name: str
    type: type
    default: Any
    low: float | None
    high: float | None
    unit: str
    help: str
    choices: tuple[str, ...]


def setting(
    default: T,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
) -> T:
    """A dataclass field with inclusive bounds ``low`` and ``high``, a ``unit`` and one line of ``help``."""
    meta = {"low": low, "high": high, "unit": unit, "help": help, "choices": choices}
    field: T = dataclasses.field(default=default, metadata={_META: meta})
    return field


def describe(cls: type) -> tuple[FieldSpec, ...]:
    """The fields of a configuration dataclass, in order."""
    hints = typing.get_type_hints(cls)
    specs = []
    for field in dataclasses.fields(cls):
        meta = field.metadata.get(_META, {})
        specs.append(
            FieldSpec(
                name=field.name,
                type=hints[field.name],
                default=field.default,
                low=meta.get("low"),
                high=meta.get("high"),
                unit=meta.get("unit", ""),
                help=meta.get("help", ""),
                choices=tuple(meta.get("choices", ())),
            )
        )
    return tuple(specs)


def check_value(spec: FieldSpec, value: Any, *, where: str) -> Any:
    """``value`` as the field's type, or ConfigError naming the key, the range and the unit."""
    wanted = spec.type
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1023 else math.inf
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ConfigError(f"{value!r} is not of type {wanted.__name__}", where=where, right=spec.help)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{value!r} is not finite", where=where, right=_range_text(spec))
    number: Any = value
    if (spec.low is not None and number < spec.low) or (spec.high is not None and number > spec.high):
        raise ConfigError(f"{value!r} is out of range", where=where, right=_range_text(spec))
    if spec.choices and value not in spec.choices:
        raise ConfigError(f"{value!r} is not a choice", where=where, right=f"one of: {', '.join(spec.choices)}")
    return value


def validate(config: T, *, where: str = "") -> T:
    """``config`` itself when every field is of its type and in its range; ConfigError otherwise."""
    for spec in describe(type(config)):
        key = f"{where}.{spec.name}" if where else spec.name
        check_value(spec, getattr(config, spec.name), where=key)
    return config


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, where: str = "") -> T:
    """A validated ``cls`` from plain values. Unknown keys are refused and the nearest known one is named."""
    specs = {spec.name: spec for spec in describe(cls)}
    values = {}
    for name, value in mapping.items():
        key = f"{where}.{name}" if where else str(name)
        if name not in specs:
            near = get_close_matches(str(name), specs, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise ConfigError("unknown key", where=key, right=f"{hint}known: {', '.join(sorted(specs))}")
        values[name] = check_value(specs[name], value, where=key)
    return cls(**values)


def parse_text(spec: FieldSpec, text: str, *, where: str) -> Any:
    """The value of ``--set key=text`` for a field: text to bool, int, float or str, then checked."""
    try:
        value: Any = {"true": True, "false": False}[text.lower()] if spec.type is bool else spec.type(text)
    except (ValueError, KeyError):
        raise ConfigError(f"'{text}' is not of type {spec.type.__name__}", where=where, right=spec.help) from None
    return check_value(spec, value, where=where)


def parse_pairs(text: str, *, where: str) -> dict[str, str]:
    """``a=1,b=2``, as an option of a command takes it, as a mapping; InputError where it is none."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise InputError(f"'{name}{equals}{value}'", where=where, right="name=value, separated by commas")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _range_text(spec: FieldSpec) -> str:
    low = "-inf" if spec.low is None else f"{spec.low:g}"
    high = "inf" if spec.high is None else f"{spec.high:g}"
    return f"{low} to {high} {spec.unit}".rstrip()
