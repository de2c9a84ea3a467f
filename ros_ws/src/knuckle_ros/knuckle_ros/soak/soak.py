"""The soak itself: each fault is injected at its time, its end waited for, and the hand led back as an operator would.

The road back is the stated one: whatever was killed is started again by the supervisor, `hand/rearm` clears a stop,
acknowledges servos and wakes a restarted node, `policy/engage` takes the lease. A fault is recovered when commands
reach the servos again. Where the machine is too slow for the plan a fault waits for the one before, and none is left
out.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from knuckle.core.errors import RunError
from knuckle_ros.soak.graph_run import GraphRun, Usage
from knuckle_ros.soak.listener import Listener
from knuckle_ros.soak.plan import Injection

START_S = 90.0
RECOVERY_S = 60.0
"""So long may it take until commands flow again, once a fault is over; on a quiet machine it takes seconds."""

FLOWING = 6
"""So many commands sent since make a hand recovered: half a second at the policy's rate."""

USAGE_EVERY_S = 2.0
JUDGE_EVERY_S = 0.25
"""A driver that is killed takes what its monitor counted since it was last asked."""

LOOK_S = 0.05
STEP_S = 3.0
"""An operator's patience before the next try."""

GARBAGE_EVERY_S = 0.01


@dataclass
class Outcome:
    """What became of one injection. Times are of the machine's clock, s since the soak's start."""

    injection: Injection
    began_s: float
    held: bool = False
    """The hand left ARMED, or was gone, between the injection and its recovery."""
    noticed: bool = False
    """What had to be seen was seen: the hand held, or a stranger's commands were refused."""
    recovered_s: float | None = None
    road: list[str] = field(default_factory=list)

    @property
    def recovered(self) -> bool:
        """Whether commands flowed again in time, after what had to be seen was seen."""
        return self.recovered_s is not None and self.noticed


@dataclass
class Record:
    """What a soak saw: ``usage`` as (s, figures) in calm times; unsafe writes by reason, over all buses there were."""

    outcomes: list[Outcome] = field(default_factory=list)
    usage: list[tuple[float, Usage]] = field(default_factory=list)
    unsafe: Counter[str] = field(default_factory=Counter)
    last_unsafe: str = ""
    packets: int = 0
    unasked_holds: int = 0
    """How often the hand was found not armed though nothing had been done to it: a machine too busy for the graph."""
    began_s: float = 0.0
    seconds: float = 0.0


class Soak:
    """Runs ``plan`` on ``graph`` for at least ``seconds``. ``say`` is told a line of each fault."""

    def __init__(
        self, graph: GraphRun, listener: Listener, plan: Sequence[Injection], seconds: float, say: Callable[[str], None]
    ) -> None:
        self._graph, self._listener, self._plan, self._seconds, self._say = graph, listener, plan, seconds, say
        self.record = Record()
        # Of the bus that runs now; one that dies takes its monitor with it, so what it had counted is kept here.
        self._seen: Counter[str] = Counter()
        self._seen_packets = 0
        self._judged: int | None = None
        self._usage_due = self._judge_due = 0.0

    def run(self) -> Record:
        """The soak; RunError where the graph does not start, or ends."""
        record = self.record
        record.began_s = time.monotonic()
        if not self._lead_back([], START_S):
            last = "; ".join(list(self._graph.lines)[-3:])
            raise RunError(f"no commands within {START_S:.0f} s: {last}", where="soak", right="a graph that starts")
        record.began_s = time.monotonic()
        for injection in self._plan:
            self._calm(injection.at_s)
            record.outcomes.append(self._suffer(injection))
        self._calm(self._seconds)
        self._judge()
        record.seconds = self._now()
        return record

    def _now(self) -> float:
        return time.monotonic() - self.record.began_s

    def _calm(self, until_s: float) -> None:
        """Let the graph run until then."""
        while self._now() < until_s:
            self._look()

    def _look(self) -> None:
        self._watch()
        self._weigh()

    def _weigh(self) -> None:
        """Now and then, what the run costs: while all is well, so that like is compared with like."""
        if self._now() >= self._usage_due and len(self._graph.hosts()) == 3 and self._listener.state == "ARMED":
            usage = self._graph.usage()
            if usage is not None:
                self.record.usage.append((self._now(), usage))
            self._usage_due = self._now() + USAGE_EVERY_S

    def _judge(self) -> bool:
        """Ask the monitor what it has counted; False where no bus answers."""
        process = self._graph.hosts().get("world")
        said = self._graph.ask("servo_bus", "monitor")
        if said is None:
            return False
        if process != self._judged:
            # Another bus than the one before: it counts from nothing.
            self._judged, self._seen, self._seen_packets = process, Counter(), 0
        reasons = Counter(said["reasons"])
        self.record.unsafe += reasons - self._seen
        self.record.packets += said["packets"] - self._seen_packets
        self._seen, self._seen_packets = reasons, said["packets"]
        self.record.last_unsafe = said["last_violation"] or self.record.last_unsafe
        return True

    # One fault

    def _suffer(self, injection: Injection) -> Outcome:
        self._judge()
        if self._listener.state != "ARMED":
            self.record.unasked_holds += 1
            self._lead_back([], RECOVERY_S)
        outcome = Outcome(injection, self._now())
        changes, before, refused = len(self._listener.states), self._graph.hosts(), self._listener.refused
        try:
            self._inject(injection)
            if injection.holds:
                # It may take a moment to be noticed; what is to be seen is that the hand does hold.
                self._until(lambda: self._left_armed(changes, before))
            if injection.target == "camera":
                self._graph.ask("camera", "clear")
            self._until(self._over)
            if self._lead_back(outcome.road, RECOVERY_S):
                outcome.recovered_s = self._now()
        except RunError as error:
            self._graph.check()
            outcome.road.append(str(error))
        outcome.held = self._left_armed(changes, before)
        outcome.noticed = outcome.held or not injection.holds
        if injection.what == "garbage":
            outcome.noticed = self._listener.refused > refused or outcome.held
        self._weigh()
        took = "NOT RECOVERED" if not outcome.recovered else f"{(outcome.recovered_s or 0.0) - outcome.began_s:.1f} s"
        self._say(f"{outcome.began_s:7.1f} s  {injection}: {took} ({', '.join(outcome.road) or 'no help needed'})")
        return outcome

    def _watch(self) -> None:
        """Let a moment pass."""
        self._graph.check()
        if time.monotonic() >= self._judge_due:
            self._judge()
            self._judge_due = time.monotonic() + JUDGE_EVERY_S
        time.sleep(LOOK_S)

    def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for ``condition``, but no longer than a recovery may take."""
        end = time.monotonic() + RECOVERY_S
        while not condition() and time.monotonic() < end:
            self._watch()

    def _left_armed(self, changes: int, before: dict[str, int]) -> bool:
        """Whether the hand left ARMED since, or its process is another: it comes back holding."""
        left = any(heard.state != "ARMED" for heard in self._listener.states[changes:])
        return left or self._graph.hosts().get("world") != before.get("world")

    def _inject(self, injection: Injection) -> None:
        target, what, lasting = injection.target, injection.what, injection.lasting_s
        if what == "SIGKILL":
            self._graph.signal(target, signal.SIGKILL)
        elif what == "SIGSTOP":
            self._graph.signal(target, signal.SIGSTOP)
            time.sleep(lasting)
            self._graph.signal(target, signal.SIGCONT)
        elif what == "garbage":
            end, number = time.monotonic() + lasting, 0
            while time.monotonic() < end:
                self._listener.garbage(number)
                number += 1
                time.sleep(GARBAGE_EVERY_S)
        elif target == "emergency_stop":
            done, words = self._listener.trigger("emergency_stop")
            if not done:
                raise RunError(words, where="emergency_stop")
        elif target == "camera":
            # Until it was noticed: how many frames come in a time is for the machine to say.
            self._told("camera", f"fault {what}")
            time.sleep(lasting)
        else:
            self._told("servo_bus", f"fault {target} {what}" + (f" for {lasting:g} s" if lasting else ""))

    def _told(self, device: str, line: str) -> None:
        if self._graph.ask(device, line) is None:
            raise RunError(f"the virtual {device} does not answer", where="soak")

    def _over(self) -> bool:
        """Whether what was done has ended: all processes are there, and no device is faulty any more."""
        if len(self._graph.hosts()) < 3:
            return False
        bus, camera = self._graph.ask("servo_bus", "status"), self._graph.ask("camera", "status")
        return bus is not None and not bus["faults"] and (camera is None or not camera["faults"])

    def _lead_back(self, road: list[str], seconds: float) -> bool:
        """Do what an operator would until commands flow again; False where it took too long. Notes the ``road``."""
        end = time.monotonic() + seconds
        flowing = self._flowing_since(self._listener.sent)
        while time.monotonic() < end:
            if self._listener.state not in ("", "ARMED"):
                for service in ("hand/rearm", "policy/engage"):
                    done, _ = self._listener.trigger(service)
                    if done and service not in road:
                        road.append(service)
                flowing = self._flowing_since(self._listener.sent)
            step = time.monotonic() + STEP_S
            while time.monotonic() < step:
                if flowing():
                    return True
                self._watch()
        return False

    def _flowing_since(self, sent: int) -> Callable[[], bool]:
        """True once the hand is armed and has sent enough commands since ``sent``; a new driver counts from nothing."""
        from_sent = [sent]

        def flowing() -> bool:
            from_sent[0] = min(from_sent[0], self._listener.sent)
            return self._listener.state == "ARMED" and self._listener.sent >= from_sent[0] + FLOWING

        return flowing
