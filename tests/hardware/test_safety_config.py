"""The numbers of the safety layer are a promise: each default and each bound, written out a second time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from knuckle.core.config import describe
from knuckle.core.errors import ConfigError
from knuckle.hardware.safety.config import Config, checked

NUMBERS = {
    "step_scale": (1.05, 0.05, 2.0),
    "slew_scale": (1.25, 0.05, 2.0),
    "gain_scale": (1.25, 0.05, 4.0),
    "max_age_s": (0.25, 0.01, 1.0),
    "max_future_s": (0.02, 0.0, 0.1),
    "max_validity_s": (0.2, 0.01, 1.0),
    "silence_s": (0.24, 0.01, 1.0),
    "ramp_s": (0.06, 0.01, 0.2),
    "first_command_s": (2.0, 0.05, 30.0),
    "state_age_s": (0.1, 0.005, 1.0),
    "bad_cycles": (2, 0, 10),
    "outside_rad": (0.5, 0.0, 3.2),
    "warm_c": (60.0, 30.0, 90.0),
    "hot_c": (70.0, 31.0, 95.0),
    "floor": (0.4, 0.05, 1.0),
    "strain": (0.9, 0.1, 1.0),
    "excess": (0.25, 0.05, 1.0),
    "strain_s": (1.0, 0.1, 30.0),
    "miss_window_s": (10.0, 1.0, 600.0),
    "miss_share": (0.01, 0.0, 1.0),
}


def test_every_default_and_every_bound_is_what_was_promised():
    assert {spec.name: (spec.default, spec.low, spec.high) for spec in describe(Config)} == NUMBERS
    assert Config().__dict__ == {name: numbers[0] for name, numbers in NUMBERS.items()}


def test_a_configuration_cannot_be_changed_after_it_was_checked():
    config = checked(Config())
    with pytest.raises(AttributeError):
        config.step_scale = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"warm_c": 70.0}, r"safety\.warm_c: 70 is not below hot_c; < 70"),
        ({"warm_c": 75.0}, r"safety\.warm_c: 75 is not below hot_c; < 70"),
        ({"ramp_s": 0.2, "silence_s": 0.2}, r"safety\.ramp_s: 0\.2 is not below silence_s; < 0\.2"),
        ({"ramp_s": 0.2, "silence_s": 0.1}, r"safety\.ramp_s: 0\.2 is not below silence_s; < 0\.1"),
        ({"floor": 0.0}, r"safety\.floor"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_name(change, said):
    with pytest.raises(ConfigError, match=said):
        checked(replace(Config(), **change))


def test_settings_that_just_agree_are_taken():
    config = replace(Config(), warm_c=69.9, ramp_s=0.19, silence_s=0.2)
    assert checked(config) is config
