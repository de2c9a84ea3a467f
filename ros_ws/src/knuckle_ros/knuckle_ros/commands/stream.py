"""`knuckle stream`: estimate from a sensor stream, recorded or live, and say how well and how fast."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from tyro.conf import Positional, arg

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import BusError, InputError, RunError
from knuckle.core.figures import require_writable
from knuckle.sensors.orientation_estimators import ESTIMATORS
from knuckle.sensors.recording import ImuRecording
from knuckle_ros.child_process import ChildProcess
from knuckle_ros.dds_leftovers import remove_leftovers
from knuckle_ros.domain_lock import domain_lock
from knuckle_ros.guardian import Guardian
from knuckle_ros.run_members import MARK

STREAM = "recording"
_START_S = 60.0  # a machine that is busy takes long to import what a process needs
_SILENCE_S = 10.0


@dataclass(frozen=True)
class StreamConfig:
    """Estimate from a stream: a recording that is played at its own rate, or with --model live topics.

    Without --model the orientation of an IMU, by a classical filter. With it what the model was trained for. A folder
    of MOT sequences or KITTI's tracking data is a film of boxes: played as detections, tracked and forecast, with
    options of its own (knuckle stream FOLDER --help).
    """

    file: Annotated[
        str,
        arg(
            metavar="FILE",
            help="BROAD trial (.mat), .csv, .mcap, a skin's stroke, or a MOT or KITTI folder; live without",
        ),
        Positional,
    ] = ""
    model: str = setting("", "a trained model: its name, or the folder of a run or a model")
    fast: bool = setting(False, "run the same code without waiting and without the bus: the same estimates")
    start: float = setting(0.0, "where in the recording to begin", low=0.0, high=1e6, unit="s")
    seconds: float = setting(0.0, "how much to play, or how long to run live; 0 for all", low=0.0, high=1e6, unit="s")
    estimator: str = setting("vqf", "what estimates, or with --model stands beside it", choices=tuple(ESTIMATORS))
    staggered: bool = setting(False, "with --model: an estimate at each of its samples, not every tenth")
    streams: str = setting("", "live: names of streams, a,b: each hears a/imu and so on, and answers on a/estimate")
    rate: float = setting(0.0, "live: rate of the samples; 0: found from the first ones", low=0.0, high=1e5, unit="Hz")
    bind: str = setting("", "live, table: where columns come from: a=/topic:field.x,b=/topic:data[3]")
    state: str = setting("", "with --model: file of a state to begin from")
    keep: str = setting("", "with --model: file to write the last state to")
    plot: str = setting("", "with --model: SVG file of the estimates beside the truth")
    domain: int = setting(-1, "ROS domain, -1 for ROS_DOMAIN_ID", low=-1, high=232)
    json: str = setting("", "file to write the figures to")


def stream(argv: list[str]) -> int:
    """Run the command; raises InputError, RecordingError, ConfigError, BusError, or RunError where a process died."""
    from knuckle.sensors import imu_file
    from knuckle.sensors.hiss.unit_check import require_si
    from knuckle_ros.commands.stream_film import is_film, stream_film
    from knuckle_ros.commands.stream_report import figures, show

    if is_film(argv):
        return stream_film(argv)
    config = parse_arguments(StreamConfig, argv, "knuckle stream")
    for path in filter(None, (config.json, config.keep, config.plot)):
        require_writable(Path(path))
    if config.model:
        from knuckle_ros.commands.stream_model import stream_model

        return stream_model(config, argv)
    if not config.file:
        right = "FILE, or --model NAME to run a trained model on live topics"
        raise InputError("neither a recording nor a model", where="knuckle stream", right=right)
    if Path(config.file).is_dir():
        right = "a MOT sequence, a folder of several, or KITTI's tracking folder with label/"
        raise InputError("a folder without films or a recording", where=config.file, right=right)
    recording = imu_file.load(Path(config.file)).part(config.start, config.seconds)
    require_si(recording)
    result = _fast(recording, config.estimator) if config.fast else _live(config, recording)
    show(config.file, result)
    if config.json:
        figures(["knuckle", "stream", *argv], asdict(config), result).write(Path(config.json))
    return 0


def _fast(recording: ImuRecording, estimator: str) -> dict[str, Any]:
    import numpy as np

    from knuckle.sensors.imu_stream import ImuStream
    from knuckle.sensors.replay_stream import digest, replay, score, stream_config

    estimates = list(replay(recording, ImuStream(stream_config(recording, estimator))))
    orientations = np.array([e.orientation for e in estimates]).reshape(-1, 4)
    errors, dropped = score(recording, np.array([e.stamp_ns for e in estimates], dtype=np.int64), orientations)
    return {
        "samples": len(recording),
        "dropped": dropped,
        "invalid": sum(not e.valid for e in estimates),
        "digest": digest(orientations),
        "errors": None if errors is None or errors.n == 0 else vars(errors),
    }


def _live(config: StreamConfig, recording: ImuRecording) -> dict[str, Any]:
    from knuckle.sensors.replay_stream import stream_config

    player = {"file": config.file, "start_s": config.start, "seconds": config.seconds}
    estimator = {**asdict(stream_config(recording, config.estimator)), "stream": STREAM}
    settings = {"estimator": estimator, "player": player}
    return play("knuckle_ros.stream_process", settings, config.domain, len(recording))


def play(
    module: str, settings: Mapping[str, Mapping[str, Any]], domain: int, samples: int, last: str = ""
) -> dict[str, Any]:
    """Run a process of ``module`` for each role of ``settings``, the player among them; what the player says at the
    end, and after it what the role ``last`` does when it is told to go."""
    from knuckle_ros.commands.stream_report import progress

    require_bus()
    domain, run = _domain(domain), uuid.uuid4().hex
    environment = {
        **os.environ,
        MARK: run,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_NUM_THREADS": "1",
    }
    with domain_lock(domain, "stream"), _terminable(), progress(samples) as tell:
        children: dict[str, ChildProcess] = {}
        began, guardian = time.time(), Guardian(run)
        try:
            for role, values in settings.items():
                children[role] = ChildProcess(module, [role, json.dumps(values)], environment)
            result = _follow(children, tell)
            if last:
                children[last].tell("go")
                result |= _word(children[last], last, "counts")
            return result
        finally:
            _unhurried(lambda: _stop(list(children.values()), began, guardian))


def require_bus() -> None:
    """BusError where rclpy is missing."""
    if importlib.util.find_spec("rclpy") is None:
        right = "pip install 'knuckle[ros]', or add --fast, which needs no bus"
        raise BusError("rclpy is not installed", where="knuckle stream", right=right)


def _word(child: ChildProcess, role: str, wanted: str) -> dict[str, Any]:
    """The event ``wanted`` of a process, those before it skipped."""
    while (event := child.read_event()) is not None:
        if event["event"] == "trouble":
            raise BusError(event["text"])
        if event["event"] == wanted:
            return event
    raise RunError(f"the process ended ({child.complaint()})", where=role, right="run it again")


def _stop(children: list[ChildProcess], began: float, guardian: Guardian) -> None:
    tidy = [child.stop() for child in children]
    if not all(tidy):
        remove_leftovers(began)
    guardian.dismiss()


def _follow(children: dict[str, ChildProcess], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Let the two find each other, say go, and pass on what they say until there is a result."""
    waiting = set(children)
    patience, deadline = "the processes did not find each other", time.monotonic() + _START_S
    while True:
        readable, _, _ = select.select(list(children.values()), [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise RunError(patience, where="the bus", right="loopback multicast and shared memory; see knuckle doctor")
        for role, child in children.items():
            if child not in readable:
                continue
            event = child.read_event()
            if event is None:
                raise RunError(f"the process ended ({child.complaint()})", where=role, right="run it again")
            if event["event"] == "trouble":
                raise BusError(event["text"])
            if event["event"] == "result":
                return event
            if event["event"] == "ready":
                waiting.discard(role)
                if not waiting:
                    children["player"].tell("go")
            else:
                tell(event)
            if not waiting:
                patience, deadline = "no sign of the player", time.monotonic() + _SILENCE_S


def _domain(asked: int) -> int:
    text = os.environ.get("ROS_DOMAIN_ID", "") or "0"
    if asked >= 0:
        return asked
    if not text.isdigit() or int(text) > 232:
        raise BusError(f"'{text}' is not a ROS domain", where="ROS_DOMAIN_ID", right="a number from 0 to 232")
    return int(text)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM unwinds the stack as Ctrl-C does, so that what was started is stopped."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _unhurried(action: Callable[[], object]) -> None:
    """Do ``action``, which is short, without being interrupted by a second Ctrl-C."""
    held = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        action()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
