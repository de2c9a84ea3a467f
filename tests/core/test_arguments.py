"""A command's words: the help it gives, the configuration it makes, and one line for what it cannot read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
from tyro.conf import Positional, arg

from knuckle.core.arguments import parse_arguments, parse_options
from knuckle.core.config import setting
from knuckle.core.errors import ConfigError, InputError


@dataclass(frozen=True)
class Config:
    """Do something to a file."""

    file: Annotated[str, arg(metavar="FILE", help="what to do it to"), Positional]
    loud: bool = setting(False, "say so")
    repeat_count: int = setting(1, "how often", low=1, high=9, unit="times")
    colour: str = setting("red", "which colour", choices=("red", "blue"))


def parse(*words: str) -> Config:
    return parse_arguments(Config, words, "knuckle paint")


def test_words_become_a_configuration_of_the_class_itself():
    assert parse("a.txt") == Config("a.txt")
    assert parse("--repeat-count", "3", "a.txt", "--loud", "--colour=blue") == Config("a.txt", True, 3, "blue")


def test_help_shows_each_setting_with_its_range_unit_and_choices(capsys):
    with pytest.raises(SystemExit) as end:
        parse("--help")
    out, err = capsys.readouterr()
    text = " ".join(out.replace("│", " ").split())
    assert (end.value.code, err) == (0, "")
    assert "Do something to a file." in text
    assert "FILE" in text
    assert "how often [from 1 to 9 times]" in text
    assert "which colour [red|blue]" in text
    assert "--no-loud" not in text


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["a.txt", "--repeat-cout", "3"], "did you mean --repeat-count?"),
        (["a.txt", "--repeat-count", "many"], "'many'"),
        (["a.txt", "--repeat-count"], "--repeat-count"),
        (["a.txt", "b.txt"], "b.txt"),
        ([], "FILE"),
    ],
)
def test_words_that_do_not_parse_are_one_line_and_nothing_is_printed(capsys, words, what):
    with pytest.raises(InputError) as caught:
        parse(*words)
    line = str(caught.value)
    assert line.startswith("knuckle paint: ")
    assert what in line
    assert "knuckle paint --help lists all" in line
    assert not set("│╭╰─\n") & set(line)
    assert capsys.readouterr() == ("", "")


def test_a_value_out_of_range_is_named_with_its_range():
    with pytest.raises(ConfigError, match=r"paint\.repeat_count: 10 is out of range; 1 to 9 times"):
        parse("a.txt", "--repeat-count", "10")
    with pytest.raises(ConfigError, match=r"paint\.colour: 'green' is not a choice"):
        parse("a.txt", "--colour", "green")


@dataclass(frozen=True)
class Plain:
    """Options whose help is in docstrings."""

    set: tuple[str, ...] = ()
    """Given again and again."""
    seconds: float = 0.0
    """How long."""


def test_options_without_settings_are_refused_in_one_line_too(capsys):
    assert parse_options(Plain, ["--seconds", "2"], "knuckle go") == Plain(seconds=2.0)
    for words, what in ((["--secnds", "3"], "did you mean --seconds?"), (["--seconds", "abc"], "'abc'")):
        with pytest.raises(InputError) as caught:
            parse_options(Plain, words, "knuckle go")
        assert what in str(caught.value)
        assert not set("│╭╰─\n") & set(str(caught.value))
    assert capsys.readouterr() == ("", "")
    with pytest.raises(SystemExit):
        parse_options(Plain, ["--help"], "knuckle go")
    assert "How long." in capsys.readouterr().out
