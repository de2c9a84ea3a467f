"""The servos of one hand as arrays in joint order: group reads and writes in a transaction each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.dynamixel.configuration import watchdog_units
from knuckle.hardware.dynamixel.servo_bus import ServoBus, suspect_last
from knuckle.hardware.dynamixel.units import Ints
from knuckle.hardware.spec.dynamixel_table import ServoModel
from knuckle.hardware.spec.hand_spec import Array

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Present:
    """One group read: ``answered`` (dof,) says for whom the other arrays hold anything; alert is their error bit."""

    answered: Mask
    current: Ints
    velocity: Ints
    position: Ints
    alert: Mask


class ServoGroup:
    """Servos ``ids`` of one ``model`` on ``bus``, in joint order. ``fast`` reads all in one status packet."""

    def __init__(self, bus: ServoBus, model: ServoModel, ids: Sequence[int], *, fast: bool = False) -> None:
        self.bus, self.model, self.ids, self.fast = bus, model, tuple(ids), fast
        self._order = list(ids)
        self._current = model.register("present_current")
        self._velocity = model.register("present_velocity")
        self._position = model.register("present_position")
        self._size = self._position.address + self._position.size - self._current.address

    def present(self, wanted: Mask) -> Present:
        """Current, velocity and position of the ``wanted`` servos, one block, two's complement undone."""
        dof, first = len(self.ids), self._current.address
        answered, alert = np.zeros(dof, dtype=np.bool_), np.zeros(dof, dtype=np.bool_)
        values = np.zeros((3, dof), dtype=np.int64)
        chosen = self._chosen(wanted)
        replies = self.bus.sync_read([id for id in self._order if id in chosen], first, self._size, fast=self.fast)
        # Who did not answer is asked last from now on, so that it cannot silence others.
        missing = suspect_last([id for id in self._order if id in chosen], replies)
        self._order = [id for id in self._order if id not in missing] + missing
        for n, id in enumerate(self.ids):
            reply = replies.get(id)
            if reply is None:
                continue
            answered[n], alert[n] = True, reply.alert
            for row, register in enumerate((self._current, self._velocity, self._position)):
                start = register.address - first
                values[row, n] = register.decode(reply.data[start : start + register.size])
        return Present(answered, values[0], values[1], values[2], alert)

    def write(self, name: str, values: NDArray[np.integer], chosen: Mask) -> None:
        """Write register ``name`` of the ``chosen`` servos, ``values`` (dof,), in one packet."""
        register = self.model.register(name)
        self.bus.sync_write(register, {id: int(values[n]) for n, id in enumerate(self.ids) if chosen[n]})

    def fill(self, name: str, value: int, chosen: Mask) -> None:
        """Write one ``value`` to register ``name`` of the ``chosen`` servos."""
        self.write(name, np.full(len(self.ids), value), chosen)

    def values(self, name: str, chosen: Mask) -> Array:
        """Register ``name`` of the ``chosen`` servos, (dof,); NaN where one is not chosen or does not answer."""
        register = self.model.register(name)
        replies = self.bus.sync_read(self._chosen(chosen), register.address, register.size, fast=self.fast)
        return np.array([register.decode(replies[id].data) if id in replies else np.nan for id in self.ids])

    def hold(self, name: str, value: int, chosen: Mask) -> Mask:
        """Which of the ``chosen`` servos hold ``value`` in register ``name``; one that does not answer does not."""
        held: Mask = self.values(name, chosen) == value
        return held

    def rewind_watchdog(self, watchdog_ms: int, goals: NDArray[np.integer], chosen: Mask) -> Mask:
        """Clear the bus watchdog, write ``goals``, set it again; the servos that read it back as set."""
        self.fill("bus_watchdog", 0, chosen)
        self.write("goal_position", goals, chosen)
        self.fill("bus_watchdog", watchdog_units(watchdog_ms), chosen)
        return self.hold("bus_watchdog", watchdog_units(watchdog_ms), chosen)

    def has_fast_read(self) -> bool:
        """Whether every servo's firmware answers a fast read: it is tried."""
        everyone = np.ones(len(self.ids), dtype=np.bool_)
        tried = ServoGroup(self.bus, self.model, self.ids, fast=True)
        before = self.bus.counts.missed
        return bool(tried.present(everyone).answered.all()) and self.bus.counts.missed == before

    def _chosen(self, mask: Mask) -> list[int]:
        return [id for n, id in enumerate(self.ids) if mask[n]]
