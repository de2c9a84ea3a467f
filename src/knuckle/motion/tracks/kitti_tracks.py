"""KITTI's labelled tracks as positions in the world: label, calib and oxts of a sequence put together.

A label's location is the middle of the box's bottom in the rectified camera. Calibration takes it to the laser and to
the inertial unit, the pose of that frame to the world:

    p_world = T_frame inv(T_imu_to_laser) inv(R_rect T_laser_to_camera) p_camera

The car that carries the camera is a track too, of class Ego: its inertial unit.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, unknown_name
from knuckle.motion.tracks.ego_pose import read_poses
from knuckle.motion.tracks.number_lines import numbers, read_lines
from knuckle.motion.tracks.track import Track, make_track

Array = NDArray[np.float64]
RATE_HZ = 10.0
PARTS = ("label", "calib", "oxts")
CLASSES = ("Car", "Van", "Truck", "Tram", "Cyclist", "Pedestrian", "Person_sitting", "Person", "Misc", "DontCare")
EGO = "Ego"
VEHICLES = ("Car", "Van", "Truck", EGO)
NOT_TRACKED = "DontCare"
COLUMNS = 17


def is_kitti(folder: Path) -> bool:
    """Whether ``folder`` holds KITTI's tracking labels."""
    return (folder / "label").is_dir()


def read_kitti(folder: Path, classes: tuple[str, ...] = VEHICLES) -> list[Track]:
    """The tracks of ``classes`` in all sequences of ``folder``, label/NAME.txt, calib/NAME.txt and oxts/NAME.txt.

    Raises InputError in one line, with the file and the line, for what cannot be used.
    """
    names = sorted(path.stem for path in (folder / "label").glob("*.txt"))
    if not names:
        raise InputError("no sequence", where=str(folder / "label"), right="0000.txt and so on, KITTI's labels")
    return [track for name in names for track in read_sequence(folder, name, classes)]


def read_sequence(folder: Path, name: str, classes: tuple[str, ...] = VEHICLES) -> list[Track]:
    """The tracks of one sequence, positions relative to where the car's inertial unit was in its first frame."""
    label = folder / "label" / f"{name}.txt"
    to_imu = camera_to_imu(folder / "calib" / f"{name}.txt")
    poses = read_poses(folder / "oxts" / f"{name}.txt")
    rows: dict[tuple[int, str], list[tuple[int, Array]]] = defaultdict(list)
    for number, text in enumerate(read_lines(label), 1):
        where, words = f"{label}:{number}", text.split()
        if not words:
            continue
        if len(words) < COLUMNS:
            raise InputError(f"{len(words)} columns", where=where, right=f"{COLUMNS} of KITTI's tracking labels")
        if words[2] not in CLASSES:
            raise unknown_name("class", words[2], CLASSES, where=where)
        frame, track, *place = numbers([*words[:2], *words[13:16]], where, "finite numbers")
        if words[2] == NOT_TRACKED or words[2] not in classes:
            continue
        if frame != int(frame) or not 0 <= frame < len(poses):
            right = f"a frame of oxts, 0 to {len(poses) - 1}"
            raise InputError(f"frame {frame:g}", where=where, right=right)
        position = poses[int(frame)] @ to_imu @ np.array([*place, 1.0])
        rows[int(track), words[2]].append((int(frame), position[:2]))
    tracks = []
    reference = "map, first oxts position"
    if EGO in classes:
        frames = np.arange(len(poses), dtype=np.int64)
        tracks.append(make_track(EGO.lower(), name, EGO, frames, poses[:, :2, 3], 1 / RATE_HZ, reference))
    for (track_id, kind), seen in rows.items():
        frames = np.array([frame for frame, _ in seen], dtype=np.int64)
        positions = np.array([position for _, position in seen])
        tracks.append(make_track(f"{track_id}", name, kind, frames, positions, 1 / RATE_HZ, reference))
    return tracks


def camera_to_imu(path: Path) -> Array:
    """The transform (4, 4) from the rectified camera to the inertial unit, from KITTI's calibration of a sequence."""
    found: dict[str, list[float]] = {}
    for number, text in enumerate(read_lines(path), 1):
        name, *words = text.split() or [""]
        if name:
            found[name.rstrip(":")] = numbers(words, f"{path}:{number}", "finite numbers after a name")
    R_rect = _transform(found, "R_rect", path)
    laser_to_camera, imu_to_laser = (_transform(found, key, path) for key in ("Tr_velo_cam", "Tr_imu_velo"))
    return np.asarray(np.linalg.inv(R_rect @ laser_to_camera @ imu_to_laser), dtype=np.float64)


def _transform(found: dict[str, list[float]], name: str, path: Path) -> Array:
    """A rotation of 9 numbers or a motion of 12 as (4, 4); InputError where it is missing or turns nothing."""
    values = found.get(name, found.get(name.replace("_cam", "_to_cam").replace("_imu_velo", "_imu_to_velo"), []))
    out = np.eye(4)
    if len(values) not in (9, 12):
        raise InputError(f"{len(values)} numbers of {name}", where=str(path), right="9 of a rotation, 12 of a motion")
    out[:3, : len(values) // 3] = np.reshape(values, (3, -1))
    if not np.allclose(out[:3, :3] @ out[:3, :3].T, np.eye(3), atol=1e-3):
        raise InputError(f"{name} is no rotation", where=str(path), right="KITTI's calibration, metres")
    return out
