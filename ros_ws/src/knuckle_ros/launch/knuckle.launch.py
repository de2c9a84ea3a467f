"""ros2 launch knuckle_ros knuckle.launch.py graph:=demo settings:="policy.samples=20 world.seed=3"

Runs the graph file that `knuckle run` runs, under the same supervisor: what keeps the hand safe when a process dies is
the supervisor's, so nodes are not started one by one here.
"""

from __future__ import annotations

import sys
from typing import Any

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, ExecuteProcess, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration

from knuckle_ros.graph import load_graph


def generate_launch_description() -> LaunchDescription:
    """The arguments of the launch, and the supervised graph."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("graph", default_value="demo", description="bundled graph, or a YAML file"),
            DeclareLaunchArgument("settings", default_value="", description="node.key=value, separated by spaces"),
            OpaqueFunction(function=_supervised),
        ]
    )


def _supervised(context: Any) -> list[Any]:
    graph = LaunchConfiguration("graph").perform(context)
    settings = LaunchConfiguration("settings").perform(context).split()
    load_graph(graph).with_settings(settings)  # one line for a bad file or setting, before anything starts
    command = [sys.executable, "-m", "knuckle", "run", graph]
    for setting in settings:
        command += ["--set", setting]
    process = ExecuteProcess(cmd=command, output="screen", sigterm_timeout="10")
    ended = OnProcessExit(target_action=process, on_exit=[EmitEvent(event=Shutdown(reason="knuckle run ended"))])
    return [process, RegisterEventHandler(ended)]
