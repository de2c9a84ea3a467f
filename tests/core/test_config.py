"""Configuration: types and ranges are held wherever a value comes from, and the message names the key."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.config import describe, from_mapping, parse_text, setting, validate
from knuckle.core.errors import ConfigError


@dataclass(frozen=True)
class Planner:
    rate: float = setting(12.0, "steps a second", low=1.0, high=60.0, unit="Hz")
    samples: int = setting(40, "rollouts a plan", low=1)
    shuffle: bool = setting(False, "draw the order anew")
    world: str = setting("table", "where the object is", choices=("table", "air"))


SPECS = {spec.name: spec for spec in describe(Planner)}


def test_the_defaults_are_valid_and_described() -> None:
    assert validate(Planner()) == Planner()
    rate = SPECS["rate"]
    assert (rate.type, rate.default, rate.low, rate.high, rate.unit) == (float, 12.0, 1.0, 60.0, "Hz")
    assert list(SPECS) == ["rate", "samples", "shuffle", "world"]


@given(st.floats(1.0, 60.0))
def test_a_value_in_range_is_kept_to_the_last_bit_from_text_too(value: float) -> None:
    assert from_mapping(Planner, {"rate": value}).rate == value
    assert parse_text(SPECS["rate"], repr(value), where="rate") == value


@given(
    st.one_of(
        st.floats(max_value=1.0, exclude_max=True), st.floats(min_value=60.0, exclude_min=True), st.just(float("nan"))
    )
)
def test_a_value_outside_is_refused_from_everywhere(value: float) -> None:
    for attempt in (
        lambda: from_mapping(Planner, {"rate": value}),
        lambda: validate(Planner(rate=value)),
        lambda: parse_text(SPECS["rate"], repr(value), where="rate"),
    ):
        with pytest.raises(ConfigError, match=r"rate: .*1 to 60 Hz"):
            attempt()


def test_a_whole_number_is_a_float_where_one_is_wanted_but_not_the_reverse() -> None:
    config = from_mapping(Planner, {"rate": 30})
    assert config.rate == 30.0 and isinstance(config.rate, float)
    with pytest.raises(ConfigError, match="samples: 4.0 is not of type int"):
        from_mapping(Planner, {"samples": 4.0})


@pytest.mark.parametrize("values", [{"rate": True}, {"samples": True}, {"rate": "12"}, {"shuffle": 1}, {"world": None}])
def test_a_value_of_another_type_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="is not of type"):
        from_mapping(Planner, values)


def test_what_yaml_may_hold_beside_is_refused_too() -> None:
    with pytest.raises(ConfigError, match="rate: inf is not finite"):
        from_mapping(Planner, {"rate": 10**400})
    with pytest.raises(ConfigError, match="3: unknown key"):
        from_mapping(Planner, {3: 1})  # type: ignore[dict-item]


def test_a_choice_is_one_of_those_listed() -> None:
    assert from_mapping(Planner, {"world": "air"}).world == "air"
    with pytest.raises(ConfigError, match="policy.world: 'space' is not a choice; one of: table, air"):
        from_mapping(Planner, {"world": "space"}, where="policy")


def test_a_misspelt_key_is_named_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"policy.sampels: unknown key; did you mean 'samples'\? known: rate, samples"
    ):
        from_mapping(Planner, {"sampels": 4}, where="policy")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [("samples", "7", 7), ("shuffle", "TRUE", True), ("shuffle", "false", False), ("world", "air", "air")],
)
def test_text_becomes_the_field_s_type(key: str, text: str, value: object) -> None:
    got = parse_text(SPECS[key], text, where=key)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("key", "text"), [("samples", "4.5"), ("samples", ""), ("shuffle", "yes"), ("rate", "fast"), ("rate", "inf")]
)
def test_text_that_is_no_value_is_refused(key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: "):
        parse_text(SPECS[key], text, where=key)
