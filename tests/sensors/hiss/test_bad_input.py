"""What cannot be used is refused in one line before anything runs: names, columns, weights, recordings, units."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from knuckle.cli import main
from knuckle.core.errors import InputError, KnuckleError, RecordingError
from knuckle.sensors.hiss.evaluate import score
from knuckle.sensors.hiss.finish import leave_model
from knuckle.sensors.hiss.model_card import CARD, PROGRAM, WEIGHTS
from knuckle.sensors.hiss.model_files import load_model
from knuckle.sensors.hiss.model_name import model_name
from knuckle.sensors.hiss.run_folder import MODEL, RunFolder
from knuckle.sensors.hiss.splits import STROKES, divide
from knuckle.sensors.hiss.streaming import open_stream
from knuckle.sensors.hiss.tasks import open_task
from knuckle.sensors.hiss.trial import Trial
from knuckle.sensors.hiss.unit_check import require_si
from knuckle.sensors.recording import ImuRecording

from .conftest import QUIET, made_parts, made_trainer, made_training, made_trial, write_csv

TABLE = {"inputs": "a,b", "targets": "x,y"}


@pytest.fixture(scope="module")
def good_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts, folder = made_parts(3), tmp_path_factory.mktemp("good")
    trainer = made_trainer(made_training(), parts)
    trainer.update()
    leave_model(trainer, RunFolder(folder), open_task("table", TABLE), parts, QUIET)
    return folder / MODEL


@pytest.fixture
def model(good_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good_model, tmp_path / "model"))


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says in its one line; its exit code says bad input."""
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert said.startswith("knuckle: ") and said.count("\n") == 1
    return said


def train(folder: Path, *more: str) -> list[str]:
    words = ["train", "hiss", "--task", "table", "--data", str(folder), "--run", str(folder / "run")]
    return [*words, *([] if "--inputs" in more else ["--inputs", "a,b"]), "--targets", "x,y", *more]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model", "hiss:mamba"], "'hiss:mamba' is no model"),
        (["--model", "flat:lstn"], "unknown family 'lstn'; did you mean 'lstm'?"),
        (["--inputs", "a,c"], "unknown column 'c'"),
        (["--inputs", "a,x"], "'x' is an input and a target"),
        (["--set", "widht=3"], "unknown setting 'widht'; did you mean 'width'?"),
        (["--set", "epochs=0"], "0 is out of range"),
        (["--set", "look_ahead=3,indexing=released"], "both look_ahead and indexing=released"),
        (["--rate", "100"], "recorded at 50 Hz, the model is to run at 100 Hz; --rate 50 or lower"),
        (["--time", "b"], "'b' runs backwards or stands still at row"),
        (["--options", "frame=body"], "unknown option 'frame'"),
    ],
)
def test_a_command_that_cannot_be_is_refused(
    table_folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert line in refusal(capsys, *train(table_folder, *words))
    assert not (table_folder / "run").exists()


@pytest.mark.parametrize("k", range(5))
def test_a_channel_that_never_changes_is_named(table_folder: Path, capsys: pytest.CaptureFixture[str], k: int) -> None:
    trial = made_trial(k)
    inputs = trial.inputs.copy()
    inputs[:, 1] = 7.0
    write_csv(table_folder / f"{k}.csv", replace(trial, inputs=inputs))
    assert "channel 'b' is 7 in every sample" in refusal(capsys, *train(table_folder))
    assert not (table_folder / "run").exists()


@pytest.mark.parametrize(("value", "line"), [(7.0, "is 7 throughout"), (np.nan, "is known nowhere")])
def test_a_target_that_never_changes_is_named(
    table_folder: Path, capsys: pytest.CaptureFixture[str], value: float, line: str
) -> None:
    for k in range(5):
        trial = made_trial(k)
        targets = trial.targets.copy()
        targets[:, 1] = value
        text = write_csv(table_folder / f"{k}.csv", replace(trial, targets=targets)).read_text().replace("nan", "")
        (table_folder / f"{k}.csv").write_text(text)
    said = refusal(capsys, *train(table_folder))
    assert line in said and ("'y'" in said or value != 7.0)
    assert not (table_folder / "run").exists()


def test_a_recording_shorter_than_a_chunk_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "short.csv", replace_length(made_trial(0), 10))
    path.write_text("\n".join(path.read_text().splitlines()[:8]) + "\n", encoding="utf-8")
    assert "the recording has 7 samples at the model's rate; at least the 10" in refusal(
        capsys, "train", "hiss", "--task", "table", "--data", str(path), "--inputs", "a,b", "--targets", "x",
        "--run", str(tmp_path / "run"),
    )  # fmt: skip


def replace_length(trial: Trial, n: int) -> Trial:
    return Trial(trial.name, trial.group, trial.inputs[:n], trial.targets[:n], trial.scored[:n])


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("temperature", 0.0, "a temperature of 0"),
        ("growth", -1.0, "a growth of -1"),
        ("growth", 0.0, "a growth of 0"),
        ("growth", "fast", "the card is incomplete"),
    ],
)
def test_a_card_whose_covariance_cannot_be_is_refused(model: Path, name: str, value: object, line: str) -> None:
    card = json.loads((model / CARD).read_text())
    card["config"][name] = value
    (model / CARD).write_text(json.dumps(card))
    with pytest.raises(InputError, match=line):
        load_model(model)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("altered", "do not match the card's sha256"),
        ("nan", "is not finite"),
        ("shape", "has shape"),
        ("other", "of another model"),
    ],
)
def test_weights_that_are_not_the_cards_are_refused(model: Path, change: str, line: str) -> None:
    weights = load_file(model / WEIGHTS)
    name = "low.embed.weight"
    if change == "nan":
        weights[name][0, 0] = np.nan
    elif change == "shape":
        weights[name] = np.ascontiguousarray(weights[name][:, :-1])
    elif change == "other":
        weights["elsewhere"] = weights.pop(name)
    else:
        weights[name][0, 0] += 1.0
    save_file(weights, model / WEIGHTS, metadata={"facts": '{"version": 1}'})
    if change != "altered":
        from knuckle.core.cards import file_sha256

        card = json.loads((model / CARD).read_text())
        card["sha256"] = file_sha256(model / WEIGHTS)
        (model / CARD).write_text(json.dumps(card))
    with pytest.raises(InputError, match=line) as caught:
        load_model(model)
    assert "\n" not in str(caught.value)


def test_a_program_that_was_altered_does_not_stream(model: Path) -> None:
    content = bytearray((model / PROGRAM).read_bytes())
    content[-3] ^= 1
    (model / PROGRAM).write_bytes(bytes(content))
    with pytest.raises(InputError, match="the file does not match the card's sha256"):
        open_stream(model)


def test_a_sample_with_other_channels_is_refused(good_model: Path) -> None:
    with pytest.raises(InputError, match=r"a sample of shape \(3,\); 2: a, b"):
        open_stream(good_model).push(0, np.zeros(3))


def test_inputs_in_another_unit_than_in_training_are_seen(good_model: Path) -> None:
    trial, model = made_trial(8), load_model(good_model)
    assert score(model, [trial])[0].mse > 0.0
    with pytest.raises(RecordingError, match="inputs a, b are [56].+ times as large as in training"):
        score(model, [Trial("far", "test", 57.3 * trial.inputs, trial.targets, trial.scored)])


def imu(gyr_scale: float = 1.0, acc_scale: float = 1.0, mag_scale: float = 1.0, speed: float = 1.0) -> ImuRecording:
    """Ten seconds of turning back and forth about a level axis."""
    t = np.arange(2000) / 200.0
    angle = 0.8 * np.sin(speed * t)
    noise = 1e-3 * np.random.default_rng(0).standard_normal((3, 2000))
    rate = np.stack([0.8 * speed * np.cos(speed * t), noise[0], noise[1]], axis=1)
    acc = 9.81 * np.stack([noise[2], np.sin(angle), np.cos(angle)], axis=1)
    mag = 5e-5 * np.stack([noise[0], np.cos(angle), np.sin(angle)], axis=1)
    stamps = np.arange(2000, dtype=np.int64) * 5_000_000
    return ImuRecording("made", 200.0, stamps, gyr_scale * rate, acc_scale * acc, mag_scale * mag)


def test_units_that_are_right_pass() -> None:
    for speed in (0.01, 1.0, 8.0):
        require_si(imu(speed=speed))


@pytest.mark.parametrize(
    ("recording", "line"),
    [
        (imu(gyr_scale=57.3, speed=2.0), "degrees per second?"),
        (imu(gyr_scale=57.3, speed=0.5), "degrees per second?"),
        (imu(acc_scale=1.0 / 9.81), "g?"),
        (imu(mag_scale=1e6), "microtesla?"),
    ],
)
def test_units_that_are_plainly_others_are_named(recording: ImuRecording, line: str) -> None:
    with pytest.raises(RecordingError) as caught:
        require_si(recording)
    assert line in str(caught.value)


@pytest.mark.parametrize("model", [(), ("--model", "velocity")])
def test_degrees_in_a_file_that_is_played_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: tuple[str, ...]
) -> None:
    recording, path = imu(gyr_scale=57.3, speed=2.0), tmp_path / "degrees.csv"
    rows = np.column_stack([recording.stamps_ns * 1e-9, recording.gyr, recording.acc])
    header = "t,gyr_x,gyr_y,gyr_z,acc_x,acc_y,acc_z"
    np.savetxt(path, rows, delimiter=",", header=header, comments="")
    assert "degrees per second?; rad/s" in refusal(capsys, "stream", str(path), "--fast", *model)


def test_an_axis_of_an_imu_that_never_changes_is_named() -> None:
    recording = imu()
    acc = recording.acc.copy()
    acc[:, 1] = 0.5
    with pytest.raises(RecordingError, match="channel 'acc_y' is 0.5 in every sample"):
        require_si(replace(recording, acc=acc))


def test_a_set_without_the_validation_groups_is_refused() -> None:
    with pytest.raises(InputError, match="no trials for the part validation: there are test, train"):
        divide([made_trial(0), made_trial(1, group="test")], STROKES, where="here")


@pytest.mark.parametrize("text", ["", "hiss", "flat:", "hiss:/lstm", "hiss:lstm/", "flat:lstm/gru", "a:b"])
def test_other_words_are_no_model(text: str) -> None:
    with pytest.raises(KnuckleError):
        model_name(text)


def test_names_come_back_as_they_are_written() -> None:
    for text in ("flat:mamba2", "hiss:mamba/s4d"):
        assert str(model_name(text)) == text
    assert model_name("hiss:mamba/s4d").low == "s4d"
