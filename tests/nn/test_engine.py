"""The streaming engine against torch's own step and forward, in C++ on every instruction set and in numpy."""

from __future__ import annotations

import dataclasses
import itertools
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from knuckle.core.errors import InputError
from knuckle.nn import kernels
from knuckle.nn.engine import Program, StreamingEngine, load_program
from knuckle.nn.engine.builder import Builder
from knuckle.nn.engine.compile import compile_hierarchy, compile_stack
from knuckle.nn.engine.numpy_run import NumpyRun
from knuckle.nn.mamba2 import Mamba2
from knuckle.nn.stack import make_stack

FAMILIES: dict[str, list[dict[str, Any]]] = {
    "mamba": [{}, {"d_state": 3, "d_conv": 2, "expand": 1.5}, {"d_conv": 1, "dt_rank": 5}],
    "mamba2": [{"d_state": 8, "headdim": 16}, {"d_state": 5, "headdim": 6, "ngroups": 2, "d_conv": 2}],
    "s4": [{"d_state": 6}, {}],
    "s4d": [{"d_state": 6}, {}],
    "lstm": [{}],
    "gru": [{}],
    "transformer": [{"heads": 2, "context": 7}],
}
CASES = [(family, options) for family, many in FAMILIES.items() for options in many]
RUNS = [("numpy", ""), *(("cpp", name) for name in kernels.available())]


def stack(family: str, width: int = 24, layers: int = 2, seed: int = 0, **options: Any) -> Any:
    """A stack in which no parameter is left at a value that would hide it."""
    torch.manual_seed(seed)
    made = make_stack(family, width, layers, **options).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


class Level(nn.Module):
    """A level of a hierarchy."""

    def __init__(self, inputs: int, outputs: int, blocks: Any) -> None:
        super().__init__()
        self.embed, self.blocks = nn.Linear(inputs, blocks.width), blocks
        self.decode = nn.Linear(blocks.width, outputs)

    def forward(self, x: Any) -> Any:
        return self.decode(self.blocks(self.embed(x)))


OPTIONS = {"mamba2": {"d_state": 4, "headdim": 8}, "s4": {"d_state": 4}, "s4d": {"d_state": 4}}


def hierarchy(low: str, high: str) -> tuple[Level, Level]:
    lower = stack(low, 16, 2, **OPTIONS.get(low, {}))
    return Level(3, 6, lower), Level(6, 2, stack(high, 20, 1, seed=1, **OPTIONS.get(high, {})))


def samples(length: int, width: int) -> Any:
    return np.random.default_rng(0).normal(size=(length, width)).astype(np.float32)


@torch.no_grad()
def offline(low: Level, high: Level, x: Any, chunk: int) -> Any:
    """The hierarchy over a whole sequence, as its paper writes it."""
    chunks = torch.from_numpy(x).reshape(-1, chunk, x.shape[1])
    return high(low(chunks)[:, -1][None])[0].numpy()


@pytest.mark.parametrize(("family", "options"), CASES)
@pytest.mark.parametrize(("backend", "instructions"), RUNS)
def test_a_stack_gives_what_torch_gives_step_by_step_and_at_once(
    family: str, options: dict[str, Any], backend: str, instructions: str
) -> None:
    made, x = stack(family, **options), samples(30, 24)
    engine = StreamingEngine(compile_stack(made), backend=backend, instructions=instructions)
    state = made.initial_state()
    with torch.no_grad():
        whole = made(torch.from_numpy(x)[None])[0].numpy()
        for t, sample in enumerate(x):
            y, state = made.step(torch.from_numpy(sample)[None], state)
            got = engine.step(sample)
            assert got is not None
            np.testing.assert_allclose(got, y[0].numpy(), atol=1e-5)
            np.testing.assert_allclose(got, whole[t], atol=1e-5)
    engine.reset()
    again, made_at = engine.run(x)
    assert made_at.all()
    np.testing.assert_allclose(again, whole, atol=1e-5)


MAMBA2 = {"d_state": 4, "headdim": 4, "ngroups": 3}


@pytest.mark.parametrize(
    "options", [{"d_ssm": 36}, {"rmsnorm": False}, {"norm_before_gate": True}, {"bias": True, "conv_bias": False}]
)
@pytest.mark.parametrize(("backend", "instructions"), RUNS)
def test_each_form_of_mamba_2_is_known(options: dict[str, Any], backend: str, instructions: str) -> None:
    made, x = stack("gru", layers=1), samples(12, 24)
    made.blocks[0].layer = Mamba2(24, **MAMBA2, **options).eval()
    got, _ = StreamingEngine(compile_stack(made), backend=backend, instructions=instructions).run(x)
    with torch.no_grad():
        np.testing.assert_allclose(got, made(torch.from_numpy(x)[None])[0].numpy(), atol=1e-5)


def test_a_mamba_2_that_the_engine_does_not_know_is_refused() -> None:
    made = stack("gru", layers=1)
    for options in ({"dt_limit": (0.0, 0.1)}, {"D_has_hdim": True}):
        made.blocks[0].layer = Mamba2(24, **MAMBA2, **options)
        with pytest.raises(InputError, match="a Mamba2 without either"):
            compile_stack(made)


@pytest.mark.parametrize("width", [5, 16, 34, 64, 66, 130])
@pytest.mark.parametrize(("backend", "instructions"), RUNS)
def test_any_width_fits_the_vectors(width: int, backend: str, instructions: str) -> None:
    for family in ("mamba", "lstm", "gru"):
        made, x = stack(family, width, 1), samples(5, 3)
        embed, decode = nn.Linear(3, width), nn.Linear(width, 5)
        program = compile_stack(made, embed=embed, decode=decode)
        got, _ = StreamingEngine(program, backend=backend, instructions=instructions).run(x)
        with torch.no_grad():
            want = decode(made(embed(torch.from_numpy(x)[None])))[0].numpy()
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [("mamba", "s4"), ("s4d", "gru"), ("transformer", "mamba2")])
@pytest.mark.parametrize(("backend", "instructions"), RUNS)
def test_a_hierarchy_answers_at_the_end_of_each_chunk(low: str, high: str, backend: str, instructions: str) -> None:
    levels, x = hierarchy(low, high), samples(40, 3)
    engine = StreamingEngine(compile_hierarchy(*levels, 10), backend=backend, instructions=instructions)
    got, made = engine.run(x)
    assert np.flatnonzero(made).tolist() == [9, 19, 29, 39]
    assert np.isnan(got[~made]).all()
    np.testing.assert_allclose(got[made], offline(*levels, x, 10), atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [("mamba", "s4"), ("s4d", "gru"), ("transformer", "mamba2")])
@pytest.mark.parametrize(("backend", "instructions"), RUNS)
def test_a_staggered_hierarchy_answers_at_every_sample_as_if_a_chunk_ended_there(
    low: str, high: str, backend: str, instructions: str
) -> None:
    levels, x, chunk = hierarchy(low, high), samples(19, 3), 4
    program = compile_hierarchy(*levels, chunk, staggered=True)
    got, made = StreamingEngine(program, backend=backend, instructions=instructions).run(x)
    assert not made[: chunk - 1].any()
    assert made[chunk - 1 :].all()
    for phase in range(chunk):
        length = (len(x) - phase) // chunk * chunk
        want = offline(*levels, x[phase : phase + length], chunk)
        np.testing.assert_allclose(got[phase + chunk - 1 :: chunk][: len(want)], want, atol=1e-5)


@pytest.mark.parametrize(("backend", "instructions"), RUNS)
@pytest.mark.parametrize("staggered", [False, True])
def test_a_saved_state_goes_on_with_the_same_bits(backend: str, instructions: str, staggered: bool) -> None:
    program, x = compile_hierarchy(*hierarchy("transformer", "mamba"), 4, staggered=staggered), samples(30, 3)
    engine = StreamingEngine(program, backend=backend, instructions=instructions)
    engine.run(x[:13])
    saved = engine.state()
    want, _ = engine.run(x[13:])
    other = StreamingEngine(program, backend=backend, instructions=instructions)
    other.restore(saved)
    got, _ = other.run(x[13:])
    assert got.tobytes() == want.tobytes()
    assert other.state().tobytes() == engine.state().tobytes()
    engine.reset()
    assert (
        engine.run(x)[0].tobytes()
        == StreamingEngine(program, backend=backend, instructions=instructions).run(x)[0].tobytes()
    )


@pytest.mark.parametrize("backend", sorted({backend for backend, _ in RUNS}))
def test_streams_in_a_batch_do_not_meet(backend: str) -> None:
    program = compile_hierarchy(*hierarchy("mamba", "lstm"), 3)
    x = samples(3 * 8, 3).reshape(3, 8, 3)
    x[:, 2:, 1] += np.arange(3, dtype=np.float32)[:, None]
    states = np.stack([StreamingEngine(program, backend=backend).state()] * 3)
    engine = StreamingEngine(program, backend=backend)
    before = engine.state()
    batched = [engine.step_batch(x[:, t], states)[0] for t in range(8)]
    assert np.array_equal(engine.state(), before)
    for i in range(3):
        alone, _ = StreamingEngine(program, backend=backend).run(x[i])
        assert np.array_equal(np.stack(batched)[:, i], alone, equal_nan=True)


def test_numpy_in_float64_is_the_float64_stack() -> None:
    made, x = stack("mamba").double(), samples(20, 24).astype(np.float64)
    program = compile_stack(made)
    run, state = NumpyRun(program, np.float64), np.zeros(program.state)
    got = [run(state, sample) for sample in x]
    with torch.no_grad():
        want = made(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(np.stack([y for y in got if y is not None]), want, atol=2e-6)  # weights are float32


def test_a_long_stream_of_a_hierarchy_keeps_its_count() -> None:
    levels, x = hierarchy("gru", "gru"), samples(2000, 3)
    got, made = StreamingEngine(compile_hierarchy(*levels, 10)).run(x)
    assert made.sum() == 200
    np.testing.assert_allclose(got[made], offline(*levels, x, 10), atol=1e-5)


@pytest.mark.skipif(platform.machine() != "x86_64" or bool(kernels.missing()), reason="not on this processor")
@pytest.mark.parametrize("instructions", kernels.available())
def test_a_state_that_fades_ends_before_the_slow_numbers(instructions: str) -> None:
    build = Builder(16)
    f, one = np.full((1, 16), -0.5), np.ones((1, 16))
    w0 = build.weights(np.concatenate([f, 0 * one, one, 0 * one]))
    y = build.unary("modes", build.input, m=1, w0=w0, w1=build.weights(one), w2=-1, state=build.state(2, 1, 16))
    engine = StreamingEngine(build.program(y), backend="cpp", instructions=instructions)
    x = np.zeros((140, 16), np.float32)
    x[0] = 1.0
    engine.run(x[:100])
    assert engine.state()[0] == np.float32(0.5**99)
    engine.run(x[100:])
    least = np.full(1, np.finfo(np.float32).tiny)
    assert engine.state().max() <= least[0]
    assert not ((engine.state() > 0) & (engine.state() < least[0])).any()
    assert (least / 2)[0] > 0  # outside, arithmetic is as it was


def test_a_program_is_saved_and_runs_without_torch(tmp_path: Path) -> None:
    program, x = compile_hierarchy(*hierarchy("mamba", "lstm"), 5), samples(20, 3)
    program.save(tmp_path / "hiss.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["hiss.safetensors"]
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from knuckle.nn.engine import StreamingEngine, load_program\n"
        "engine = StreamingEngine(load_program(Path('hiss.safetensors')))\n"
        "np.save('y.npy', engine.run(np.load('x.npy'))[0])\nsys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    assert np.array_equal(np.load(tmp_path / "y.npy"), StreamingEngine(program).run(x)[0], equal_nan=True)


def test_without_the_kernels_the_engine_runs_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    program = compile_stack(stack("gru"))
    monkeypatch.setenv("KNUCKLE_INSTRUCTION_SET", "none")
    engine = StreamingEngine(program)
    assert engine.backend == "numpy"
    assert engine.step(samples(1, 24)[0]) is not None
    with pytest.raises(InputError, match="the C\\+\\+ kernels cannot run"):
        StreamingEngine(program, backend="cpp")


@pytest.fixture(scope="module")
def engine() -> StreamingEngine:
    return StreamingEngine(compile_hierarchy(*hierarchy("transformer", "mamba"), 4))


def test_a_sample_of_another_shape_is_refused(engine: StreamingEngine) -> None:
    with pytest.raises(InputError, match=r"the sample has shape \(4,\); \(3,\)"):
        engine.step(np.zeros(4, np.float32))
    with pytest.raises(InputError, match=r"the samples have shape \(3,\); \(L, 3\)"):
        engine.run(np.zeros(3, np.float32))
    with pytest.raises(InputError, match=r"2 samples and states \(3, 7\)"):
        engine.step_batch(np.zeros((2, 3), np.float32), np.zeros((3, 7), np.float32))


def test_a_state_that_does_not_fit_is_refused_and_nothing_is_changed(engine: StreamingEngine) -> None:
    engine.run(samples(5, 3))
    state = engine.state()
    other = StreamingEngine(compile_stack(stack("gru"))).state()
    counter, limit = engine.program.counters()[0]
    assert (state[counter], limit) == (5, 8)
    for bad, said in [
        (other, "float32 .* of the same program"),
        (state.astype(np.float64), "the state is float64"),
        (np.where(np.arange(len(state)) == 3, np.nan, state).astype(np.float32), "numbers that no state has"),
        *(
            (np.where(np.arange(len(state)) == at, value, state).astype(np.float32), "numbers that no state has")
            for at, below in engine.program.counters()
            for value in (-1, 0.5, below, 1e9)
        ),
    ]:
        with pytest.raises(InputError, match=said):
            engine.restore(bad)
    assert np.array_equal(engine.state(), state)


def test_an_unknown_layer_or_backend_is_refused() -> None:
    made = stack("gru")
    made.blocks[0].layer = nn.Identity()
    with pytest.raises(InputError, match="unknown layer 'Identity'; known: .*Mamba"):
        compile_stack(made)
    with pytest.raises(InputError, match="unknown backend 'gpu'; auto, cpp or numpy"):
        StreamingEngine(compile_stack(stack("gru")), backend="gpu")


def changed(program: Program, **parts: Any) -> Program:
    return dataclasses.replace(program, **parts)


def test_every_offset_and_size_of_a_program_is_held_to_what_is_there() -> None:
    low, high = Level(3, 4, stack("transformer", 8, 1, context=3)), Level(4, 2, stack("mamba", 8, 1, d_state=2))
    program, refused = compile_hierarchy(low, high, 3, staggered=True), 0
    for row, column, value in itertools.product(range(len(program.operations)), range(14), (-2, 2**20)):
        table = program.operations.copy()
        table[row, column] = value
        try:
            altered = changed(program, operations=table).check()
        except InputError:
            refused += 1
        else:  # the operation does not look at that number, or numpy would meet an index that is not there
            StreamingEngine(altered, backend="numpy").run(samples(3, 3))
    assert refused > 10 * len(program.operations)
    weights = program.weights.copy()
    weights[7] = np.nan
    for bad, said in [
        (changed(program, weights=weights), "weights that are not finite"),
        (changed(program, operations=program.operations[:-2]), "holds more than follow"),
        (changed(program, state=program.state - 16), "reaches state .* of"),
        (changed(program, result=program.values), "outputs at"),
    ]:
        with pytest.raises(InputError, match=said) as error:
            bad.check()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "foreign", "missing"])
def test_a_file_that_is_no_program_is_refused(tmp_path: Path, damage: str) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "p.safetensors"
    if damage == "cut":
        compile_stack(stack("gru")).save(path)
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "foreign":
        save_file({"weights": np.zeros(3, np.float32)}, path)
    with pytest.raises(InputError, match=r"p\.safetensors: ") as refused:
        load_program(path)
    assert "\n" not in str(refused.value)
