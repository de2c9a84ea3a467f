"""The hand on the bus: a lifecycle node around the guarded hand. Every command passes its limiter, states and lease.

Inactive, it publishes what it measures and holds; active, it may be armed. After a restart it comes back inactive and
waits for ``hand/rearm``. Only the simulated hand of this process is driven so far.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from knuckle_msgs.msg import HandStatus, SafetyState
from knuckle_msgs.srv import Arm
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
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
from knuckle.hardware.spec.contracts import HandState
from knuckle.hardware.spec.urdf import urdf
from knuckle.sim.world import STEPS_PER_S
from knuckle_ros import bus_qos
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.host_context import HostContext
from knuckle_ros.paced_world import shared_world
from knuckle_ros.parameters import declare
from knuckle_ros.wire import command_msg, command_of, header_msg, joint_state_msg

REMEMBERED = 64


@dataclass(frozen=True)
class Config:
    """Parameters of the hand node."""

    autostart: bool = setting(False, "become active by itself; for simulated hands, and never after a restart")
    joint_state_rate: float = setting(24.0, "joint states, those of control cycles among them", low=12.0, high=120.0)
    latch_file: str = setting("", "file of the latched stop; empty for one in the user's state folder")


class HandNode(LifecycleNode):
    """Driver of the hand: ticks the guarded hand at each step of the world and speaks for it on the bus."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        super().__init__(name)
        self.config = declare(self, config)
        self.world = shared_world(context, where=name)
        spec = self.world.sim.spec
        self._names = list(spec.joint_names)
        latch = StopLatch(Path(self.config.latch_file) if self.config.latch_file else default_latch(spec.name))
        self.hand = GuardedHand(self.world.sim, latch, mint=lambda: secrets.token_hex(8))
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
        self.diagnostics = Diagnostics(self, context, hardware=f"{spec.name}, simulated")
        self._listen()
        context.on_peer_death(self._on_peer_death)
        self.world.add_cycle(self._cycle)
        if self.config.autostart or context.restarted:
            self.trigger_configure()
        if self.config.autostart and not context.restarted:
            self.trigger_activate()

    @property
    def node(self) -> HandNode:
        """Itself: what the host spins."""
        return self

    def _listen(self) -> None:
        self.create_subscription(
            JointTrajectory,
            "joint_commands",
            self._on_command,
            bus_qos.commands(),
            event_callbacks=SubscriptionEventCallbacks(liveliness=self._on_liveliness),
        )
        self.create_subscription(Bool, "emergency_stop", self._on_stop_topic, 10)
        self.create_service(Trigger, "emergency_stop", self._on_stop)
        self.create_service(Arm, "hand/arm", self._on_arm)
        for service, act in (("hold", self._hold), ("release", self._release), ("rearm", self._rearm)):
            self.create_service(Trigger, f"hand/{service}", self._answering(act))

    def close(self) -> None:
        """Hold, and leave the bus."""
        self.world.remove_cycle(self._cycle)
        if self.hand.status().state is State.ARMED:
            self.hand.hold("the driver's end")
            self._announce()
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
        state = self.hand.tick(now_ns)
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
        )

    def _judge(self) -> None:
        status = self.hand.status()
        active = "" if self._active else "inactive, "
        line = f"{active}{status.state.name}: {status.reason}"
        level = Level.WARN if status.latched or not self._active else Level.OK
        if status.latched:
            line += "; hand/rearm clears it"
        if status.problem:
            level, line = Level.ERROR, status.problem
        for key in ("sent", "clamped", "refused", "expired", "bad_states"):
            self.diagnostics.value(key, str(getattr(status, key)))
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

    def _on_command(self, message: JointTrajectory) -> None:
        try:
            lease, names, command = command_of(message)
            now_ns = self.world.sim.now_ns
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
            response.lease = self.hand.arm(request.commander)
            response.success = True
        except KnuckleError as error:
            response.success, response.message = False, str(error)
        self._announce()
        return response

    def _answering(self, act: Callable[[str], str]) -> Callable[[Any, Any], Any]:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.success, response.message = True, act("operator")
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
        """An operator's word that the hand may move again: clears a stop, and activates a node that was restarted."""
        woken = self._configured and not self._active
        if self.hand.status().latched or not woken:
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


def default_latch(hand: str) -> Path:
    """The file of the latched stop of ``hand`` on this ROS domain, in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "knuckle" / f"stop_{hand}_{os.environ.get('ROS_DOMAIN_ID', '0')}.json"


def build(name: str, config: Config, context: HostContext) -> HandNode:
    """The hand node ``name``."""
    return HandNode(name, config, context)
