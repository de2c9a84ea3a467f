"""Row 16 of docs/faults.md: a policy that cannot be used ends the run before any torque, at a port like a real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knuckle.hardware.calibration import calibration_file
from knuckle.hardware.spec.dclaw import dclaw
from knuckle.hardware.spec.dynamixel_table import XM430_W210
from knuckle.hardware.virtual.monitor import TORQUE_ENABLE, ServoMonitor
from knuckle.hardware.virtual.pty_port import VirtualPort
from knuckle.policy.learned.export import Actor, export_policy
from knuckle.policy.learned.onnx_graph import Normaliser, actor_graph
from knuckle.sim.reorient.observation import ReorientObservation

pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]

METAL = """
processes: {driver: {}, policy: {}}
nodes:
  hand:
    module: hand_node
    process: driver
    parameters: {latch_file: FOLDER/stop.json, model: dclaw3, port: PATH, calibration: FOLDER/calibration.json,
      watchdog_s: 10.0, answer_ms: 200.0, bus_watchdog_ms: 1000}
  policy: POLICY
"""
Start = Callable[..., Any]


def metal(folder: Path, port: VirtualPort, policy: str) -> str:
    """A graph that drives ``port`` as if it were metal."""
    calibration_file.save(calibration_file.nominal(dclaw(3), XM430_W210.number), folder / "calibration.json")
    graph = folder / "metal.yaml"
    graph.write_text(METAL.replace("FOLDER", str(folder)).replace("PATH", port.path).replace("POLICY", policy))
    return str(graph)


def judged(port: VirtualPort) -> ServoMonitor:
    assert port.monitor is not None
    return port.monitor


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The folder of a policy that is in order."""
    hand = dclaw(3)
    width, bias = ReorientObservation(hand).width, np.zeros(hand.dof)
    actor = Actor(
        Normaliser(np.zeros(width), np.ones(width), 10.0),
        [(np.zeros((hand.dof, width)), bias)],
        lambda seen: np.tile(bias, (len(seen), 1)),
    )
    folder = tmp_path / "checkpoint"
    export_policy(folder, hand, actor, name="still", observed=np.zeros((1, width)), training={}, data="none")
    return folder


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "policy.onnx").read_bytes())
    data[len(data) // 2] ^= 4
    (folder / "policy.onnx").write_bytes(data)


def poison_the_weights(folder: Path) -> None:
    width = ReorientObservation(dclaw(3)).width
    weights = np.zeros((9, width))
    weights[4, 7] = np.nan
    network = actor_graph(Normaliser(np.zeros(width), np.ones(width), 10.0), [(weights, np.zeros(9))])
    (folder / "policy.onnx").write_bytes(network)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "sha256": hashlib.sha256(network).hexdigest()}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(flip_a_bit, "the weights do not match", marks=pytest.mark.slow),
        (poison_the_weights, "not finite"),
    ],
)
def test_a_checkpoint_that_is_broken_ends_the_run_before_any_torque(
    spoil: Callable[[Path], None], said: str, run_graph: Start, port: VirtualPort, tmp_path: Path, checkpoint: Path
) -> None:
    spoil(checkpoint)
    policy = f"{{module: policy_node, process: policy, parameters: {{model: {checkpoint}, engage: true}}}}"
    run = run_graph(metal(tmp_path, port, policy))
    assert run.wait(90.0) == 2
    assert said in run.lines[-1]
    assert str(checkpoint) in run.lines[-1]
    assert not [write for write in judged(port).writes(TORQUE_ENABLE) if write.value]
    assert judged(port).unsafe_writes == 0
