"""Cards: what is saved is loaded again, and whatever is not a whole card of this version is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knuckle.core import cards
from knuckle.core.cards import Card, Entry
from knuckle.core.errors import InputError

CARD = Card(
    name="vqf",
    config={"tau_acc": 3.0},
    observations=(Entry("gyr", (3,), "rad/s"),),
    actions=(Entry("orientation", (4,), "1"),),
    rate_hz=285.7,
    data="BROAD",
    licence="CC BY 4.0",
    normaliser={"gyr": ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])},
    scores={"broad": {"rmse_total_deg": 2.4}},
)


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    cards.save(CARD, tmp_path / "a.json")
    assert cards.load(tmp_path / "a.json") == CARD
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_weights_must_be_those_of_the_card(tmp_path: Path) -> None:
    weights = tmp_path / "a.safetensors"
    weights.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert cards.file_sha256(weights) == known
    cards.save(Card(**{**vars(CARD), "sha256": known}), tmp_path / "a.json")
    cards.load(tmp_path / "a.json", weights=weights)
    weights.write_bytes(b"abd")
    with pytest.raises(InputError, match=r"a\.safetensors: the weights do not match"):
        cards.load(tmp_path / "a.json", weights=weights)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    cards.save(CARD, tmp_path / "a.json")
    with pytest.raises(InputError, match=r"gone\.safetensors: the file cannot be read"):
        cards.load(tmp_path / "a.json", weights=tmp_path / "gone.safetensors")


def _raw(tmp_path: Path) -> dict[str, Any]:
    cards.save(CARD, tmp_path / "a.json")
    loaded: dict[str, Any] = json.loads((tmp_path / "a.json").read_text())
    return loaded


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2 is not 1"),
        ({"schema": None}, "schema None is not 1"),
        ({"weights": "x"}, r"unknown keys \['weights'\]"),
        ({"observations": [{"name": "gyr"}]}, "incomplete"),
        ({"observations": 3}, "incomplete"),
        ({"normaliser": {"gyr": [1]}}, "incomplete"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "b.json").write_text(json.dumps({**_raw(tmp_path), **change}))
    with pytest.raises(InputError, match=said):
        cards.load(tmp_path / "b.json")


@pytest.mark.parametrize("key", ["name", "config", "actions", "rate_hz", "licence"])
def test_a_missing_field_is_refused(tmp_path: Path, key: str) -> None:
    raw = _raw(tmp_path)
    del raw[key]
    (tmp_path / "b.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=key):
        cards.load(tmp_path / "b.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.json: "):
        cards.load(tmp_path / "b.json")


def test_a_file_too_large_for_a_card_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b" " * (cards.MAX_CARD_BYTES + 1))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        cards.load(tmp_path / "b.json")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: the card cannot be read"):
        cards.load(tmp_path / "gone.json")
