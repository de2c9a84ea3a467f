"""A foresight in whole numbers: the file says what numpy does, close to single precision, and no sum overflows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from knuckle.policy.learned.contact_features import ContactFeatures
from knuckle.policy.learned.foresight import FORESIGHT, open_foresight
from knuckle.policy.learned.foresight_export import rounded_by
from knuckle.policy.learned.foresight_graph import (
    WHOLE,
    ForesightWeights,
    foresight_graph,
    reading,
    whole_weights,
)
from knuckle.policy.learned.policy_card import read_card
from knuckle.policy.learned.quick_elu import quick_elu
from tests.policy.test_foresight import HAND, LOOKED_AT, SHAPE, deployed, some_chunks, states, unlearned

Array = np.ndarray


def told(n: int = 30) -> tuple[Array, Array]:
    scene = states(n)
    seen = ContactFeatures(HAND, SHAPE, LOOKED_AT)(scene, some_chunks(scene, 7))
    return seen[0].astype(np.float32), seen[1].astype(np.float32)


def said_by(path: Path, weights: ForesightWeights, fingers: Array, chunks: Array) -> Array:
    path.write_bytes(foresight_graph(weights))
    session = open_foresight(path, weights.looked_at, weights.steps)
    names = [port.name for port in session.get_inputs()]
    return np.stack(
        [session.run(None, dict(zip(names, row, strict=True)))[0] for row in zip(fingers, chunks, strict=True)]
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_file_in_whole_numbers_says_what_numpy_does_and_is_smaller(tmp_path: Path, mirrored: bool) -> None:
    weights, (fingers, chunks) = unlearned(mirrored=mirrored), told()
    whole = weights.in_whole_numbers(fingers, chunks)
    assert whole.ranges is not None and set(whole.ranges) == set(WHOLE)
    said, ours = said_by(tmp_path / FORESIGHT, whole, fingers, chunks), whole.moved(fingers, chunks)
    # A number in the middle between two whole ones may go to either.
    assert np.quantile(np.abs(said - ours), 0.9) < 1e-5 and np.abs(said - ours).max() < 5e-3 * np.abs(ours).max()
    single = said_by(tmp_path / FORESIGHT, weights, fingers, chunks)
    assert np.abs(said - single).max() > 1e-6
    assert rounded_by(whole, weights, (fingers, chunks)) < 0.05
    assert len(foresight_graph(whole)) < len(foresight_graph(weights))


def test_what_a_chunk_is_foretold_in_whole_numbers_does_not_depend_on_the_others(tmp_path: Path) -> None:
    fingers, chunks = told(1)
    whole = unlearned(mirrored=True).in_whole_numbers(fingers, chunks)
    together = said_by(tmp_path / FORESIGHT, whole, fingers, chunks)[0]
    alone = [said_by(tmp_path / FORESIGHT, whole, fingers, chunks[:, k : k + 1])[0, 0] for k in range(7)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_range_that_was_noted_holds_what_is_read_and_only_those_layers_change() -> None:
    weights, (fingers, chunks) = unlearned(), told()
    noted = weights.in_whole_numbers(fingers, chunks).ranges
    again = weights.in_whole_numbers(fingers[:5], chunks[:5]).ranges
    assert noted is not None and again is not None
    for name in WHOLE:
        assert noted[name][0] <= again[name][0] <= 0.0 <= again[name][1] <= noted[name][1]
    assert replace(weights.in_whole_numbers(fingers, chunks), ranges=None).arrays is weights.arrays


@given(low=st.floats(-30.0, 0.0), high=st.floats(0.01, 30.0), rows=st.lists(st.floats(-100.0, 100.0), min_size=1))
def test_numbers_are_read_to_half_a_step_and_cut_at_their_range(low: float, high: float, rows: list[float]) -> None:
    read, given_rows = reading(low, high), np.array(rows, dtype=np.float32)
    back = read(given_rows) * read.step
    inside = (given_rows > low + read.step) & (given_rows < high - read.step)
    assert (np.abs(back - given_rows)[inside] <= 0.51 * read.step + 1e-6).all()
    assert back.min() >= low - read.step and back.max() <= high + read.step
    assert reading(low, high)(np.zeros(1))[0] == 0.0


@given(seed=st.integers(0, 1000))
def test_no_two_products_are_more_than_sixteen_bits_hold(seed: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((5, 9)).astype(np.float32)
    whole = whole_weights(weight)
    assert np.abs(whole.numbers).max() * 255 * 2 < 2**15
    np.testing.assert_allclose(whole.numbers * whole.steps[:, None], weight, atol=0.51 * whole.steps.max())
    assert whole_weights(np.zeros((2, 3))).numbers.max() == 0.0


def test_a_policy_says_in_its_card_how_much_was_rounded_away(tmp_path: Path) -> None:
    parity = read_card(deployed(tmp_path / "whole", whole_numbers=True), HAND).config["foresight"]["parity"]
    assert 0.0 < parity["rounded_by"] < 0.05
    assert read_card(deployed(tmp_path / "single"), HAND).config["foresight"]["parity"]["rounded_by"] == 0.0


def test_the_quick_elu_is_elu_for_any_number() -> None:
    nodes: list[Any] = []

    def add(kind: str, inputs: list[str], output: str) -> str:
        nodes.append(helper.make_node(kind, inputs, [output]))
        return output

    end = quick_elu(add, "x")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", end)]
    one = numpy_helper.from_array(np.float32(1.0), "one")
    graph = helper.make_graph(nodes, "elu", ports[:1], ports[1:], [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    rows = np.array([-1e30, -200.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 100.0, 1e30], dtype=np.float32)
    (said,) = InferenceSession(model.SerializeToString()).run(None, {"x": rows})
    np.testing.assert_allclose(said, np.where(rows > 0, rows, np.expm1(np.minimum(rows, 0.0))), atol=1e-6)
