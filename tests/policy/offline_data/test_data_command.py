"""``knuckle data``: what it says of recorded data, what it writes, and what it refuses in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from stable_baselines3 import PPO

from knuckle import cli
from knuckle.core.errors import InputError
from knuckle.policy.offline_data.data_command import merge, record_data, show
from knuckle.policy.offline_data.dataset import Dataset
from knuckle.policy.offline_data.describe_data import describe_data
from knuckle.policy.offline_data.minari_folder import read_minari, write_minari


@pytest.fixture
def folder(data: Dataset, tmp_path: Path) -> Path:
    """The Minari folder of `made_dataset`."""
    write_minari(tmp_path / "made-v0", data, algorithm="nobody", description={})
    return tmp_path / "made-v0"


def test_show_says_what_is_in_it(
    folder: Path, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [tmp_path / "figures.json", tmp_path / "returns.svg"]
    assert show([str(folder), "--json", str(out[0]), "--plot", str(out[1])]) == 0
    said = capsys.readouterr().out
    assert "4 episodes, 18 steps; 3 observations, 2 actions" in said
    assert "2 terminated, 2 truncated (2 by the time limit); no NaN" in said and "2 succeeded, 50%" in said
    written = json.loads(out[0].read_text())
    figures = written["figures"]
    assert figures["episodes"] == 4 and figures["terminated"] == figures["truncated"] == 2
    assert figures["return_mean"] == pytest.approx(data.returns().mean())
    assert figures["length_min"] == 3 and figures["length_max"] == 6 and figures["success_rate"] == 0.5
    assert written["intervals"]["success_rate"][0] < 0.5 < written["intervals"]["success_rate"][1]
    drawn = ElementTree.fromstring(out[1].read_text())
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == 4


def test_a_description_warns_of_flat_rewards_and_still_columns(data: Dataset) -> None:
    cold = tuple(
        replace(e, rewards=np.full_like(e.rewards, -3.0), observations=np.ones_like(e.observations))
        for e in data.episodes
    )
    notes = describe_data(replace(data, episodes=cold)).notes
    assert any("of the rewards as recorded lie below -2" in note for note in notes)
    assert "observations 0, 1, 2 never change" in notes
    one = describe_data(replace(data, episodes=data.episodes[:1]))
    assert one.counts.tolist() == [1] and all(np.isfinite(list(one.figures.values())))
    hopper = describe_data(replace(data, environment="Hopper-v5"))
    assert hopper.figures["normalised_return_mean"] == pytest.approx(
        100 * (data.returns().mean() + 20.272305) / 3254.572305
    )


def test_data_that_cannot_be_used_end_with_one_line_and_leave_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "main_data.hdf5").write_bytes(b"half")
    assert cli.main(["data", "show", str(folder), "--json", str(tmp_path / "figures.json")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "its episodes cannot be read" in said.err
    assert not (tmp_path / "figures.json").exists()
    with pytest.raises(InputError, match="nothing to show"):
        show([])


def test_an_agent_is_recorded_and_the_recording_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task", "hopper", "--agent", "random", "--steps", "300", "--seed", "5"]
    assert record_data([*words, "--out", str(tmp_path / "a-v0")]) == 0
    assert record_data([*words, "--out", str(tmp_path / "b-v0")]) == 0
    first, again = (read_minari(tmp_path / name) for name in ("a-v0", "b-v0"))
    assert first.steps == 300 and first.environment == "Hopper-v5"
    np.testing.assert_array_equal(first.transitions().observations, again.transitions().observations)
    told = json.loads(json.loads((tmp_path / "a-v0" / "metadata.json").read_text())["description"])
    assert (told["agent"], told["seed"], told["task"]) == ("random", 5, "hopper") and "mujoco" in told["gymnasium"]
    assert "normalised return" in capsys.readouterr().out


def test_a_recording_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    PPO("MlpPolicy", "Pendulum-v1").save(tmp_path / "other.zip")
    out = ["--out", str(tmp_path / "out-v0"), "--steps", "10"]
    for words, said in (
        (
            ["--agent", str(tmp_path / "other.zip")],
            "the agent has 3 observations and 1 actions; the 11 and 3 of hopper",
        ),
        (["--agent", str(tmp_path / "none.zip")], "the file cannot be read"),
        (["--agent", "random", "--task", "hoper"], "unknown task 'hoper'"),
        (["--agent", "walks"], "walks are recorded in a maze"),
        ([], "no agent or no place to write"),
    ):
        with pytest.raises(InputError, match=said):
            record_data([*words, *out])
    assert not (tmp_path / "out-v0").exists()
    (tmp_path / "out-v0").mkdir()
    with pytest.raises(InputError, match="something is there already"):
        record_data(["--agent", "random", *out])


def test_data_are_merged_and_cut(folder: Path, dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    write_minari(tmp_path / "more-v0", dataset(3, name="more"), algorithm="", description={})
    assert merge([str(folder), str(tmp_path / "more-v0"), "--out", str(tmp_path / "both-v0")]) == 0
    both = read_minari(tmp_path / "both-v0")
    assert len(both.episodes) == 7 and both.name == "both-v0"
    assert merge([str(folder), "--steps", "4", "--out", str(tmp_path / "first-v0")]) == 0
    assert [len(e) for e in read_minari(tmp_path / "first-v0").episodes] == [3, 4]
    write_minari(tmp_path / "else-v0", dataset(2, environment="Other-v0"), algorithm="", description={})
    with pytest.raises(InputError, match="recorded in Made-v0 and in Other-v0"):
        merge([str(folder), str(tmp_path / "else-v0"), "--out", str(tmp_path / "not-v0")])
    assert not (tmp_path / "not-v0").exists()
    with pytest.raises(InputError, match="nothing to merge"):
        merge(["--out", str(tmp_path / "not-v0")])
