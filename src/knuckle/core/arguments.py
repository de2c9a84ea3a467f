"""The arguments of a command, parsed by tyro into a configuration: help, ranges and units are those of its settings."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import typing
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from knuckle.core.config import FieldSpec, describe, validate
from knuckle.core.errors import InputError

T = TypeVar("T")


def parse_arguments(cls: type[T], argv: Sequence[str], command: str) -> T:
    """A validated ``cls``, a configuration dataclass, from the words after ``command`` (``"knuckle stream"``).

    Raises ConfigError for a value out of its range, InputError in one line for words that do not parse, and
    SystemExit(0) after ``--help``.
    """
    parsed = _parse(_described(cls), cls, argv, command)
    values = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(parsed)}
    return validate(cls(**values), where=command.removeprefix("knuckle "))


def parse_options(cls: type[T], argv: Sequence[str], command: str) -> T:
    """``cls``, any dataclass that tyro reads, from the words after ``command``; its help is in its docstrings.

    Raises InputError in one line for words that do not parse, and SystemExit(0) after ``--help``.
    """
    parsed: T = _parse(cls, cls, argv, command)
    return parsed


def _parse(shape: Any, cls: type, argv: Sequence[str], command: str) -> Any:
    """What tyro makes of ``shape``; its box of several lines becomes one line, which names options of ``cls``."""
    import tyro

    options = () if shape is cls else (tyro.conf.FlagCreatePairsOff,)
    seen = io.StringIO()
    try:
        with contextlib.redirect_stderr(seen):
            return tyro.cli(shape, args=list(argv), prog=command, config=options)
    except SystemExit as end:
        if not end.code:
            raise
        raise InputError(_complaint(seen.getvalue()), where=command, right=_hint(cls, argv, command)) from None


def _described(cls: type) -> Any:
    """``cls`` again, its fields annotated with the help that tyro prints."""
    import tyro

    hints = typing.get_type_hints(cls, include_extras=True)
    specs = {spec.name: spec for spec in describe(cls)}
    fields: list[tuple[str, Any, Any]] = []
    for field in dataclasses.fields(cls):
        note = tyro.conf.arg(help=_help(specs[field.name]))
        typed = Annotated[hints[field.name], note] if specs[field.name].help else hints[field.name]
        fields.append((field.name, typed, dataclasses.field(default=field.default)))
    described = dataclasses.make_dataclass(cls.__name__, fields, frozen=True)
    described.__doc__ = cls.__doc__
    return described


def _help(spec: FieldSpec) -> str:
    low = "" if spec.low is None else f"from {spec.low:g} "
    high = "" if spec.high is None else f"to {spec.high:g} "
    limits = " ".join(f"{low}{high}{spec.unit}".split()) or "|".join(spec.choices)
    return f"{spec.help} [{limits}]" if limits else spec.help


def _complaint(box: str) -> str:
    """What tyro says in its box, without the box, its title and its footnotes."""
    return " ".join(_inside(box)) or "these arguments cannot be read"


def _inside(box: str) -> Iterator[str]:
    lines = [line.strip("│| ") for line in box.splitlines()[1:]]
    if lines and _is_rule(lines[0]):  # without box drawing, a rule is below the title
        del lines[0]
    return (line.removesuffix(".") for line in itertools.takewhile(lambda line: not _is_rule(line), lines))


def _is_rule(line: str) -> bool:
    return not line.strip("─-╰╯")


def _hint(cls: type, argv: Sequence[str], command: str) -> str:
    """The option nearest to one that does not exist, and where all of them are listed."""
    options = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(cls)]
    given = [word.partition("=")[0].replace("_", "-") for word in argv if word.startswith("--")]
    for word in given:
        near = get_close_matches(word, options, n=1)
        if word not in options and near:
            return f"did you mean {near[0]}? {command} --help lists all"
    return f"{command} --help lists all"
