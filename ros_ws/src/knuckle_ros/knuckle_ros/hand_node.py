"""The hand on the bus: a lifecycle node around the guarded hand. Every command passes its limiter, states and lease.

Inactive, it publishes what it measures and holds; active, it may be armed. After a restart it comes back inactive and
waits for ``hand/rearm``, and so does a real hand at its first start. `hand_factory` says which hand it is.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from knuckle_msgs.msg import HandStatus, SafetyState, ZoneState
from knuckle_msgs.srv import Arm
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from knuckle.core.config import setting
from knuckle.core.errors import CommandRefused, KnuckleError
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.latch import StopLatch
from knuckle.hardware.safety.states import State
from knuckle.hardware.safety.status import SafetyStatus
from knuckle.hardware.safety.watchdog_link import WatchdogLink
from knuckle.hardware.spec.contracts import HandState
from knuckle.hardware.spec.urdf import urdf
from knuckle.sim.world import STEPS_PER_S
from knuckle_ros import bus_qos
from knuckle_ros.cycle_meter import CycleMeter
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.hand_factory import hand_source
from knuckle_ros.hand_files import default_latch, watchdog_socket
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.wire import command_msg, command_of, header_msg, joint_state_msg
from knuckle_ros.world_pace import PATIENCE_S
from knuckle_ros.zone_deadline import ZoneDeadline

REMEMBERED = 64
LARGEST_COMMAND = 16 * 1024
"""Bytes of a command on the wire; one for 32 joints with long names has 3000."""


@dataclass(frozen=True)
class Config:
    """Parameters of the hand node."""

    autostart: bool = setting(False, "become active by itself; for simulated hands, and never after a restart")
    joint_state_rate: float = setting(24.0, "joint states, those of control cycles among them", low=12.0, high=120.0)
    latch_file: str = setting("", "file of the latched stop; empty for one in the user's state folder")
    model: str = setting("", "which hand it is; empty for the simulated world's")
    port: str = setting("", "its servos' port, or 'virtual'; empty for the simulated world's own hand")
    baud: int = setting(0, "baud rate of the servos; 0 for that of the hand's profile", low=0, high=4_500_000)
    calibration: str = setting("", "calibration file of a real hand; empty for the user's own of that model")
    bus_watchdog_ms: int = setting(
        200, "servos stop by themselves when their bus is silent this long", low=20, high=2540
    )
    answer_ms: float = setting(
        6.0, "how long a servo may take to begin its answer, besides its adapter", low=1.0, high=1000.0, unit="ms"
    )
    watchdog_s: float = setting(
        0.15, "a driver whose cycles stop for so long is killed; 0: no watchdog", low=0.0, high=10.0, unit="s"
    )
    zone_silence_s: float = setting(
        1.5, "a watch of the zone that judges no frame for so long: hold; 0: never", low=0.0, high=60.0, unit="s"
    )


class HandNode(LifecycleNode):
    """Driver of the hand: ticks the guarded hand at each step of the world and speaks for it on the bus."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        super().__init__(name)
        self.config = declare(self, config)
        self.world = hand_source(
            context,
            model=self.config.model,
            port=self.config.port,
            baud=self.config.baud,
            calibration=self.config.calibration,
            watchdog_ms=self.config.bus_watchdog_ms,
            answer_s=self.config.answer_ms * 1e-3,
            where=name,
        )
        spec = self.world.spec
        self._names = list(spec.joint_names)
        latch = StopLatch(Path(self.config.latch_file) if self.config.latch_file else default_latch(spec.name))
        self.hand = GuardedHand(self.world.hand, latch, mint=lambda: secrets.token_hex(8))
        self._watchdog = self._guard(spec.name)
        self._late = CycleMeter(1.0 / STEPS_PER_S)
        self._zone = ZoneDeadline(self.config.zone_silence_s)
        self._configured = self._active = False
        self._announced = -1
        self._announcing = threading.Lock()
        self._measured_at: OrderedDict[int, float] = OrderedDict()
        self._joint_steps = max(1, round(STEPS_PER_S / self.config.joint_state_rate))
        self._joint_states = self.create_publisher(JointState, "joint_states", bus_qos.JOINT_STATES)
        self._sent = self.create_publisher(JointTrajectory, "joint_commands/sent", bus_qos.JOINT_STATES)
        self._status = self.create_publisher(HandStatus, "hand/status", bus_qos.JOINT_STATES)
        self._safety = self.create_publisher(SafetyState, "safety/state", bus_qos.LATCHED)
        self._description = self.create_publisher(String, "robot_description", bus_qos.LATCHED)
        self._description.publish(String(data=urdf(spec)))
        self.diagnostics = Diagnostics(self, context, hardware=self.world.described)
        self._listen()
        context.on_peer_death(self._on_peer_death)
        self.world.add_cycle(self._cycle)
        if self.config.autostart or context.restarted or self.world.real:
            self.trigger_configure()
        if self.config.autostart and not context.restarted and not self.world.real:
            self.trigger_activate()
        if self.world.real:
            self.get_logger().warning(f"{self.world.described}: torque is off; hand/rearm lets it be armed")

    @property
    def node(self) -> HandNode:
        """Itself: what the host spins."""
        return self

    def _guard(self, model: str) -> WatchdogLink | None:
        """The watchdog of a driver of servos; the simulated hand has none, and its world may wait for a planner."""
        if not self.config.port or self.config.watchdog_s == 0.0:
            return None
        patience_s = 0.0 if self.world.real else PATIENCE_S
        return WatchdogLink(watchdog_socket(model), patience_s + self.config.watchdog_s)

    def _listen(self) -> None:
        self.create_subscription(
            JointTrajectory,
            "joint_commands",
            self._on_command,
            bus_qos.commands(),
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(liveliness=self._on_liveliness),
        )
        self.create_subscription(Bool, "emergency_stop", self._on_stop_topic, 10)
        self.create_service(Trigger, "emergency_stop", self._on_stop)
        self.create_service(Arm, "hand/arm", self._on_arm)
        for service, act in (("hold", self._hold), ("release", self._release), ("rearm", self._rearm)):
            self.create_service(Trigger, f"hand/{service}", self._answering(act))
        self.create_subscription(
            ZoneState, "zone/state", lambda said: self._zone.heard(said, self.world.now_ns()), bus_qos.LATCHED
        )
        self.create_service(Trigger, "hand/hold_for_zone", self._answering(self._hold, "the watch of the zone"))

    def close(self) -> None:
        """Hold, and leave the bus."""
        self.world.remove_cycle(self._cycle)
        if self.hand.status().state is State.ARMED:
            self.hand.hold("the driver's end")
            self._announce()
        self.world.close()
        if self._watchdog is not None:
            self._watchdog.close()
        self.destroy_node()

    # Lifecycle: what may be asked of the hand

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish what is measured."""
        self._configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """May be armed from now on."""
        self._active = True
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hold, and refuse to be armed."""
        self._active = False
        if self.hand.status().state is State.ARMED:
            self._hold("deactivation")
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish no more."""
        self._configured = False
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As after deactivation and cleanup."""
        self.on_deactivate(state)
        return self.on_cleanup(state)

    # Each step of the world, in its thread

    def _cycle(self, now_ns: int, step: int) -> None:
        if self.world.real:
            self._late.began(time.monotonic())
        state = self.hand.tick(now_ns)
        if (unwatched := self._zone.broken(now_ns)) and self.hand.status().state is State.ARMED:
            self.hand.fault(unwatched)
        if self._watchdog is not None:
            self._watchdog.attend(self.hand)
        self._announce()
        if state is None or not self._configured:
            return
        if step % self._joint_steps == 0 or step % self.world.steps_a_cycle == 0:
            self._measured_at[state.stamp_ns] = time.monotonic()
            while len(self._measured_at) > REMEMBERED:
                self._measured_at.popitem(last=False)
            self._joint_states.publish(joint_state_msg(self._names, state))
        if step % self.world.steps_a_cycle == 0:
            self._status.publish(self._status_msg(state))
            self._judge()

    def _status_msg(self, state: HandState) -> HandStatus:
        status = self.hand.status()
        measured = bool(np.isfinite(state.temperature).all())
        return HandStatus(
            header=header_msg(state.stamp_ns),
            mode=int(status.state),
            name=self._names,
            temperature=state.temperature.tolist() if measured else [],
            effort=state.effort.tolist(),
            error=state.error.tolist(),
            clamped=status.clamped,
            refused=status.refused,
            sent=status.sent,
            command_age=status.command_age_s,
            effort_limit=status.effort_limit.tolist(),
            expired=status.expired,
            miss_rate=status.miss_share,
            cycle_misses=self._late.misses,
            bad_states=status.bad_states,
            problem=status.problem,
        )

    def _judge(self) -> None:
        status = self.hand.status()
        active = "" if self._active else "inactive, "
        line = f"{active}{status.state.name}: {status.reason}"
        level = Level.WARN if status.latched or not self._active else Level.OK
        if status.latched:
            line += "; hand/rearm clears it"
        warning = self.world.warning()
        if warning:
            level, line = Level.WARN, f"{line}; {warning}"
        if status.problem:
            level, line = Level.ERROR, status.problem
        for key in ("sent", "clamped", "refused", "expired", "bad_states"):
            self.diagnostics.value(key, str(getattr(status, key)))
        self.diagnostics.value("late_share", status.miss_share)
        self.diagnostics.value("cycle_misses", str(self._late.misses))
        for key, value in self.world.values().items():
            self.diagnostics.value(key, value)
        self.diagnostics.level(level, line)

    def _announce(self) -> SafetyStatus:
        """Publish the safety state where it changed; a hand that nobody commands does not stop the world."""
        with self._announcing:
            status = self.hand.status()
            if status.changes != self._announced:
                self._announced = status.changes
                self._safety.publish(
                    SafetyState(
                        header=header_msg(status.since_ns),
                        state=int(status.state),
                        holder=status.holder,
                        latched=status.latched,
                        reason=status.reason,
                    )
                )
                self.world.free()
        return status

    # What others ask, in the executor's thread

    def _on_command(self, packet: bytes) -> None:
        """A command, as it came: its size is judged before anything is made of it."""
        try:
            if len(packet) > LARGEST_COMMAND:
                where, right = "joint_commands", f"at most {LARGEST_COMMAND} bytes"
                raise CommandRefused(f"a message of {len(packet)} bytes", where=where, right=right)
            lease, names, command = command_of(deserialize_message(packet, JointTrajectory))
            now_ns = self.world.now_ns()
            sent = self.hand.command(names, command.q, command.stamp_ns, command.valid_until_ns, lease, now_ns)
        except KnuckleError as error:
            # Counted there, and shown; a stranger that floods the topic must not flood the log too.
            self.diagnostics.dropped()
            self.diagnostics.value("last_refusal", str(error))
            return
        self.world.commanded(sent.valid_until_ns)
        self._sent.publish(command_msg(self._names, sent))
        measured = self._measured_at.get(command.stamp_ns)
        self.diagnostics.produced(time.monotonic() - measured if measured is not None else np.nan)

    def _on_arm(self, request: Arm.Request, response: Arm.Response) -> Arm.Response:
        try:
            if not self._active:
                raise CommandRefused("the hand node is inactive", where="hand/arm", right="hand/rearm activates it")
            if unwatched := self._zone.unwatched(self.world.now_ns()):
                raise CommandRefused(unwatched, where="hand/arm", right="a watch that sees, or one switched off")
            response.lease = self.hand.arm(request.commander)
            response.success = True
        except KnuckleError as error:
            response.success, response.message = False, str(error)
        self._announce()
        return response

    def _answering(self, act: Callable[[str], str], source: str = "operator") -> Callable[[Any, Any], Any]:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.success, response.message = True, act(source)
            except KnuckleError as error:
                response.success, response.message = False, str(error)
            self._announce()
            return response

        return answer

    def _hold(self, source: str) -> str:
        self.hand.hold(source)
        return self._announce().reason

    def _release(self, source: str) -> str:
        self.hand.release(source)
        return self._announce().reason

    def _rearm(self, source: str) -> str:
        """An operator's word that the hand may move: clears a stop, acknowledges servos, activates a restarted node."""
        woken, status = self._configured and not self._active, self.hand.status()
        if status.latched or status.locked or not woken:
            self.hand.rearm(source)
        if woken:
            self.trigger_activate()
        return f"{'active; ' if woken else ''}{self._announce().reason}"

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, self._stop("service")
        return response

    def _on_stop_topic(self, message: Bool) -> None:
        if message.data:
            self._stop("topic")

    def _stop(self, source: str) -> str:
        line = self.hand.emergency_stop(source)
        self._announce()
        self.get_logger().warning(line)
        return line

    # Deaths

    def _on_peer_death(self, name: str) -> None:
        """From the supervisor, within milliseconds, in the control pipe's thread."""
        if self.hand.commander_died(name):
            self._announce()

    def _on_liveliness(self, event: Any) -> None:
        """From DDS: a publisher of commands died, or the last has left.

        Which one it was is not said (Jazzy names no publisher), so the hand holds whoever holds the lease.
        """
        died = event.not_alive_count_change > 0 or event.alive_count == 0
        if died and self.hand.commander_died(self.hand.status().holder):
            self._announce()


def build(name: str, config: Config, context: HostContext) -> HandNode:
    """The hand node ``name``."""
    return HandNode(name, config, context)
