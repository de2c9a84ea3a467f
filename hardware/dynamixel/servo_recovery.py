"""Taking servos back that were lost or in error: restarted where they are in error, set up anew, torque off. One a
cycle, so that the others are read on meanwhile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import DeviceError, KnuckleError
from knuckle.hardware.dynamixel.configuration import configure
from knuckle.hardware.dynamixel.drive_config import DriveConfig
from knuckle.hardware.dynamixel.drive_profile import DriveProfile
from knuckle.hardware.dynamixel.faults import ServoSilent, hardware_error_text
from knuckle.hardware.dynamixel.servo_group import ServoGroup
from knuckle.hardware.dynamixel.servo_poll import ServoPoll
from knuckle.hardware.dynamixel.servo_watch import ServoWatch
from knuckle.hardware.dynamixel.units import JointScale
from knuckle.hardware.spec.hand_spec import HandSpec

Mask = NDArray[np.bool_]

PATIENCE_CYCLES = 500
"""A servo that was restarted has this long to come back."""


class ServoRecovery:
    """Recovers servos of ``group`` on ``begin``, in the ``step`` of each cycle; ``probe`` looks who is back."""

    def __init__(
        self,
        spec: HandSpec,
        group: ServoGroup,
        profile: DriveProfile,
        scale: JointScale,
        config: DriveConfig,
        watch: ServoWatch,
        poll: ServoPoll,
    ) -> None:
        self._spec, self._group, self._profile, self._scale, self._config = spec, group, profile, scale, config
        self._watch, self._poll = watch, poll
        self._left = self._probes = 0
        self._back: Mask = np.zeros(spec.dof, dtype=np.bool_)
        self._restarted = self._back.copy()
        self.restarting: Mask = self._back.copy()
        """Servos that were told to restart and are not back yet."""

    @property
    def away(self) -> Mask:
        """Silent servos that did not answer when they were last asked."""
        return self._watch.silent & ~self._back & ~self.restarting

    def begin(self) -> None:
        """Recover whatever is lost or in error in the cycles to come; each is restarted once at most."""
        self._restarted[:] = False
        self._left = PATIENCE_CYCLES

    def probe(self, cycle: int) -> None:
        """Now and then, ask one silent servo whether it is back: once, as the others wait meanwhile."""
        silent = np.flatnonzero(self._watch.silent)
        if not silent.size or cycle % self._config.probe_cycles:
            return
        self._probes += 1
        n = int(silent[self._probes % silent.size])
        try:
            self._group.bus.ping(self._group.ids[n])
            self._back[n] = True
        except ServoSilent:
            self._back[n] = False

    def step(self) -> str:
        """Take one servo back, where that was begun; why it could not be, one line, empty where nothing went wrong."""
        if not self._left:
            return ""
        self._left -= 1
        hurt = self._watch.lost | (self._poll.error != 0)
        if not hurt.any() or not self._left:
            return self._end("" if not hurt.any() else "a servo that was restarted did not come back")
        ready = np.flatnonzero(hurt & (self._back | ~self._watch.silent))
        if not ready.size:
            return ""
        try:
            self._take_back(int(ready[0]))
        except KnuckleError as error:
            return self._end(str(error))
        return ""

    def _end(self, why: str) -> str:
        self._left = 0
        self.restarting[:] = False
        return why

    def _take_back(self, n: int) -> None:
        bus, model, id = self._group.bus, self._group.model, self._group.ids[n]
        joint, where = self._spec.joints[n], self._spec.name
        bits = bus.read(id, model.register("hardware_error_status"))
        if bits and self._restarted[n]:
            what = f"servo {id} ({joint.name}) is in error again ({hardware_error_text(bits)})"
            raise DeviceError(what, where=where, right="away with the cause first")
        if bits:
            # Only a restart clears it. The servo is deaf for a while, and taken up when it is back.
            bus.reboot(id)
            self._watch.silent[n], self._back[n] = True, False
            self.restarting[n] = self._restarted[n] = True
            return
        configure(bus, model, self._profile, id, self._config.watchdog_ms)
        pulses = np.zeros(self._spec.dof, dtype=np.int64)
        pulses[n] = bus.read(id, model.register("present_position"))
        q, slack = float(self._scale.joint(pulses)[n]), self._config.outside_rad
        if not joint.lower - slack <= q <= joint.upper + slack:
            what = f"servo {id} ({joint.name}) reads {q:.2f} rad, beyond its limits"
            raise DeviceError(what, where=where, right="knuckle calibrate home")
        self._back[n] = self.restarting[n] = False
        self._poll.forget(n)
        self._watch.forgive(n)
