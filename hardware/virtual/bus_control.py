"""What can be asked of a running virtual bus, a line each: its state, faults, announcements to the monitor."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from knuckle.core.errors import InputError
from knuckle.hardware.virtual.bus import VirtualBus
from knuckle.hardware.virtual.faults import parse_fault, parse_script
from knuckle.hardware.virtual.monitor import Period, ServoMonitor

REQUESTS = (
    "status; fault FAULT; script FAULT; FAULT...; clear; monitor; writes ADDRESS [since NS]; "
    "announce free, hold or stop [in N ms]"
)
MOST_WRITES = 500
"""So many writes, the last ones, are told at once."""

_WRITES = re.compile(r"(\d{1,5})(?:\s+since\s+(\d{1,19}))?")
_ANNOUNCED = re.compile(r"(free|hold|stop)(?:\s+in\s+(\d+)\s*ms)?")
_PERIODS: dict[str, Period] = {"free": "free", "hold": "hold", "stop": "stop"}


class BusControl:
    """Answers for ``bus`` and ``monitor``; ``port`` gives the path a driver opens."""

    def __init__(self, bus: VirtualBus, monitor: ServoMonitor | None, port: Callable[[], str]) -> None:
        self._bus, self._monitor, self._port = bus, monitor, port

    def answer(self, line: str, now_ns: int) -> dict[str, Any]:
        """The answer to one request; InputError for one that is none."""
        word, _, rest = line.strip().partition(" ")
        match word:
            case "status":
                return self._status(now_ns)
            case "fault":
                fault = parse_fault(rest)
                self._bus.inject(fault, now_ns)
                return {"began": str(fault), "at_ns": now_ns}
            case "script":
                script = parse_script(rest.replace(";", "\n"))
                self._bus.play(script, now_ns)
                return {"faults": len(script), "at_ns": now_ns}
            case "clear":
                return {"cleared": self._bus.clear(now_ns), "at_ns": now_ns}
            case "monitor":
                return self._watching().summary()
            case "writes":
                said = _WRITES.fullmatch(rest.strip())
                if said is None:
                    raise InputError(f"'{rest}' names no writes", where="writes", right="writes ADDRESS [since NS]")
                found = self._watching().writes(int(said[1]), since_ns=int(said[2] or 0))
                return {"count": len(found), "writes": [[w.stamp_ns, w.servo, w.value] for w in found[-MOST_WRITES:]]}
            case "announce":
                said = _ANNOUNCED.fullmatch(rest.strip())
                if said is None:
                    raise InputError(f"'{rest}' is no period", where="announce", right="free, hold or stop [in N ms]")
                self._watching().announce(_PERIODS[said[1]], now_ns, grace_s=int(said[2] or 0) * 1e-3)
                return {"period": said[1], "at_ns": now_ns}
            case _:
                raise InputError(f"'{word}' cannot be asked of a virtual bus", right=REQUESTS)

    def _watching(self) -> ServoMonitor:
        if self._monitor is None:
            raise InputError("this virtual bus has no monitor", right="one with a monitor")
        return self._monitor

    def _status(self, now_ns: int) -> dict[str, Any]:
        faults = [str(active.fault) for active in self._bus.board.active]
        servos = [
            {
                "id": servo.id,
                "torque": servo.torque_on,
                "error": servo.hardware_error,
                "position": servo.value("present_position"),
                "goal": servo.value("goal_position"),
                "temperature": servo.value("present_temperature"),
                "bus_watchdog": servo.value("bus_watchdog"),
                "boots": servo.boots,
            }
            for servo in self._bus.servos
        ]
        return {
            "virtual": True,
            "hand": self._bus.hand.name,
            "model": self._bus.model.name,
            "port": self._port(),
            "at_ns": now_ns,
            "faults": faults,
            "faults_injected": self._bus.board.injected,
            "servos": servos,
        }
