"""One process of a graph: ``python -m knuckle_ros.host NAME``, started by the supervisor, hosting its nodes.

It dies with the supervisor: the kernel sends it SIGTERM, the control pipe ends, and an alarm ends it where it hangs.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from types import FrameType, ModuleType
from typing import Any

# Before everything else that may bring its own DDS: pyrealsense2 first and rclpy second crashes at exit.
import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_default_context, try_shutdown

from knuckle.core.errors import BusError, InputError, KnuckleError, RunError
from knuckle_ros.control import SUPERVISOR, Control, inherited_control
from knuckle_ros.executor import SPIN_S, HostExecutor
from knuckle_ros.graph import NodeSpec
from knuckle_ros.host_context import HostContext
from knuckle_ros.message_build.definitions import PACKAGES
from knuckle_ros.messages_built import require_messages
from knuckle_ros.niceness import give_way
from knuckle_ros.short_turns import take_short_turns

END_WITHIN_S = 3
NODE_MODULE = "a module with Config and build"
_PR_SET_PDEATHSIG = 1


class Host:
    """The life of one process: check the parameters, build the nodes, serve them, close them."""

    def __init__(self, name: str, control: Control) -> None:
        self.name, self.control = name, control
        self.stopping = threading.Event()
        self.context = HostContext(process=name, report=self._report)

    def run(self) -> int:
        """Serve until asked to stop; the exit code. Every failure is told to the supervisor in one line."""
        try:
            self._serve()
        except KnuckleError as error:
            self.control.send("failed", f"{error.exit_code} {error}")
            return error.exit_code
        except Exception as error:
            traceback.print_exc()
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
            self.control.send("failed", f"1 process {self.name}: {type(error).__name__}: {error} ({place})")
            return 1
        return 0

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End soon; the kernel ends us where we cannot."""
        signal.alarm(END_WITHIN_S)
        self.stopping.set()

    def _serve(self) -> None:
        order = self._order()
        self.context.restarted = order["restarted"]
        refused = give_way(order["nice"]) if order["nice"] else take_short_turns()
        if refused:
            print(f"process {self.name}: {refused}", file=sys.stderr)
        specs = [NodeSpec(**node) for node in order["nodes"]]
        modules = [_module(spec) for spec in specs]
        configs = [spec.configure(module.Config) for spec, module in zip(specs, modules, strict=True)]
        if any(package in sys.modules for package in PACKAGES):
            require_messages()
        # What was imported stays: collections that look through it all would hold the nodes for 30 ms each.
        gc.collect()
        self.control.send("checked")
        if not self._may_go():
            return
        rclpy.init(args=_ros_arguments(specs), signal_handler_options=SignalHandlerOptions.NO)
        listener = threading.Thread(target=self._listen, name="control")
        listener.start()
        try:
            self._host(specs, modules, configs)
        finally:
            # In this order: no thread of ours may be left when rclpy goes.
            self.control.stop_receiving()
            listener.join()
            try_shutdown()

    def _host(self, specs: list[NodeSpec], modules: list[ModuleType], configs: list[Any]) -> None:
        executor = HostExecutor(get_default_context())
        hosted: list[Any] = []
        try:
            for spec, module, config in zip(specs, modules, configs, strict=True):
                hosted.append(module.build(spec.name, config, self.context))
                executor.add_node(hosted[-1].node)
                if self.stopping.is_set():
                    return
            self.control.send("ready")
            gc.freeze()
            executor.spin(self.stopping.is_set)
        finally:
            # After a failure too nothing may hang on its way out, unseen by the supervisor.
            signal.alarm(END_WITHIN_S)
            for node in reversed(hosted):
                executor.remove_node(node.node)
                node.close()
            executor.shutdown()

    # The control pipe

    def _order(self) -> dict[str, Any]:
        message = self.control.receive()
        if message is None or message[0] != "start":
            raise RunError(f"got {message}", where=f"process {self.name}", right="an order from `knuckle run`")
        order: dict[str, Any] = json.loads(message[1])
        return order

    def _may_go(self) -> bool:
        """Wait until every process has checked its parameters; False where the run ends before."""
        while not self.stopping.is_set():
            try:
                message = self.control.receive(timeout_s=SPIN_S)
            except TimeoutError:
                continue
            if message is None or message[0] == "go":
                return message is not None
        return False

    def _listen(self) -> None:
        """Deaths of other processes reach the nodes from here; the end of the pipe is the supervisor's own."""
        while (message := self.control.receive()) is not None:
            if message[0] == "died":
                self.context.peer_died(message[1].split())
        self.stop()

    def _report(self, node: str, level: int, line: str) -> None:
        self.control.send("health", json.dumps([node, level, line]))


def _module(spec: NodeSpec) -> ModuleType:
    """The module of a node, which has a ``Config`` and a ``build``."""
    where = f"{spec.source}: nodes.{spec.name}.module"
    try:
        module = importlib.import_module(spec.module)
    except ModuleNotFoundError as error:
        if error.name in PACKAGES:
            require_messages()
        if error.name is not None and (spec.module == error.name or spec.module.startswith(f"{error.name}.")):
            raise InputError(
                f"no module '{spec.module}'", where=where, right="a module with Config and build"
            ) from None
        right = "`knuckle doctor` says what to install"
        raise RunError(f"{error.name} is not installed", where=where, right=right) from None
    for needed in ("Config", "build"):
        if not hasattr(module, needed):
            raise InputError(f"'{spec.module}' has no {needed}", where=where, right=NODE_MODULE)
    return module


def _ros_arguments(specs: list[NodeSpec]) -> list[str]:
    """Remappings, each for its own node, and no log files: what nodes print goes to the supervisor."""
    arguments = ["--ros-args", "--disable-external-lib-logs"]
    for spec in specs:
        for topic, other in spec.remappings.items():
            arguments += ["-r", f"{spec.name}:{topic}:={other}"]
    return arguments


def main() -> int:
    """Host the nodes of the process that is named on the command line; the exit code."""
    control = inherited_control()
    if control is None or len(sys.argv) != 2:
        raise SystemExit("knuckle_ros.host is started by `knuckle run`, not by hand")
    faulthandler.enable()
    host = Host(sys.argv[1], control)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, host.stop)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise BusError(f"prctl failed: {os.strerror(ctypes.get_errno())}", where="PR_SET_PDEATHSIG")
    # The supervisor may have died before the line above.
    if os.getppid() != int(os.environ[SUPERVISOR]):
        return 1
    return host.run()


if __name__ == "__main__":
    sys.exit(main())
