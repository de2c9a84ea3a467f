"""`knuckle stream FOLDER`: play a film of boxes onto the bus as detections, through the tracker and the forecaster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.figures import Figures, require_writable

_PIXELS = {"unit_m": 0.02, "noise_m": 0.06, "wander_mps": 1.5, "speed_mps": 3.0, "gap_s": 2.0, "step_s": 0.2}
"""The forecaster's settings for boxes of an image, of people and cars that are some 90 px high."""


@dataclass(frozen=True)
class StreamFilmConfig:
    """Play MOT sequences or KITTI's tracking folder as detections, stamped with the film's own time, and score it."""

    folder: Annotated[
        str, arg(metavar="FOLDER", help="a MOT sequence or several, or KITTI's tracking folder"), Positional
    ]
    film: str = setting("", "the film to play; empty for the folder's first")
    detections: str = setting("recipe", "what a detector says of it", choices=("recipe", "truth", "pointrcnn"))
    model: str = setting("bytetrack", "motion model of the tracker, as tuned: see `knuckle eval tracker`")
    speed: float = setting(1.0, "how fast it is played, 1 for the film's own rate", low=0.01, high=100.0)
    frames: int = setting(0, "how many frames to play, 0 for all", low=0, high=1_000_000)
    seed: int = setting(0, "seed of the detection recipe", low=0, high=2**31 - 1)
    fast: bool = setting(False, "run the same code without waiting and without the bus: the same tracks")
    domain: int = setting(-1, "ROS domain, -1 for ROS_DOMAIN_ID", low=-1, high=232)
    json: str = setting("", "file to write the figures to")


def is_film(argv: Sequence[str]) -> bool:
    """Whether the words of the command name a folder of films."""
    folders = [Path(word) for word in argv if not word.startswith("-") and Path(word).is_dir()]
    if not folders:
        return False
    # Imported here: help must not wait for it.
    from knuckle.perception.tracking.kitti_tracking import is_kitti
    from knuckle.perception.tracking.mot_folder import is_mot

    return any(is_kitti(folder) or is_mot(folder) for folder in folders)


def stream_film(argv: list[str]) -> int:
    """Run the command; raises InputError, BusError, or RunError where a process died."""
    from knuckle.perception.tracking.rivals import rival
    from knuckle_ros.film import FilmSource, load_film

    config = parse_arguments(StreamFilmConfig, argv, "knuckle stream")
    if config.json:
        require_writable(Path(config.json))
    rival(config.model)
    source = FilmSource(config.folder, config.film, config.detections, config.frames, config.seed)
    film = load_film(source)
    tracker = {"rate_hz": film.truth.rate_hz, "in_image": True, "model": config.model, "every_frame": True}
    if config.fast:
        result = _fast(film, tracker)
    else:
        from knuckle_ros.commands.stream import play

        player = {**asdict(source), "speed": config.speed}
        forecaster = {"every_frame": True, **_PIXELS}
        settings: dict[str, dict[str, Any]] = {"tracker": tracker, "forecaster": forecaster, "player": player}
        result = play("knuckle_ros.film_process", settings, config.domain, len(film))
    _show(film.truth.name, result)
    if config.json:
        numbers = {key: float(value) for key, value in result.items() if isinstance(value, int | float)}
        numbers |= {key: float(value) for key, value in result["scores"].items() if value == value}
        numbers["tracks_digest"] = float(int(result["digest"], 16))
        command = ["knuckle", "stream", *argv]
        Figures(command, asdict(config), config.seed, len(film), numbers).write(Path(config.json))
    return 0


def _fast(film: Any, tracker: dict[str, Any]) -> dict[str, Any]:
    """The same tracker over the same frames, without a bus."""
    from knuckle.perception.things import only_usable
    from knuckle_ros.film import digest_of, scores_of
    from knuckle_ros.film_tracker import film_tracker

    follower = film_tracker(tracker["model"], film.truth.rate_hz)
    pushed = (follower.push(only_usable(film.things(k), (), 2)[0]) for k in range(len(film)))
    told = [one for one in pushed if one is not None]
    return {
        "frames": len(film),
        "tracked": len(told),
        "digest": digest_of(told),
        "scores": scores_of(film, told),
    }


def _show(name: str, result: dict[str, Any]) -> None:
    """Print the result as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title=name, title_justify="left")
    table.add_row("frames, tracked", f"{result['frames']}, {result['tracked']}")
    if "forecast" in result:
        table.add_row("forecast", f"{result['forecast']}")
        table.add_row("rate kept", f"{result['rate_hz']:.2f} Hz ({result['late_sent']} frames sent late)")
    for key in ("tracks", "forecasts"):
        if f"{key}_latency_p50_ms" in result:
            p50, worst = result[f"{key}_latency_p50_ms"], result[f"{key}_latency_max_ms"]
            table.add_row(f"{key} after a frame, p50, max", f"{p50:.2f} ms, {worst:.2f} ms")
    scores = result["scores"]
    for key in ("hota", "assa", "idf1", "idsw"):
        table.add_row(key, f"{scores[key]:.0f}" if key == "idsw" else f"{scores[key]:.4f}")
    table.add_row("tracks", result["digest"])
    Console().print(table)
