"""Recordings for these tests: made ones everywhere, trials of BROAD where KNUCKLE_DATA has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from knuckle.core import rotations
from knuckle.sensors import broad
from knuckle.sensors.recording import ImuRecording

RATE_HZ = 1e9 / 3_500_000


def made_recording(seconds: float = 8.0, seed: int = 0, rate_hz: float = RATE_HZ) -> ImuRecording:
    """A sensor turning smoothly, the first two seconds at rest, with noise and a constant bias of the gyroscope."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate_hz)
    t = np.arange(n) / rate_hz
    moving = t >= 2.0
    rate = np.where(moving, 1.0, 0.0)[:, None] * np.stack(
        [1.5 * np.sin(2.0 * t), 1.0 * np.sin(1.3 * t + 0.4), 0.8 * np.cos(0.9 * t)], axis=1
    )
    truth = np.empty((n, 4))
    truth[0] = rotations.IDENTITY
    for i in range(1, n):
        truth[i] = rotations.multiply(truth[i - 1], rotations.exp(rate[i] / rate_hz))
    back = rotations.conjugate(truth)
    return ImuRecording(
        name="made",
        rate_hz=rate_hz,
        stamps_ns=np.rint(np.arange(n) * 1e9 / rate_hz).astype(np.int64),
        gyr=rate + 0.003 + 0.002 * rng.standard_normal((n, 3)),
        acc=rotations.rotate(back, [0.0, 0.0, 9.81]) + 0.02 * rng.standard_normal((n, 3)),
        mag=rotations.rotate(back, [0.0, 20e-6, -40e-6]) + 1e-7 * rng.standard_normal((n, 3)),
        truth=truth,
        movement=moving,
    )


def broad_fields(recording: ImuRecording) -> dict[str, Any]:
    """What ``scipy.io.savemat`` needs to write ``recording`` as a BROAD trial."""
    assert recording.mag is not None
    assert recording.truth is not None
    assert recording.movement is not None
    return {
        "imu_gyr": recording.gyr,
        "imu_acc": recording.acc,
        "imu_mag": recording.mag * 1e6,
        "opt_quat": recording.truth,
        "opt_pos": np.zeros((len(recording), 3)),
        "movement": recording.movement[:, None],
        "sampling_rate": np.array([[recording.rate_hz]]),
    }


@pytest.fixture(scope="session")
def made() -> ImuRecording:
    return made_recording()


@pytest.fixture(scope="session")
def make_recording() -> Callable[..., ImuRecording]:
    """Makes recordings of other lengths."""
    return made_recording


@pytest.fixture
def write_broad(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small BROAD file; keyword arguments replace fields, and None leaves one out."""

    def write(recording: ImuRecording | None = None, compress: bool = True, **changes: Any) -> Path:
        fields = broad_fields(recording or made_recording(0.2))
        fields.update(changes)
        path = tmp_path / "trial.mat"
        kept = {name: value for name, value in fields.items() if value is not None}
        scipy.io.savemat(path, kept, do_compression=compress)
        return path

    return write


@pytest.fixture(scope="session")
def broad_file(data_folder: Path) -> Callable[[str], Path]:
    """The path of a trial of BROAD by its beginning (``"01"``), or a skip that says what is missing."""

    def find(beginning: str) -> Path:
        found = sorted((data_folder / "broad").glob(f"{beginning}_*.mat"))
        if not found:
            pytest.skip(f"BROAD trial {beginning} is not in KNUCKLE_DATA/broad")
        return found[0]

    return find


@pytest.fixture(scope="session")
def broad_trial(broad_file: Callable[[str], Path]) -> Callable[[str], ImuRecording]:
    return lambda beginning: broad.load(broad_file(beginning))
