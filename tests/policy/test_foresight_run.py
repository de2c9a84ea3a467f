"""``knuckle train foresight``: labels, learns and labels again, goes on after a kill, and says what it cannot use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from knuckle.cli import main
from knuckle.core.array_file import read_arrays
from knuckle.hardware.spec.hands import hand_spec
from knuckle.policy.learned.learned_policy import LearnedPolicy
from knuckle.policy.learned.policy_folder import TRAINED

SMALL = "label.episodes=3,label.again=2,label.chunks=4,net.updates=30,net.updates_before=20,net.width=16,use.drawn=8"
Said = pytest.CaptureFixture[str]


def train(run: Path, *more: str, small: str = SMALL) -> int:
    return main(["train", "foresight", "--run", str(run), "--set", small, "--judged", "0", "--jobs", "2", *more])


def line(said: Said) -> str:
    return " ".join(said.readouterr().err.split())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from start to end."""
    run = tmp_path_factory.mktemp("foresight") / "run"
    assert train(run, "--json", str(run.parent / "figures.json")) == 0
    return run


def test_it_leaves_a_policy_that_foresees_with_its_settings_and_figures(whole: Path) -> None:
    policy = LearnedPolicy(hand_spec("dclaw3"), whole / "policy")
    card = policy.card.config
    assert card["chunk"]["judge"] == "foresight" and card["chunk"]["judged"] == 8 and card["chunk"]["foreseen"] == 6
    assert card["foresight"]["training"]["label"]["episodes"] == 3
    figures = json.loads((whole.parent / "figures.json").read_text())["figures"]
    assert figures["episodes"] == 5.0 and figures["decisions"] >= 5.0 and figures["label_cpu_s"] > 0.0
    assert len(list((whole / "labels-01" / "episodes").iterdir())) == 2
    policy.close()


def test_a_killed_run_goes_on_to_the_same_network(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.rmtree(run / "policy")
    shutil.rmtree(run / "policy-01")
    (run / "foresight-01.safetensors").unlink()
    (run / "labels-01" / "episodes" / "000001.safetensors").unlink()
    (run / "labels-01" / "episodes" / ".000001.safetensors.77").write_bytes(b"half")
    assert train(run) == 0
    ours, theirs = (read_arrays(folder / "foresight-01.safetensors")[0] for folder in (run, whole))
    assert sorted(ours) == sorted(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert (run / "policy" / "foresight.onnx").read_bytes() == (whole / "policy" / "foresight.onnx").read_bytes()


def test_where_the_network_chose_its_best_are_among_the_labels(whole: Path) -> None:
    arrays, facts = read_arrays(whole / "labels-01" / "episodes" / "000000.safetensors")
    assert arrays["chunks"].shape[1:] == (4, 6, 9) and arrays["poses"].shape[1:] == (4, 6, 7)
    assert facts["rung"] == "60" and 0.0 <= facts["erring"] <= 0.25


def test_a_label_file_that_is_broken_is_left_out_and_said(whole: Path, tmp_path: Path, capsys: Said) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "foresight-01.safetensors").unlink()
    (run / "labels-00" / "episodes" / "000001.safetensors").write_bytes(b"half of an episode")
    assert train(run) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "left out:" in said and "the episode cannot be read" in said and "round 1: 4 episodes" in said


def test_another_setting_in_the_same_folder_is_refused_and_nothing_changes(whole: Path, capsys: Said) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert train(whole, small=SMALL.replace("net.width=16", "net.width=17")) == 2
    assert "the run here has net.width 16, not 17" in line(capsys)
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*")}


def test_what_was_learned_is_used_otherwise_without_learning_again(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    learned = (run / "foresight-01.safetensors").read_bytes()
    assert train(run, small=SMALL.replace("use.drawn=8", "use.drawn=9,use.euler=2")) == 0
    chunk = json.loads((run / "policy" / "card.json").read_text())["config"]["chunk"]
    assert (chunk["judged"], chunk["euler"], chunk["judge"]) == (9, 2, "foresight")
    assert (run / "foresight-01.safetensors").read_bytes() == learned


def test_time_that_is_up_leaves_what_was_labelled_and_says_how_to_go_on(tmp_path: Path, capsys: Said) -> None:
    assert train(tmp_path / "run", "--minutes", "0.0001") == 0
    assert "round 0 is not complete: the same command goes on with it" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "run" / "policy").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--policy", "nobody"], "no policy 'nobody'"),
        (["--policy", str(TRAINED / "reorient-dclaw3")], "the policy does not draw chunks"),
        (["--hand", "dclaw4"], "the policy is for hand dclaw3"),
        (["--set", "net.looked_at=1+x"], "'1+x' are no steps"),
        (["--set", "net.looked_at=1+9"], "step 9 of chunks of which 6 are foreseen is looked at"),
        (["--set", "net.widht=3"], "did you mean 'width'?"),
        (["--set", "nets.width=3"], "unknown part 'nets'"),
        (["--set", "label.rungs=60+95"], "unknown rung '95'"),
        (["--set", "use.euler=3"], "3 Euler steps of a network of chunks written for 4"),
        (["--set", "use.drawn=1"], "--set use drawn: 1 is out of range"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_no_policy(
    tmp_path: Path, capsys: Said, more: list[str], says: str
) -> None:
    run = tmp_path / "run"
    assert main(["train", "foresight", "--run", str(run), "--judged", "0", *more]) == 2
    told = line(capsys)
    assert says in told and "Traceback" not in told
    assert not run.exists() or not list(run.glob("*"))


def test_its_settings_are_listed_with_ranges(capsys: Said) -> None:
    assert main(["train", "foresight", "--settings"]) == 0
    said = capsys.readouterr().out
    assert "label.episodes" in said and "net.width" in said and "use.drawn" in said
