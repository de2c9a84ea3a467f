"""The family of errors: one line each, what, where and what would be right, and an exit code."""

from __future__ import annotations

import pytest

from knuckle.core import errors


def test_the_line_has_its_parts_in_order() -> None:
    error = errors.KnuckleError("is too long", where="a.mat", right="at most 1 GB")
    assert str(error) == "a.mat: is too long; at most 1 GB"
    assert (error.what, error.where, error.right) == ("is too long", "a.mat", "at most 1 GB")
    assert str(errors.KnuckleError("is too long")) == "is too long"


def test_it_is_one_line_whatever_it_is_given() -> None:
    assert str(errors.RunError("a\nb\t c\r\n", where="x", right="y\n\nz")) == "x: a b c ; y z"


@pytest.mark.parametrize("kind", [errors.InputError, errors.ConfigError, errors.RecordingError])
def test_bad_input_is_code_2(kind: type[errors.KnuckleError]) -> None:
    assert kind("x").exit_code == 2


@pytest.mark.parametrize("kind", [errors.BusError, errors.CommandRefused, errors.DeviceError, errors.RunError])
def test_a_failed_run_is_code_1(kind: type[errors.KnuckleError]) -> None:
    assert kind("x").exit_code == 1


def test_an_unknown_name_lists_those_known_and_the_nearest_first() -> None:
    error = errors.unknown_name("object", "hamer", ["letter_r", "hammer", "truck"], where="goal")
    assert str(error) == "goal: unknown object 'hamer'; did you mean 'hammer'? known: hammer, letter_r, truck"
    assert str(errors.unknown_name("object", "x", [])) == "unknown object 'x'; known: none"
