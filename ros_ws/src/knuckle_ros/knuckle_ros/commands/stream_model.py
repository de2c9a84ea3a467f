"""`knuckle stream --model`: a trained model on a recording or on live topics."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knuckle.core.errors import InputError
from knuckle_ros.commands.stream import STREAM, play, require_bus

if TYPE_CHECKING:
    from collections.abc import Callable

    from knuckle.sensors.hiss.live_model import LiveModel
    from knuckle.sensors.hiss.model_card import SensorCard
    from knuckle.sensors.hiss.playback import Playback
    from knuckle.sensors.imu_stream import ImuStreamConfig
    from knuckle_ros.commands.stream import StreamConfig
    from knuckle_ros.model_node import Config, ModelNode

_FIGURES = ("samples", "estimates", "dropped", "invalid", "late_sent", "published_hz", "rate_hz", "latency_p50_ms",
            "latency_p99_ms", "latency_max_ms")  # fmt: skip
_SILENCE_S = 5.0
_BEYOND = {"gyr_limit": 1e3, "acc_limit": 1e5}  # a recording does not say where its sensor saturates


def stream_model(config: StreamConfig, argv: list[str]) -> int:
    """Run the command with a model; InputError and RecordingError before anything runs."""
    from knuckle.sensors.hiss.live_model import LiveModel, task_of
    from knuckle.sensors.hiss.model_card import model_folder
    from knuckle.sensors.hiss.playback import open_playback

    live = LiveModel(model_folder(config.model), config.staggered)
    card = live.sensor_stream().card
    if config.plot and (task_of(card) == "orientation" or not config.file):
        raise InputError(
            "nothing is drawn of this", where="--plot", right="a recording, and a model of velocity or rows"
        )
    if not config.file:
        return _live(config, live, card)
    playback = open_playback(card, Path(config.file), config.start, config.seconds)
    imu = _settings(config, playback)
    if config.state:
        live.open(imu).restore(_read(config.state))
    result = _fast(config, live, card, playback, imu) if config.fast else _played(config, playback)
    _show(config, card, result)
    if config.json:
        _write(config, argv, result)
    return 0


def _settings(config: StreamConfig, playback: Playback) -> ImuStreamConfig:
    from knuckle.sensors.imu_stream import ImuStreamConfig

    mag = playback.imu is not None and playback.imu.mag is not None
    return ImuStreamConfig(playback.rate_hz, mag, estimator=config.estimator, **_BEYOND)


def _played(config: StreamConfig, playback: Playback) -> dict[str, Any]:
    node = {
        "model": config.model,
        "stream": STREAM,
        "rate_hz": playback.rate_hz,
        "staggered": config.staggered,
        "by_name": True,
        "estimator": config.estimator,
        **_BEYOND,
    }
    settings = {
        "model": {"node": node, "state": config.state, "keep": config.keep},
        "player": {
            "model": config.model,
            "player": {"file": config.file, "start_s": config.start, "seconds": config.seconds},
            "plot": config.plot,
        },
    }
    return play("knuckle_ros.model_process", settings, config.domain, len(playback), last="model")


def _fast(
    config: StreamConfig, live: LiveModel, card: SensorCard, playback: Playback, imu: ImuStreamConfig
) -> dict[str, Any]:
    """The same without the bus and without waiting."""
    import numpy as np

    from knuckle.core.figures import write_text
    from knuckle.sensors.hiss.playback_score import digest, draw, errors_of, trace_of
    from knuckle.sensors.hiss.row_stream import RowStream
    from knuckle.sensors.replay_stream import digest as digest_of
    from knuckle.sensors.replay_stream import replay, score

    stream = live.open(imu)
    if config.state:
        stream.restore(_read(config.state))
    found: list[Any] = []
    if isinstance(stream, RowStream):
        assert playback.rows is not None
        for stamp, row in zip(playback.stamps_ns.tolist(), playback.rows, strict=True):
            found += stream.row(stamp, row)
    else:
        assert playback.imu is not None
        found += replay(playback.imu, stream)
    if config.keep:
        write_text(Path(config.keep), stream.state().decode())
    facts = {
        "samples": len(playback),
        "estimates": len(found),
        "invalid": sum(not e.valid for e in found),
        "counts": stream.counts(),
        "torch": "torch" in sys.modules,
    }
    if playback.imu is not None and found and hasattr(found[0], "orientation"):
        turns = np.array([e.orientation for e in found])
        errors, dropped = score(playback.imu, np.array([e.stamp_ns for e in found], dtype=np.int64), turns)
        named = None if errors is None or errors.n == 0 else {
            "n": float(errors.n), "rmse_total_deg": errors.total_deg, "rmse_heading_deg": errors.heading_deg,
            "rmse_inclination_deg": errors.inclination_deg,
        }  # fmt: skip
        return {**facts, "dropped": dropped, "digest": digest_of(turns), "errors": named}
    trace = trace_of(found, len(card.channels.targets))
    if config.plot and found:
        draw(Path(config.plot), trace, playback, card)
    return {**facts, "digest": digest(trace), "errors": errors_of(trace, playback, card)}


def _live(config: StreamConfig, live: LiveModel, card: SensorCard) -> int:
    """One node a stream on the bus, until Ctrl-C or the end of its time."""
    from knuckle.core.figures import write_text
    from knuckle.sensors.imu_stream import ImuStreamConfig

    names = [name.strip() for name in config.streams.split(",") if name.strip()]
    if len(set(names)) != len(names) or not all(name.isidentifier() for name in names):
        raise InputError(f"the streams '{config.streams}'", where="--streams", right="names of letters, each once")
    initial = _read(config.state) if config.state else None
    if (initial or config.keep) and len(names) > 1:
        raise InputError("one state for several streams", where="--state or --keep", right="one stream")
    if initial:
        if not config.rate:
            raise InputError("a state needs the rate it was taken at", where="--rate", right="the sensor's rate in Hz")
        live.open(ImuStreamConfig(config.rate, True, estimator=config.estimator)).restore(initial)
    require_bus()
    from knuckle_ros.command_bus import joined_bus
    from knuckle_ros.commands.run import ros_domain
    from knuckle_ros.model_node import ModelNode
    from knuckle_ros.short_turns import take_short_turns

    if said := take_short_turns():
        print(said, file=sys.stderr)
    end = time.monotonic() + config.seconds if config.seconds else float("inf")
    with joined_bus(ros_domain(config.domain)) as serve:
        refused: list[InputError] = []
        own = [(f"model_{name}", _node(config, name, f"{name}/")) for name in names]
        own = own or [("model", _node(config, "sensor", ""))]
        nodes = [ModelNode(name, settings, initial=initial, refused=refused.append) for name, settings in own]
        try:
            where = ", ".join(f"{node.config.stream}/estimate" for node in nodes)
            heard = ", ".join(topic for node in nodes for source in node.inputs for topic in source.topics())
            print(f"{card.card.name} on {where}, from {heard}; Ctrl-C ends it", file=sys.stderr, flush=True)
            tell = _when_silent(nodes, refused)
            serve([node.node for node in nodes], lambda: tell() or time.monotonic() > end)
            if config.keep:
                write_text(Path(config.keep), nodes[0].state().decode())
            last = [f"{node.config.stream}: {node.silence() or _counted(node.counts())}" for node in nodes]
        finally:
            for node in nodes:
                node.close()
    print("\n".join(last), file=sys.stderr)
    return 0


def _when_silent(nodes: list[ModelNode], refused: list[InputError]) -> Callable[[], bool]:
    """To be called again and again: says once, after a while, which streams have heard nothing, and why. Never True.

    Raises what was ``refused``: in the callback of the message rclpy would print where it came from.
    """
    due = time.monotonic() + _SILENCE_S

    def tell() -> bool:
        nonlocal due
        if refused:
            raise refused[0]
        if time.monotonic() > due:
            due = float("inf")
            for node in nodes:
                if silence := node.silence():
                    print(f"{node.config.stream}: {silence}", file=sys.stderr, flush=True)
        return False

    return tell


def _node(config: StreamConfig, stream: str, source: str) -> Config:
    from knuckle_ros.model_node import Config

    return Config(
        model=config.model,
        stream=stream,
        source=source,
        rate_hz=config.rate,
        staggered=config.staggered,
        bind=config.bind,
        estimator=config.estimator,
    )


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        what = f"the state cannot be read ({error.strerror})"
        raise InputError(what, where=path, right="a file that --keep wrote") from error


def _counted(counts: dict[str, int]) -> str:
    kept = {name: count for name, count in counts.items() if count or name == "received"}
    return ", ".join(f"{name} {count}" for name, count in kept.items()) or "no samples"


def _show(config: StreamConfig, card: SensorCard, result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title=f"{card.card.name} on {config.file}", title_justify="left")
    table.add_row("samples, estimates, invalid", f"{result['samples']}, {result['estimates']}, {result['invalid']}")
    if result.get("latency_p50_ms") is not None:
        table.add_row("estimates a second", f"{result['rate_hz']:.2f} ({result['late_sent']} samples sent late)")
        table.add_row("latency p50, p99", f"{result['latency_p50_ms']:.2f} ms, {result['latency_p99_ms']:.2f} ms")
    table.add_row("stream", _counted(result["counts"]))
    errors = result["errors"]
    if errors is None:
        table.add_row("RMSE", "no truth in this part of the recording")
    else:
        for name, value in errors.items():
            table.add_row(name, f"{value:.0f}" if name == "n" else f"{value:.4g}")
    table.add_row("estimates", result["digest"])
    Console().print(table)


def _write(config: StreamConfig, argv: list[str], result: dict[str, Any]) -> None:
    from knuckle.core.figures import Figures

    values = {key: float(result[key]) for key in _FIGURES if result.get(key) is not None}
    values |= {f"stream_{key}": float(count) for key, count in result["counts"].items()}
    values |= {"estimates_digest": float(int(result["digest"], 16)), "torch_imported": float(result["torch"])}
    errors = result["errors"] or {}
    values |= {key: value for key, value in errors.items() if key != "n"}
    Figures(["knuckle", "stream", *argv], asdict(config), 0, int(errors.get("n", 0)), values).write(Path(config.json))
