"""The two processes behind ``knuckle stream --model`` on a recording: one plays and measures, the other runs the model.

Run as ``python -m knuckle_ros.model_process player|model SETTINGS PARENT``. Events said are those of `stream_process`;
the model's process is told ``go`` at the end, keeps its state where it is to, and says ``counts``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from knuckle.core.config import from_mapping
from knuckle.core.errors import BusError
from knuckle.core.figures import write_text
from knuckle.sensors.hiss.live_model import task_of
from knuckle.sensors.hiss.model_card import model_folder, read_card
from knuckle.sensors.hiss.playback import open_playback
from knuckle.sensors.hiss.playback_score import Trace, digest, draw, errors_of
from knuckle.sensors.replay_stream import digest as digest_of
from knuckle.sensors.replay_stream import score
from knuckle_ros import model_node, player_node
from knuckle_ros.child_process import ParentLink
from knuckle_ros.estimate_meter import EstimateMeter
from knuckle_ros.model_meter import ModelMeter
from knuckle_ros.model_node import ModelNode
from knuckle_ros.outlets import ImuOutlet, Outlet, RowOutlet
from knuckle_ros.player_node import PlayerNode
from knuckle_ros.stream_process import STREAM, main, measure, spin


def _model(link: ParentLink, settings: dict[str, Any]) -> None:
    initial = Path(settings["state"]).read_bytes() if settings["state"] else None
    config = from_mapping(model_node.Config, settings["node"], where="model")
    model = ModelNode("model", config, initial=initial)
    told = False

    def look() -> bool:
        nonlocal told
        if not told and model.heard():
            link.say("ready")
            told = True
        if any(source.get_publisher_count() > 1 for source in model.inputs):
            right = "one source for each stream; choose another domain with --domain N"
            raise BusError("somebody else publishes the model's inputs too", where="knuckle stream", right=right)
        return not link.go.is_set()

    spin(link, model, look)
    if settings["keep"]:
        write_text(Path(settings["keep"]), model.state().decode())
    link.say("counts", counts=model.counts(), torch="torch" in sys.modules)


def _play(link: ParentLink, settings: dict[str, Any]) -> None:
    card = read_card(model_folder(settings["model"]))
    config = from_mapping(player_node.Config, settings["player"], where="player")
    playback = open_playback(card, Path(config.file), config.start_s, config.seconds)
    task = task_of(card)

    def outlet(node: Node) -> Outlet:
        if playback.imu is not None:
            return ImuOutlet(node, playback.imu, config.frame)
        topic = f"tactile/{STREAM}" if task == "skin" else "values"
        return RowOutlet(node, playback, topic, config.frame, tactile=task == "skin")

    recording = playback if playback.imu is None else playback.imu
    player = PlayerNode("player", config, recording, outlet)
    meter: EstimateMeter | ModelMeter
    if task == "orientation":
        meter = EstimateMeter(player.node, STREAM, player)
    else:
        meter = ModelMeter(player.node, STREAM, player, card)
    measure(link, player, meter, lambda: _progress(player, meter))
    if not player.done.is_set():
        return
    if isinstance(meter, EstimateMeter):
        link.say("result", **_orientations(player, meter))
        return
    trace = _trace(meter, len(card.channels.targets))
    if settings["plot"] and len(trace.stamps_ns):
        draw(Path(settings["plot"]), trace, playback, card)
    errors = errors_of(trace, playback, card)
    link.say("result", **_facts(player, meter), estimates=meter.received, invalid=int((~trace.valid).sum()),
             digest=digest(trace), errors=errors)  # fmt: skip


def _progress(player: PlayerNode, meter: EstimateMeter | ModelMeter) -> dict[str, Any]:
    recent, sent = meter.latencies_ms(newest=300), player.pacer.sent
    return {
        "sent": sent,
        "received": sent,  # estimates are not one a sample
        "rate_hz": player.pacer.rate_hz(),
        "latency_p50_ms": float(np.median(recent)) if len(recent) else None,
    }


def _facts(player: PlayerNode, meter: EstimateMeter | ModelMeter) -> dict[str, Any]:
    latencies = meter.latencies_ms()
    p50, p99, worst = np.percentile(latencies, [50, 99, 100]).tolist() if len(latencies) else [None] * 3
    return {
        "samples": len(player.recording),
        "late_sent": player.pacer.late,
        "published_hz": player.pacer.rate_hz(),
        "rate_hz": meter.rate_hz(),
        "latency_p50_ms": p50,
        "latency_p99_ms": p99,
        "latency_max_ms": worst,
    }


def _orientations(player: PlayerNode, meter: EstimateMeter) -> dict[str, Any]:
    came = meter.received_ns > 0
    errors, dropped = score(meter.recording, meter.recording.stamps_ns[came], meter.orientations[came])
    named = None if errors is None or errors.n == 0 else {
        "n": float(errors.n), "rmse_total_deg": errors.total_deg, "rmse_heading_deg": errors.heading_deg,
        "rmse_inclination_deg": errors.inclination_deg,
    }  # fmt: skip
    return {
        **_facts(player, meter),
        "estimates": int(came.sum()),
        "dropped": dropped,
        "invalid": int((came & ~meter.valid).sum()),
        "digest": digest_of(meter.orientations[came]),
        "errors": named,
    }


def _trace(meter: ModelMeter, targets: int) -> Trace:
    k = meter.received
    return Trace(
        np.array(meter.stamps_ns, dtype=np.int64),
        np.array(meter.means).reshape(k, targets),
        np.array(meter.covariances).reshape(k, targets, targets),
        np.array(meter.valid, dtype=np.bool_),
    )


if __name__ == "__main__":
    raise SystemExit(main({"player": _play, "model": _model}))
