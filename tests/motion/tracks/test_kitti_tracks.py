"""KITTI's tracks in the world: the pose's formula, labels through calibration, and lines that cannot be used."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.motion.tracks.ego_pose import poses, read_poses
from knuckle.motion.tracks.kitti_tracks import read_kitti
from knuckle.motion.tracks.track_source import read_tracks

LAT, LON = 49.0, 8.4
# The camera looks ahead (z), x to the right and y down; the laser and the inertial unit look ahead by x, y to the left.
CALIB = """R_rect 1 0 0 0 1 0 0 0 1
Tr_velo_cam 0 -1 0 0 0 0 -1 0 1 0 0 -0.3
Tr_imu_velo 1 0 0 -0.8 0 1 0 0.3 0 0 1 0
"""


def oxts_line(east_m: float, yaw: float) -> str:
    lon = LON + math.degrees(east_m / (6378137.0 * math.cos(math.radians(LAT))))
    return " ".join(f"{value:.12g}" for value in (LAT, lon, 100.0, 0.0, 0.0, yaw, *[0.0] * 24))


def label(frame: int, track: int, kind: str, x: float, y: float, z: float) -> str:
    return f"{frame} {track} {kind} 0 0 0 0 0 10 10 1.5 1.6 4 {x} {y} {z} 0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A car parked 20 m east of where the camera's car starts, which drives east at 10 m/s, then turns on the spot."""
    yaws = [0.0] * 12 + [0.1 * k for k in range(1, 9)]
    ego = [min(k, 12) * 1.0 for k in range(20)]
    rows = []
    for k, (east, yaw) in enumerate(zip(ego, yaws, strict=True)):
        ahead, left = 20.0 - east, 5.0
        x_imu = math.cos(yaw) * ahead + math.sin(yaw) * left
        y_imu = -math.sin(yaw) * ahead + math.cos(yaw) * left
        # Inertial unit to laser to camera, by hand.
        x_velo, y_velo = x_imu - 0.8, y_imu + 0.3
        rows += [label(k, 3, "Car", -y_velo, 1.5, x_velo - 0.3), label(k, -1, "DontCare", -1000, -1000, -1000)]
    rows.append(label(4, 7, "Pedestrian", 1.0, 1.5, 10.0))
    rows.append(label(5, 8, "Van", 1.0, 1.5, 10.0))
    for part, text in (
        ("label", "\n".join(rows)),
        ("calib", CALIB),
        ("oxts", "\n".join(oxts_line(e, y) for e, y in zip(ego, yaws, strict=True))),
    ):
        (tmp_path / part).mkdir()
        (tmp_path / part / "0000.txt").write_text(text + "\n")
    return tmp_path


def test_a_pose_is_that_of_the_development_kit() -> None:
    pose = poses(
        np.array([LAT, LAT + 1e-4]), np.array([LON, LON + 1e-4]), np.array([1.0, 3.0]), *(np.array([0.1, 0.2]),) * 3
    )
    north = 6378137.0 * math.radians(1e-4)
    assert np.allclose(pose[1, :3, 3], [north * math.cos(math.radians(LAT)), north, 2.0], rtol=1e-4)
    c, s = math.cos(0.2), math.sin(0.2)
    rx = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    ry = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    rz = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    assert np.allclose(pose[1, :3, :3], rz @ ry @ rx)


def test_what_is_parked_stays_where_it_is_while_the_camera_drives_and_turns(folder: Path) -> None:
    tracks = {track.label: track for track in read_kitti(folder)}
    assert set(tracks) == {"Car", "Van", "Ego"}
    assert np.abs(tracks["Car"].positions - [20.0, 5.0]).max() < 1e-3
    assert len(tracks["Van"]) == 1
    assert np.abs(tracks["Ego"].positions[:13, 0] - np.arange(13)).max() < 1e-3


@pytest.mark.parametrize(
    ("part", "change", "line"),
    [
        ("label", lambda t: t.replace(" Van ", " Horse "), "Horse.*known"),
        ("label", lambda t: t + label(3, 3, "Car", 0, 0, 9), "frame 3 comes twice"),
        ("label", lambda t: t + label(3, 5, "Car", 0, 0, math.nan), "not finite"),
        ("label", lambda t: t + label(99, 5, "Car", 0, 0, 9), "frame 99"),
        ("label", lambda t: t + "1 2 Car 0", "4 columns"),
        ("calib", lambda t: t.replace("Tr_imu_velo", "Tr_other"), "Tr_imu_velo"),
        ("calib", lambda t: t.replace("1 0 0 0 1 0 0 0 1", "2 0 0 0 1 0 0 0 1", 1), "no rotation"),
        ("oxts", lambda t: t.replace("49", "490", 1), "0000.txt:1"),
        ("oxts", lambda t: "1 2 3\n" + t, "3 columns"),
        ("oxts", lambda t: "", "no line"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(folder: Path, part: str, change: object, line: str) -> None:
    path = folder / part / "0000.txt"
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(InputError, match=line) as caught:
        read_kitti(folder)
    assert ("\n" not in str(caught.value) and str(folder) in str(caught.value)) or part == "label"


def test_rows_out_of_order_are_put_in_order_and_missing_frames_cut_a_track(folder: Path) -> None:
    path = folder / "label" / "0000.txt"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("9 3 ")]
    path.write_text("\n".join(reversed(lines)) + "\n")
    car = next(track for track in read_kitti(folder) if track.label == "Car")
    assert (np.diff(car.frames) > 0).all()
    assert [len(part) for part in car.stretches(2)] == [9, 10]


def test_a_folder_without_tracks_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label, calib and oxts"):
        read_tracks(str(tmp_path), 0, 1)
    with pytest.raises(InputError, match="no such folder"):
        read_tracks(str(tmp_path / "none"), 0, 1)


@pytest.mark.data
@pytest.mark.skipif("KNUCKLE_DATA" not in os.environ, reason="KNUCKLE_DATA is not set")
def test_parked_cars_of_the_real_sequences_stay_put() -> None:
    folder = Path(os.environ["KNUCKLE_DATA"]) / "kitti-tracking"
    parked = []
    for track in read_kitti(folder, ("Car", "Van")):
        moved = np.linalg.norm(track.positions[-5:].mean(0) - track.positions[:5].mean(0))
        if len(track) >= 30 and moved < 1.0:
            parked.append(np.median(np.linalg.norm(track.positions - np.median(track.positions, 0), axis=1)))
    assert len(parked) > 60
    assert np.median(parked) < 0.15 and max(parked) < 0.6
    ego = read_poses(folder / "oxts" / "0000.txt")
    raw = np.loadtxt(folder / "oxts" / "0000.txt")
    driven = np.linalg.norm(np.diff(ego[:, :3, 3], axis=0), axis=1).sum()
    assert driven == pytest.approx(0.1 * np.linalg.norm(raw[:-1, 6:8], axis=1).sum(), rel=0.02)
