"""Where tracks come from, as a command names it: simulated, a folder of KITTI's, or Argoverse 2 scenarios."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from knuckle.core.errors import InputError
from knuckle.motion.tracks import argoverse_scenario, kitti_tracks
from knuckle.motion.tracks.simulated_tracks import SimulatedTracks, simulated_tracks
from knuckle.motion.tracks.track import Track

SIMULATED = "simulated"
RIGHT = "simulated, a folder with KITTI's label, calib and oxts, or one with Argoverse 2's scenario_*.parquet"


def read_tracks(source: str, seed: int, vehicles: int) -> list[Track]:
    """The tracks of vehicles from ``source``; ``seed`` and ``vehicles`` are of simulated ones.

    Raises InputError where there is nothing to read there, or what there is cannot be used.
    """
    if source == SIMULATED:
        return simulated_tracks(replace(SimulatedTracks(), vehicles=vehicles), seed)
    folder = Path(source)
    if not folder.exists():
        raise InputError("there is no such folder", where=source or "--data", right=RIGHT)
    if kitti_tracks.is_kitti(folder):
        return kitti_tracks.read_kitti(folder)
    files = argoverse_scenario.scenario_files(folder)
    if not files:
        raise InputError("no tracks in this folder", where=source, right=RIGHT)
    return [track for path in files for track in argoverse_scenario.read_scenario(path)]
