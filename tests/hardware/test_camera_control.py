"""A virtual camera asked to fail through its socket, as `knuckle fault camera` does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from knuckle.cli import main
from knuckle.hardware.spec.contracts import DepthFrame
from knuckle.hardware.spec.mounts import OPTICAL_FRAME, pinhole
from knuckle.hardware.virtual.camera import VirtualCamera
from knuckle.hardware.virtual.camera_control import CameraControl, camera_socket


class Wall:
    """A FrameSource."""

    def render(self) -> DepthFrame:
        return DepthFrame(0, 1, np.full((24, 32), 500, np.uint16), 0.001, pinhole(32, 24), OPTICAL_FRAME)


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualCamera]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = VirtualCamera(Wall())
    control = CameraControl(made, camera_socket())
    yield made
    control.close()
    assert not camera_socket().exists()


def test_faults_come_and_go_by_the_command(camera: VirtualCamera, capsys: pytest.CaptureFixture[str]) -> None:
    camera.expose()
    assert main(["fault", "camera", "freeze"]) == 0
    assert main(["fault", "camera:late"]) == 0
    assert camera.faults == {"freeze", "late"}
    assert "faults now: freeze, late; 1 exposures" in capsys.readouterr().out
    assert main(["fault", "camera", "clear", "late"]) == 0
    assert camera.faults == {"freeze"}
    assert main(["fault", "camera", "clear"]) == 0
    assert not camera.faults
    assert main(["fault", "camera", "status"]) == 0
    assert "faults now: none" in capsys.readouterr().out


def test_a_fault_ends_by_itself(camera: VirtualCamera) -> None:
    assert main(["fault", "camera", "zero", "--for", "20ms"]) == 0
    deadline = time.monotonic() + 30.0
    while camera.faults:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_unknown_faults_are_refused_and_a_real_camera_is_spared(
    camera: VirtualCamera, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fault", "camera", "freze"]) == 2
    assert "unknown camera fault 'freze'; did you mean 'freeze'? known: encoding, freeze" in capsys.readouterr().err
    assert main(["fault", "camera", "freeze", "often"]) == 2
    assert "status, clear, or fault with one of: unplug, freeze" in capsys.readouterr().err
    assert main(["fault", "camera", "freeze", "--socket", str(tmp_path / "none.sock")]) == 1
    assert "no virtual camera answers; faults are for virtual cameras" in capsys.readouterr().err
    assert main(["fault", "--list"]) == 0
    assert "the same image again and again" in capsys.readouterr().out
    assert not camera.faults
