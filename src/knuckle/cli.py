"""The `knuckle` command: one table of what it can do, and the errors every command shares. It only dispatches.

A command's module is imported when it is chosen, so that help answers at once and a missing extra stops only the
commands that need it.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

from knuckle import __version__
from knuckle.core.errors import KnuckleError, unknown_name


@dataclass(frozen=True)
class Command:
    """One line of help, and where the function ``(argv) -> exit code`` is: "module:function"."""

    help: str
    target: str


COMMANDS: dict[str, Command] = {
    "setup": Command("build the ROS messages and install them here", "knuckle_ros.commands.setup:setup"),
    "doctor": Command("what this machine can do, and what to install", "knuckle_ros.commands.doctor:doctor"),
    "demo": Command("a simulated hand turns objects, on a page in the browser", "knuckle_ros.commands.run:demo"),
    "run": Command("run a graph of nodes and watch over it", "knuckle_ros.commands.run:run"),
    "stream": Command("estimate from a sensor stream, recorded or live", "knuckle_ros.commands.stream:stream"),
    "record": Command("write what is on the bus to an MCAP file", "knuckle_ros.commands.record:record"),
    "replay": Command("give the outputs of a recording again, bit for bit", "knuckle_ros.commands.replay:replay"),
    "collect": Command(
        "record episodes of a controller, to learn from", "knuckle.policy.collect.collect_command:collect"
    ),
    "data skin": Command("simulate strokes that a magnetic skin feels", "knuckle.sim.skin.skin_command:data_skin"),
    "train reorient": Command(
        "learn to turn objects by PPO, and go on after a kill", "knuckle.policy.learned.train_command:train_reorient"
    ),
    "train clone": Command(
        "learn to turn objects from a planner's episodes", "knuckle.policy.cloning.clone_command:train_clone"
    ),
    "train foresight": Command(
        "learn what chunks of postures do, to choose between them without simulation",
        "knuckle.policy.foresight.train_command:train_foresight",
    ),
    "train hindsight": Command(
        "learn on from a policy, off-policy, with hindsight goals",
        "knuckle.policy.hindsight.train_command:train_hindsight",
    ),
    "train hiss": Command(
        "learn states from a sensor stream: HiSS and its rivals", "knuckle.sensors.commands:train_hiss"
    ),
    "eval hiss": Command("score models of sensor streams on recordings", "knuckle.sensors.commands:eval_hiss"),
    "train tracker": Command(
        "fit, train and tune trackers on films of boxes", "knuckle.perception.tracking.train_command:train_tracker"
    ),
    "train forecast": Command(
        "learn where vehicles go, as mixtures of kinematic motions",
        "knuckle.motion.learned.train_command:train_forecast",
    ),
    "train offline": Command(
        "learn a policy from recorded data alone", "knuckle.policy.offline.train_command:train_offline"
    ),
    "eval reorient": Command("score a controller that turns objects", "knuckle.policy.commands:eval_reorient"),
    "eval tracker": Command(
        "compare trackers on the same detections", "knuckle.perception.tracking.eval_command:eval_tracker"
    ),
    "eval forecast": Command(
        "score forecasters, or compare their heads on shares of the data",
        "knuckle.motion.learned.eval_command:eval_forecast",
    ),
    "eval offline": Command("compare learners from recorded data", "knuckle.policy.offline.eval_command:eval_offline"),
    "export urdf": Command("write hands and objects as URDF", "knuckle.sim.export_command:export_urdf"),
    "data show": Command("say what recorded experience holds", "knuckle.policy.offline_data.data_command:show"),
    "data record": Command(
        "record an agent in a task, to learn from", "knuckle.policy.offline_data.data_command:record_data"
    ),
    "data merge": Command("put recorded data of one task together", "knuckle.policy.offline_data.data_command:merge"),
    "fault": Command("make a servo of a virtual hand fail, or its bus", "knuckle.hardware.commands:fault"),
    "calibrate camera": Command(
        "find where the camera stands over the hand", "knuckle.rehearse_camera:calibrate_camera"
    ),
    "calibrate home": Command(
        "find and keep the zero of each servo of a hand", "knuckle.hardware.calibrate_commands:calibrate_home"
    ),
    "calibrate sysid": Command(
        "identify the servos of a finger from its motions", "knuckle.identify_servos:calibrate_sysid"
    ),
    "bench sim": Command("time simulated worlds to learn in", "knuckle.sim.commands:bench_sim"),
    "bench ppo": Command(
        "the worlds' rate while PPO learns, beside bench sim's", "knuckle.policy.learned.bench_command:bench_ppo"
    ),
    "bench tracker": Command(
        "time trackers on a crowd of boxes", "knuckle.perception.tracking.bench_command:bench_tracker"
    ),
    "bench offline": Command(
        "time the steps of offline learners", "knuckle.policy.offline.bench_command:bench_offline"
    ),
    "bench hand": Command(
        "time the servo loop of a hand over virtual servos", "knuckle.hardware.dynamixel.bench_command:bench_hand"
    ),
    "bench ssm": Command("time state-space layers beside torch and onnxruntime", "knuckle.nn.commands:bench_ssm"),
    "bench soak": Command("a whole graph under random faults, for long", "knuckle_ros.commands.bench_soak:bench_soak"),
    "bench stream": Command(
        "a trained model at an IMU's rate beside the demo", "knuckle_ros.commands.bench_stream:bench_stream"
    ),
    "bench bus": Command("time the bus: commands and depth frames", "knuckle_ros.commands.bench_bus:bench_bus"),
}

EXTRAS: dict[str, str] = {
    "ament_index_python": "ros",
    "av": "view",
    "cma": "hand",
    "cv2": "calibrate",
    "dynamixel_sdk": "hand",
    "gymnasium": "learn",
    "h5py": "learn",
    "mcap": "log",
    "mcap_ros2": "log",
    "minari": "learn",
    "mujoco": "sim",
    "onnx": "learn",
    "onnxruntime": "policy",
    "open3d": "vision",
    "pyarrow": "scenarios",
    "pyrealsense2": "hand",
    "rclpy": "ros",
    "rosbags": "log",
    "serial": "hand",
    "stable_baselines3": "learn",
    "tensorboard": "learn",
    "torch": "learn",
    "viser": "view",
    "zstandard": "log",
}
"""Third-party module to the extra that brings it."""

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 the run failed, 2 bad input, 130 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    try:
        code = dispatch(words)
        sys.stdout.flush()
        return code
    except KnuckleError as error:
        return _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(f"{error.name} is not installed; pip install 'knuckle[{extra}]'", 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; without this the interpreter complains again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def dispatch(words: list[str]) -> int:
    """Find the command that ``words`` begin with and call it with the rest; InputError for an unknown one."""
    if not words or words[0] in ("-h", "--help"):
        print(overview(COMMANDS))
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"knuckle {__version__}")
        return 0
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return _call(COMMANDS[name].target, words[length:])
    group = {name: command for name, command in COMMANDS.items() if name.startswith(f"{words[0]} ")}
    if group and (len(words) == 1 or words[1] in ("-h", "--help")):
        print(overview(group))
        return 0 if len(words) > 1 else 2
    raise unknown_name("command", " ".join(words[: 2 if group else 1]), group or COMMANDS)


def overview(commands: dict[str, Command]) -> str:
    """The help text that lists ``commands``."""
    width = max(len(name) for name in commands) + 2
    lines = [f"  {name:{width}}{command.help}" for name, command in commands.items()]
    return "\n".join(["usage: knuckle COMMAND [OPTIONS]", "", *lines, "", "knuckle COMMAND --help lists its options."])


def _call(target: str, argv: list[str]) -> int:
    module, _, function = target.partition(":")
    code = getattr(importlib.import_module(module), function)(argv)
    return int(code)


def _fail(line: str, code: int) -> int:
    print(f"knuckle: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
