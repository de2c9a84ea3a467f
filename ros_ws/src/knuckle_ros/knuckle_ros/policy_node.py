"""The policy on the bus: server of ``reorient``, commander of the hand at the control rate."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from knuckle_msgs.action import Reorient
from knuckle_msgs.msg import SafetyState
from knuckle_msgs.srv import Arm
from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from knuckle.core.config import setting
from knuckle.core.errors import DeviceError, InputError, KnuckleError, RunError
from knuckle.hardware.safety.watchdog_link import CommanderLink
from knuckle.hardware.spec.contracts import HandCommand
from knuckle.hardware.spec.hands import hand_spec
from knuckle.perception.frame_silence import FrameSilence
from knuckle.policy.contract import Goal, SceneState
from knuckle.policy.controllers import make_controller
from knuckle.policy.reorient_runner import ReorientRunner, Verdict
from knuckle.policy.scene_tracker import SceneTracker
from knuckle_ros import bus_qos
from knuckle_ros.deadline_meter import DeadlineMeter
from knuckle_ros.diagnostics import Diagnostics, Level
from knuckle_ros.executor import Done
from knuckle_ros.hand_files import watchdog_socket
from knuckle_ros.host_context import HostContext
from knuckle_ros.parameters import declare
from knuckle_ros.question import ANSWER_S, Question
from knuckle_ros.steady_timer import steady_timer
from knuckle_ros.wire import command_msg, from_ros_quaternion, joints_of, pose_of, stamp_ns, to_ros_quaternion

ENGAGE_AGAIN_S = 0.5

SILENT_PERIODS = 3.5
"""Of object/pose, after which the hand is told to hold: one more than perception waits before it says STALE."""


@dataclass(frozen=True)
class Config:
    """Parameters of the policy node."""

    model: str = setting("mpc", "controller: mpc, nothing, random, a trained policy or its folder")
    hand: str = setting("dclaw3", "hand the controller is for")
    threads: int = setting(2, "planner threads", low=1, high=64)
    seed: int = setting(0, "seed of the controller's own randomness", low=0, high=2**31 - 1)
    engage: bool = setting(False, "ask the hand for the lease as soon as it can be had (not after a restart)")
    validity_cycles: float = setting(1.0, "control cycles for which a command is valid", low=1.0, high=3.0)


@dataclass
class Request:
    """An accepted goal on its way through the worker. It ends with the ``lease`` under which it was accepted."""

    goal: Goal
    lease: str
    handle: Any
    done: Future
    started_wall: float = 0.0
    result: Reorient.Result | None = None


class PolicyNode:
    """Pairs joint states with object poses of the same stamp, thinks in a thread of its own, answers with commands."""

    def __init__(self, name: str, config: Config, context: HostContext) -> None:
        self.node = Node(name)
        self.config = declare(self.node, config)
        self.hand = hand_spec(self.config.hand, where=f"{name}.hand")
        policy = make_controller(
            self.config.model, self.hand, seed=self.config.seed, threads=self.config.threads, where=f"{name}.model"
        )
        self.runner = ReorientRunner(self.hand, policy)
        self.tracker = SceneTracker(self.hand)
        self.silence = FrameSilence(SILENT_PERIODS, by_arrival=True)
        self.lease = self.worked_lease = self.threat = ""
        self.tie: CommanderLink | None = None
        self.object_name = ""
        self.request: Request | None = None
        self.accepted: Goal | None = None
        self.starting = self.engage_wanted = self.config.engage and not context.restarted
        self.engage_after, self.stopped = 0.0, False
        self.joints_ns, self.asked_ns, self.seen_armed = 0, 0, False
        self.states: queue.Queue[tuple[float, SceneState] | None] = queue.Queue(maxsize=4)
        self.deadlines = DeadlineMeter(1.0 / self.hand.control_rate_hz)
        self.finished: deque[Request] = deque()
        self.failure: BaseException | None = None
        self.pace: deque[tuple[float, int]] = deque(maxlen=13)
        self.diagnostics = Diagnostics(self.node, context, hardware=f"{self.config.model}, {self.hand.name}")
        self._connect()
        self.worker = threading.Thread(target=self._work, name="policy-worker", daemon=True)
        self.worker.start()

    def _connect(self) -> None:
        node = self.node
        self.commands = node.create_publisher(JointTrajectory, "joint_commands", bus_qos.commands(0.25))
        self.goal_pub = node.create_publisher(PoseStamped, "reorient/goal", bus_qos.LATCHED)
        self.status_pub = node.create_publisher(String, "reorient/status", bus_qos.LATCHED)
        node.create_subscription(JointState, "joint_states", self._on_joints, bus_qos.JOINT_STATES)
        node.create_subscription(PoseStamped, "object/pose", self._on_pose, 10)
        node.create_subscription(String, "object/name", self._on_name, bus_qos.LATCHED)
        node.create_subscription(SafetyState, "safety/state", self._on_safety, bus_qos.LATCHED)
        node.create_subscription(String, "zone/threat", self._on_threat, bus_qos.LATCHED)
        self.arm = Question(node, Arm, "hand/arm", self._on_armed)
        self.hold = node.create_client(Trigger, "hand/hold")
        node.create_service(Trigger, "policy/engage", self._on_engage)
        steady_timer(node, 0.02, self._poll)
        self.server = ActionServer(
            node,
            Reorient,
            "reorient",
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )
        self._say("idle: waiting for the hand")

    def close(self) -> None:
        """End the worker and its planner."""
        self._put(None)
        if self.tie is not None:
            self.tie.close()
        self.worker.join(timeout=5.0)
        self.runner.policy.close()
        self.server.destroy()
        self.node.destroy_node()

    # What comes in, on the executor's thread

    def _on_joints(self, message: JointState) -> None:
        try:
            q, dq = joints_of(message, self.hand.joint_names)
        except InputError as error:
            self._refuse(error)
            return
        self.joints_ns = stamp_ns(message.header.stamp)
        self.silence.passed(self.joints_ns)
        if self.lease and self.silence.silent:
            self._hold_for_silence()
        self._hand_over(self.tracker.push_joints(self.joints_ns, q, dq))

    def _on_pose(self, message: PoseStamped) -> None:
        try:
            position, quaternion = pose_of(message, where="object/pose")
        except InputError as error:
            self._refuse(error)
            return
        self.silence.frame(stamp_ns(message.header.stamp))
        self._hand_over(self.tracker.push_pose(stamp_ns(message.header.stamp), position, quaternion))

    def _hold_for_silence(self) -> None:
        """Where the object was last seen is not where it is: HOLD at once, and not only when the last command ends."""
        what = f"object/pose is silent since {self.silence.since_ms:.0f} ms"
        self.node.get_logger().warning(f"{what}: hold")
        # The lease is void from here, whatever the answer: what would be sent on it is stale.
        self.lease = ""
        self._say(f"idle: {what}; policy/engage takes the lease again")
        if self.hold.service_is_ready():
            self.hold.call_async(Trigger.Request())

    def _on_threat(self, message: String) -> None:
        """Something comes near: whoever watches the zone tells the hand to hold, and what we would send is void."""
        free = bool(self.threat) and not message.data
        self.threat = message.data
        if self.lease and self.threat:
            self.lease = ""
            self._say(f"idle: {self.threat}")
        elif free and not self.lease:
            self._say("idle: the zone is free; policy/engage takes the lease again")

    def _refuse(self, error: InputError) -> None:
        """A stranger's message must end neither the policy nor its goal; without states of its own the hand holds."""
        self.diagnostics.dropped()
        self.diagnostics.value("last_refusal", str(error))

    def _hand_over(self, state: SceneState | None) -> None:
        if state is not None:
            self._put((time.monotonic(), state))

    def _put(self, item: tuple[float, SceneState] | None) -> None:
        """Give the worker ``item`` (None: the end), instead of the oldest where it lags; only this thread puts."""
        if self.states.full():
            # The worker may just have taken them.
            with suppress(queue.Empty):
                self.states.get_nowait()
                if self.lease:
                    self.deadlines.skipped(time.monotonic())
        self.states.put_nowait(item)

    def _on_safety(self, message: SafetyState) -> None:
        """The hand left ARMED, or another armed it: our lease is void, and the goal in hand, if any, ends as held."""
        self.stopped = message.state == SafetyState.STOPPED
        if message.state == SafetyState.ARMED and message.holder == self.node.get_name():
            self.seen_armed = True
            return
        if not self.seen_armed and stamp_ns(message.header.stamp) <= self.asked_ns:
            return  # A word from before the arming, late on its way.
        if self.lease:
            self.lease = ""
            self._say(f"idle: hand not armed ({message.reason})")

    def _on_goal(self, goal: Reorient.Goal) -> GoalResponse:
        try:
            self.accepted = self._check_goal(goal)
        except KnuckleError as error:
            self.node.get_logger().error(f"goal refused: {error}")
            if self.request is None:
                self._say(f"idle: goal refused: {error}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _check_goal(self, goal: Reorient.Goal) -> Goal:
        if self.request is not None or self.accepted is not None:
            raise InputError("another goal is running", where="reorient", right="cancel it first")
        if not self.lease:
            raise InputError("the hand is not armed", where="reorient", right="policy/engage takes the lease")
        if goal.goal_cloud.data:
            raise InputError("goal clouds are not understood by this controller", where="reorient", right="object_name")
        if goal.header.frame_id not in ("", "world"):
            raise InputError(f"frame '{goal.header.frame_id}'", where="reorient.header.frame_id", right="world")
        quaternion = from_ros_quaternion(goal.orientation)
        wanted = Goal(goal.object_name, quaternion, goal.tolerance, goal.time_limit)
        self.runner.policy.check(wanted)
        if self.object_name not in ("", wanted.object_name):
            raise InputError(f"no {wanted.object_name} here", where="reorient.object_name", right=self.object_name)
        return wanted

    def _on_name(self, message: String) -> None:
        self.object_name = message.data

    def _on_cancel(self, handle: Any) -> CancelResponse:
        return CancelResponse.ACCEPT

    async def _execute(self, handle: Any) -> Reorient.Result:
        goal, self.accepted = self.accepted, None
        if goal is None:
            raise RunError("a goal runs that was never accepted", where="reorient")
        request = Request(goal, self.lease, handle, Future())
        self.request = request
        self._show_goal(goal)
        result: Reorient.Result = await Done(request.done)
        if result.outcome == "cancelled":
            handle.canceled()
        elif result.success:
            handle.succeed()
        else:
            handle.abort()
        return result

    def _on_engage(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Ask for the lease; asked again while we hold it, the hand would refuse, and nothing has to change."""
        self.engage_wanted = not self.lease and not self.threat
        response.success = not self.threat
        response.message = self.threat or ("armed already" if self.lease else "asking the hand for the lease")
        return response

    def _poll(self) -> None:
        """Executor's side of the worker: results, failures, and the wish for the lease."""
        if self.failure is not None:
            raise self.failure
        while self.finished:
            request = self.finished.popleft()
            self.request = None
            self._show_goal(None)
            request.done.set_result(request.result)
        self.arm.poll()
        listened = self.joints_ns > 0 and self.commands.get_subscription_count() > 0
        ready = self.engage_wanted and listened and self.arm.offered and not (self.arm.waiting or self.threat)
        if ready and time.monotonic() >= self.engage_after:
            self.seen_armed, self.asked_ns = False, self.joints_ns
            self.arm.ask(Arm.Request(commander=self.node.get_name()))

    def _on_armed(self, answer: Arm.Response | None) -> None:
        """The lease, or the reason why not; at the start the hand may not be ready, so that wish is repeated."""
        if answer is None:
            answer = Arm.Response(success=False, message=f"hand/arm: no answer in {ANSWER_S:g} s")
        self.lease = answer.lease if answer.success else ""
        self.engage_wanted = self.starting and not answer.success and not self.stopped
        self.engage_after = time.monotonic() + ENGAGE_AGAIN_S
        self.starting = self.engage_wanted
        self._tie_to_watchdog()
        self._say("idle: armed" if answer.success else f"idle: {answer.message}")
        if not answer.success and not self.engage_wanted:
            self.node.get_logger().warning(f"the hand was not armed: {answer.message}")

    def _tie_to_watchdog(self) -> None:
        """Where a watchdog guards the driver, our death is seen by it as the end of a connection."""
        path = watchdog_socket(self.hand.name)
        if self.tie is not None and not self.tie.alive:
            self.tie.close()
            self.tie = None
        if self.lease and self.tie is None and path.exists():
            # One left behind by a driver that was killed has nobody behind it.
            with suppress(DeviceError):
                self.tie = CommanderLink(path, self.node.get_name())

    # What goes out, on the worker's thread

    def _work(self) -> None:
        try:
            while (item := self.states.get()) is not None:
                self._step(*item)
        except BaseException as error:
            self.failure = error

    def _step(self, came: float, state: SceneState) -> None:
        began = time.monotonic()
        self.pace.append((began, state.stamp_ns))
        # Once for the whole step: both may change in the executor's thread meanwhile.
        request, lease = self.request, self.lease
        if lease != self.worked_lease:
            # The hand may have been moved since: the next posture is measured anew.
            self.worked_lease, self.runner.target = lease, None
        if request is not None and request.result is None and (not lease or request.lease != lease):
            self.runner.cancel()
            self._finish(request, None, "held", float("nan"), 0.0)
        if not lease:
            return
        if request is not None and self.runner.goal is None and request.result is None:
            self.runner.start(request.goal, state)
            request.started_wall = time.monotonic()
        if request is not None and request.handle.is_cancel_requested and self.runner.goal is not None:
            self.runner.cancel()
            self._finish(request, None, "cancelled", float("nan"), 0.0)
        step = self.runner.step(state)
        self._publish(state, step.target, lease)
        self.diagnostics.produced(time.monotonic() - began)
        self._note_deadline(came)
        if request is None or request.result is not None:
            return
        elapsed = (state.stamp_ns - self.runner.start_ns) * 1e-9
        factor = self._real_time_factor()
        request.handle.publish_feedback(Reorient.Feedback(angle=step.angle, elapsed=elapsed, real_time_factor=factor))
        if step.verdict is not None:
            self._finish(request, step.verdict, step.verdict.outcome, step.verdict.angle, step.verdict.duration)

    def _note_deadline(self, came: float) -> None:
        """Count whether the command went out within a control period of the state that it answers."""
        now = time.monotonic()
        self.deadlines.answered(came, now)
        self.diagnostics.value("deadline_misses", str(self.deadlines.misses))
        self.diagnostics.value("deadline_miss_share_10s", self.deadlines.share(now))

    def _finish(self, request: Request, verdict: Verdict | None, outcome: str, angle: float, duration: float) -> None:
        wall = max(time.monotonic() - request.started_wall, 1e-9)
        request.result = Reorient.Result(
            success=outcome == "succeeded",
            outcome=outcome,
            angle=angle,
            duration=duration,
            real_time_factor=duration / wall if verdict else self._real_time_factor(),
        )
        self.finished.append(request)
        self._say(f"idle: {outcome}")

    def _publish(self, state: SceneState, target: np.ndarray, lease: str) -> None:
        validity = round(1e9 * self.config.validity_cycles / self.hand.control_rate_hz)
        command = HandCommand(state.stamp_ns, state.stamp_ns + validity, target)
        self.commands.publish(command_msg(list(self.hand.joint_names), command, lease))

    def _real_time_factor(self) -> float:
        (wall_0, sim_0), (wall_1, sim_1) = self.pace[0], self.pace[-1]
        return (sim_1 - sim_0) * 1e-9 / (wall_1 - wall_0) if wall_1 > wall_0 else float("nan")

    def _say(self, text: str) -> None:
        self.status_pub.publish(String(data=text))
        self.diagnostics.level(Level.OK, text)

    def _show_goal(self, goal: Goal | None) -> None:
        message = PoseStamped()
        if goal is not None:
            message.header.frame_id = "world"
            message.pose.orientation = to_ros_quaternion(goal.quaternion)
            self._say("turning")
        self.goal_pub.publish(message)


def build(name: str, config: Config, context: HostContext) -> PolicyNode:
    """The policy node ``name``."""
    return PolicyNode(name, config, context)
