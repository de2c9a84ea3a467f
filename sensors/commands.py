"""Commands of the sensors room: ``knuckle train hiss`` and ``knuckle eval hiss``."""

from __future__ import annotations

from knuckle.sensors.hiss.train_command import train_hiss

__all__ = ["train_hiss"]
