"""A trained model ready for the samples of one live stream, whatever its task: without torch, its state its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knuckle.core.errors import InputError
from knuckle.sensors.estimator import Estimate
from knuckle.sensors.hiss.model_card import SensorCard
from knuckle.sensors.hiss.orientation_stream import CorrectedVqf
from knuckle.sensors.hiss.row_stream import RowStream
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle.sensors.hiss.streaming import SensorStream, open_stream
from knuckle.sensors.hiss.velocity_stream import VelocityStream
from knuckle.sensors.imu_stream import ImuStream, ImuStreamConfig, PairedStream

IMU_TASKS = ("orientation", "velocity")
LiveStream = PairedStream[Estimate] | PairedStream[StateEstimate] | RowStream


@dataclass(frozen=True)
class LiveModel:
    """An opened model: ``open`` gives streams of it, each with a state of its own."""

    folder: Path
    staggered: bool = False

    def sensor_stream(self) -> SensorStream:
        """The bare model, from its first sample on; InputError where the folder cannot be used."""
        return open_stream(self.folder, staggered=self.staggered)

    def open(self, config: ImuStreamConfig) -> LiveStream:
        """A stream behind the guard: of an IMU as ``config`` says, or of rows at its ``rate_hz``."""
        model = self.sensor_stream()
        task = task_of(model.card)
        if task == "orientation":
            return ImuStream(config, CorrectedVqf(model, config.rate_hz))
        if task == "velocity":
            return PairedStream(config, VelocityStream(model, config.rate_hz))
        return RowStream(model, config.rate_hz)


def task_of(card: SensorCard) -> str:
    """The name of the task that the model was trained for; InputError where the card has none that can be streamed."""
    name = str(card.training.task.get("name", ""))
    known = (*IMU_TASKS, "skin", "table")
    if name not in known:
        raise InputError(f"a model of the task '{name}'", where=card.card.name, right=f"one of {', '.join(known)}")
    return name


def needs_field(card: SensorCard) -> bool:
    """Whether the model cannot do without a magnetic field."""
    return task_of(card) == "orientation"


def restored(stream: LiveStream, state: bytes) -> LiveStream:
    """``stream``, going on from ``state``; InputError where that is of another model, task or rate."""
    stream.restore(state)
    return stream
