"""Commands of the sensors room: ``knuckle train hiss`` and ``knuckle eval hiss``."""

from __future__ import annotations

from knuckle.sensors.hiss.eval_command import eval_hiss
from knuckle.sensors.hiss.train_command import train_hiss

__all__ = ["eval_hiss", "train_hiss"]
