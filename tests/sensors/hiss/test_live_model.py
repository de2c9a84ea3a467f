"""Models on live streams: behind the guard, each with its own state, and what is refused before anything runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from knuckle.cli import main
from knuckle.core.cards import file_sha256
from knuckle.core.errors import InputError
from knuckle.sensors import imu_file
from knuckle.sensors.hiss.features import features
from knuckle.sensors.hiss.finish import leave_model
from knuckle.sensors.hiss.gaussian_factors import factors
from knuckle.sensors.hiss.known_range import kept
from knuckle.sensors.hiss.live_model import LiveModel
from knuckle.sensors.hiss.model_card import CARD, PROGRAM, WEIGHTS, read_card
from knuckle.sensors.hiss.model_files import load_model
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.hiss.tasks import Task, open_task
from knuckle.sensors.hiss.train_config import Training
from knuckle.sensors.hiss.trainer import Trainer
from knuckle.sensors.hiss.trial import CHUNK, Trial
from knuckle.sensors.imu_stream import ImuStreamConfig
from knuckle.sensors.leaky_velocity import LeakyVelocity, leaky_velocity
from knuckle.sensors.rate_search import RateSearch
from tests.sensors.conftest import made_recording

from .conftest import QUIET, made_parts, made_trainer, made_training, made_trial, write_csv

TABLE = {"inputs": "a,b", "targets": "x,y"}


def left(folder: Path, trainer: Trainer, task: Task, parts: Parts) -> Path:
    trainer.update()
    trainer.best = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    leave_model(trainer, RunFolder(folder), task, parts, QUIET)
    return folder / MODEL


def table_model(folder: Path, seed: int = 3) -> Path:
    """A model of two columns, hardly trained."""
    parts = made_parts(3)
    return left(folder, made_trainer(made_training(seed=seed), parts), open_task("table", TABLE), parts)


def imu_model(folder: Path, name: str) -> Path:
    """A model of velocity or orientation that has learned nothing yet."""
    torch.set_num_threads(1)
    task, rng, like = open_task(name, {}), np.random.default_rng(0), made_training()
    d, t = len(task.channels.inputs), len(task.channels.targets)
    trials = tuple(
        Trial(str(k), "", rng.standard_normal((300, d)), rng.standard_normal((300, t)), np.ones(300, np.bool_))
        for k in range(2)
    )
    parts = Parts(trials[:1], trials[1:], ())
    training = Training(dict(task.facts), like.model, like.sizes, task.features, replace(task.learn, window_s=4.0), 0)
    return left(folder, Trainer(training, task.channels, parts), task, parts)


def offline(folder: Path, inputs: np.ndarray) -> np.ndarray:
    """Means for whole chunks, by torch."""
    model = load_model(folder)
    card = model.card
    read = features(inputs, card.training.features, card.channels.rate_hz, card.inputs)
    with torch.no_grad():
        raw = model.network(torch.from_numpy(read[: len(read) // CHUNK * CHUNK])[None])[0].numpy()
    return card.targets.back(factors(raw.astype(np.float64))[0])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table_model(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def velocity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imu_model(tmp_path_factory.mktemp("velocity"), "velocity")


def rows(stream, inputs: np.ndarray, begin: int = 0, epoch: int = 0) -> list[StateEstimate]:
    return [e for k, row in enumerate(inputs, begin) for e in stream.row(epoch + 20_000_000 * k, row)]


def test_two_streams_of_one_model_have_states_of_their_own_and_give_what_offline_gives(model: Path) -> None:
    live, config = LiveModel(model), ImuStreamConfig(50.0)
    one, other = made_trial(5, 200).inputs, made_trial(6, 200).inputs
    streams, found = [live.open(config), live.open(config)], ([], [])
    for k in range(200):  # sample by sample, in turn, from different times
        for stream, out, inputs, epoch in zip(streams, found, (one, other), (10**18, 7), strict=True):
            out.extend(rows(stream, inputs[k : k + 1], k, epoch))
    for out, inputs in zip(found, (one, other), strict=True):
        np.testing.assert_allclose([e.mean for e in out], offline(model, inputs), atol=1e-5)
    assert [e.stamp_ns for e in found[1]] == [7 + 20_000_000 * k for k in range(9, 200, 10)]


def test_a_stream_goes_on_from_its_state_through_the_guard_and_refuses_that_of_another_model(
    model: Path, tmp_path: Path
) -> None:
    live, config, inputs = LiveModel(model), ImuStreamConfig(50.0), made_trial(5, 100).inputs
    first, second = live.open(config), live.open(config)
    rows(first, inputs[:47])
    second.restore(first.state())
    again, on = rows(second, inputs[47:], 47), rows(first, inputs[47:], 47)
    assert [e.mean.tolist() for e in again] == [e.mean.tolist() for e in on]
    with pytest.raises(InputError, match="the state is of another model"):
        LiveModel(table_model(tmp_path, seed=9)).open(config).restore(first.state())


def test_after_half_a_second_of_silence_the_model_begins_anew(model: Path) -> None:
    inputs = made_trial(5, 120).inputs
    stream = LiveModel(model).open(ImuStreamConfig(50.0))
    rows(stream, inputs[:60])
    late = rows(stream, inputs[60:], 60 + 30)
    np.testing.assert_allclose([e.mean for e in late], offline(model, inputs[61:]), atol=1e-5)
    assert stream.counts()["resets"] == 1
    assert not late[0].valid


def test_rows_that_come_four_times_as_fast_are_averaged_as_in_training(model: Path) -> None:
    inputs = made_trial(5, 401).inputs
    stream = LiveModel(model).open(ImuStreamConfig(200.0))
    found = [e for k, row in enumerate(inputs) for e in stream.row(5_000_000 * k, row)]
    means = np.concatenate([inputs[:1], inputs[1:].reshape(100, 4, 2).mean(axis=1)])
    np.testing.assert_allclose([e.mean for e in found], offline(model, means), atol=1e-5)
    with pytest.raises(InputError, match="rows at 20 Hz"):
        LiveModel(model).open(ImuStreamConfig(20.0))


def test_an_estimate_out_of_its_range_gives_way_to_the_classical_one_and_says_so(model: Path) -> None:
    card = read_card(model)
    middle, unit = card.targets.mean, np.diag(np.square(card.targets.scale))
    good = StateEstimate(1, middle, unit)
    assert kept(good, card) is good
    for bad in (
        replace(good, mean=np.array([np.nan, 0.0])),
        replace(good, covariance=np.full((2, 2), np.inf)),
        replace(good, covariance=100.0 * unit),
        replace(good, mean=middle + 50.0 * card.targets.scale),
    ):
        beside = kept(replace(bad, classical=(np.ones(2), np.eye(2))), card)
        assert beside.valid and beside.mean.tolist() == [1.0, 1.0]
        assert beside.reason.startswith("the model's ") and beside.reason.endswith(": classical instead")
        alone = kept(bad, card)
        assert not alone.valid and alone.reason
        assert np.isfinite(alone.mean).all() and np.isfinite(alone.covariance).all()


def test_velocity_has_a_classical_estimate_beside_it(velocity: Path) -> None:
    recording = made_recording(3.0, rate_hz=200.0)
    stream = LiveModel(velocity).open(ImuStreamConfig(200.0, magnetometer=False))
    found = [
        e
        for k, stamp in enumerate(recording.stamps_ns.tolist())
        for e in stream.imu(stamp, recording.gyr[k], recording.acc[k])
    ]
    assert len(found) == 15
    assert all(e.classical is not None and np.abs(e.classical[0]).max() < 1.0 for e in found)


def test_a_leaky_integral_follows_fast_motion_and_forgets() -> None:
    leaky = LeakyVelocity(50.0)
    moving = [leaky.push(np.array([2.0, 0.0, -1.0])) for _ in range(10)]
    np.testing.assert_allclose(moving[-1], np.array([2.0, 0.0, -1.0]) * 0.02 * 5.5, rtol=0.1)
    again = LeakyVelocity(50.0)
    again.restore(leaky.state())
    still = [(leaky.push(np.zeros(3)), again.push(np.zeros(3))) for _ in range(500)]
    assert np.abs(still[-1][0]).max() < 1e-2
    acc = np.random.default_rng(0).standard_normal((90, 3))
    third = LeakyVelocity(50.0, 0.5)
    np.testing.assert_allclose([third.push(a) for a in acc], leaky_velocity(acc, 50.0, 0.5), atol=1e-12)
    assert all((a == b).all() for a, b in still)


def test_the_rate_is_found_in_spite_of_gaps_and_repeats() -> None:
    search, stamps = RateSearch(), [k * 8_000_000 for k in range(80) if k % 9 != 4]
    known = [search.push(stamp) for stamp in sorted([*stamps, *stamps[:30:3]])]
    assert not known[0] and known[-1]
    assert search.rate_hz == pytest.approx(125.0)


def test_an_imu_comes_from_csv_as_it_was_written(tmp_path: Path) -> None:
    recording, path = made_recording(0.5, rate_hz=200.0), tmp_path / "imu.csv"
    table = np.concatenate([recording.stamps_ns[:, None] / 1e6, recording.gyr, recording.acc, recording.mag], axis=1)
    head = "t_ms," + ",".join(f"{kind}_{axis}" for kind in ("gyr", "acc", "mag") for axis in "xyz")
    np.savetxt(path, table, fmt="%.17g", delimiter=",", header=head, comments="")
    back = imu_file.load(path)
    assert (back.rate_hz, back.stamps_ns.tolist()) == (200.0, recording.stamps_ns.tolist())
    for name in ("gyr", "acc", "mag"):
        np.testing.assert_array_equal(getattr(back, name), getattr(recording, name))


def test_an_imu_comes_from_mcap_paired_by_its_stamps(tmp_path: Path) -> None:
    writer_of = pytest.importorskip("mcap_ros2.writer").Writer
    rule, stamp = 80 * "=", "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    vector = "MSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
    time = "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
    rest = f"{rule}\n{stamp}{rule}\n{time}{rule}\n{vector}"
    path = tmp_path / "run.mcap"
    with open(path, "wb") as stream:
        writer = writer_of(stream)
        v = "geometry_msgs/Vector3"
        imu = writer.register_msgdef(
            "sensor_msgs/msg/Imu", f"std_msgs/Header header\n{v} angular_velocity\n{v} linear_acceleration\n{rest}"
        )
        mag = writer.register_msgdef(
            "sensor_msgs/msg/MagneticField", f"std_msgs/Header header\n{v} magnetic_field\n{rest}"
        )
        for k in range(30):
            head = {"stamp": {"sec": 100, "nanosec": 10_000_000 * k}, "frame_id": "imu"}
            xyz = {"x": float(k), "y": 0.5, "z": -float(k)}
            messages = [("/imu", imu, {"header": head, "angular_velocity": xyz, "linear_acceleration": xyz})]
            if k != 7:
                messages.append(("/magnetic_field", mag, {"header": head, "magnetic_field": xyz}))
            for topic, schema, message in messages:
                writer.write_message(topic=topic, schema=schema, message=message, log_time=k, publish_time=k)
        writer.finish()
    back = imu_file.load(path)
    assert back.stamps_ns.tolist() == [10_000_000 * k for k in range(30) if k != 7]
    assert back.rate_hz == pytest.approx(100.0)
    np.testing.assert_array_equal(back.gyr, back.mag)


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What ``knuckle stream`` says in its one line; its exit code says bad input."""
    assert main(["stream", *map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("knuckle: ") and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("name", "no model 'velocty'"),
        ("nothing", "neither a recording nor a model"),
        ("column", "unknown column 'b'; did you mean 'bb'?"),
        ("constant", "channel 'b' is 7 in every sample"),
        ("short", "0.14 s are shorter than a chunk; at least 10 samples at 50 Hz"),
        ("degrees", "times as large as in training"),
        ("slow", "recorded at 25 Hz; 50 Hz or more"),
        ("kind", "no table; a .csv or .mcap file"),
        ("empty cell", "an input is empty or not finite in row 5"),
        ("state", "the state is of something else"),
        ("no state", "the state cannot be read"),
        ("plot", "the figures cannot be written there"),
    ],
)
def test_what_a_stream_cannot_use_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, line: str
) -> None:
    trial = made_trial(8, 100)
    inputs = trial.inputs.copy()
    if change == "constant":
        inputs[:, 1] = 7.0
    if change == "degrees":
        inputs *= 57.3
    path = write_csv(tmp_path / "run.csv", replace_inputs(trial, inputs), 25.0 if change == "slow" else 50.0)
    if change == "short":
        path.write_text("\n".join(path.read_text().splitlines()[:8]) + "\n")
    if change == "column":
        path.write_text(path.read_text().replace("t,a,b,x,y", "t,a,bb,x,y"))
    if change == "empty cell":
        lines = path.read_text().splitlines()
        lines[6] = ",".join([*lines[6].split(",")[:2], "", *lines[6].split(",")[3:]])
        path.write_text("\n".join(lines) + "\n")
    if change == "kind":
        path = path.rename(tmp_path / "run.txt")
    words: list[object] = [path, "--model", model, "--fast"]
    if change == "name":
        words[2] = "velocty"
    elif change == "nothing":
        words = []
    elif change in ("state", "no state"):
        state = tmp_path / "state.json"
        if change == "state":
            state.write_text('{"kind": "vqf"}')
        words += ["--state", state]
    elif change == "plot":
        words += ["--plot", tmp_path]
    assert line in refusal(capsys, *words)


def replace_inputs(trial: Trial, inputs: np.ndarray) -> Trial:
    return Trial(trial.name, trial.group, inputs, trial.targets, trial.scored)


@pytest.mark.parametrize("change", ["altered weights", "altered program", "nan", "shape"])
def test_a_model_that_was_altered_does_not_stream(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    name = WEIGHTS if change == "altered weights" else PROGRAM
    if change.startswith("altered"):
        content = bytearray((folder / name).read_bytes())
        content[-3] ^= 1
        (folder / name).write_bytes(bytes(content))
    else:  # and the card says that this is the file
        arrays = load_file(folder / PROGRAM)
        with open(folder / PROGRAM, "rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            facts = json.loads(stream.read(size))["__metadata__"]
        weights = arrays["weights"].copy()
        weights[3] = np.nan
        arrays["weights"] = weights if change == "nan" else weights[:-5]
        save_file(arrays, folder / PROGRAM, metadata=facts)
        card = json.loads((folder / CARD).read_text())
        card["config"]["exported"][PROGRAM] = file_sha256(folder / PROGRAM)
        (folder / CARD).write_text(json.dumps(card))
    path = write_csv(tmp_path / "run.csv", made_trial(8, 100))
    said = refusal(capsys, path, "--model", folder, "--fast")
    assert {"nan": "finite", "shape": "weights"}.get(change, "sha256") in said
    assert str(folder) in said


def test_an_imu_in_degrees_and_one_without_a_field_are_refused(
    velocity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = made_recording(6.0, rate_hz=100.0)
    path = tmp_path / "imu.csv"
    head = "t," + ",".join(f"{kind}_{axis}" for kind in ("gyr", "acc") for axis in "xyz")
    for factor, line in ((57.3, "degrees per second?"), (1.0, "")):
        table = np.concatenate([recording.stamps_ns[:, None] / 1e9, factor * recording.gyr, recording.acc], axis=1)
        np.savetxt(path, table, fmt="%.9g", delimiter=",", header=head, comments="")
        if line:
            assert line in refusal(capsys, path, "--model", velocity, "--fast")
    orientation = imu_model(tmp_path / "orientation", "orientation")
    assert "no magnetic field" in refusal(capsys, path, "--model", orientation, "--fast")
    assert main(["stream", str(path), "--model", str(velocity), "--fast", "--json", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    assert (figures["samples"], figures["estimates"]) == (600, 30)
    assert figures["stream_resets"] == figures["stream_filled"] == 0
