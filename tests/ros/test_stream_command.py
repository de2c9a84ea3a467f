"""`knuckle stream` as its user meets it: the same estimates both ways, one line of error, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import scipy.io

from knuckle_ros.dds_leftovers import leftovers
from knuckle_ros.domain_lock import lock_path
from tests.sensors.conftest import broad_fields, made_recording

pytestmark = pytest.mark.ros
DOMAIN = 1 + os.getpid() % 100
SECONDS = 3.0
MARK = "KNUCKLE_STREAM_TEST"


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> Path:
    """A made trial of a few seconds; movement begins after two."""
    path = tmp_path_factory.mktemp("trial") / "made.mat"
    scipy.io.savemat(path, broad_fields(made_recording(SECONDS)), do_compression=True)
    return path


class Stream:
    """The command as a process of its own, and every process it started."""

    def __init__(self, *arguments: str) -> None:
        self.mark = uuid.uuid4().hex
        self.began = time.time()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "knuckle", "stream", *arguments],
            env={**os.environ, MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def members(self, of: str = "") -> list[int]:
        """Ids of the living processes of this command whose command line contains ``of``."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                ours = f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
                if ours and of.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def wait_for(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not in {seconds} s: {self.process.poll()} {self.members()}"
            time.sleep(0.02)

    def streaming(self) -> bool:
        """Whether both its processes are there."""
        return len(self.members("stream_process")) == 2

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; nothing may be left of it, neither processes nor shared memory."""
        out, err = self.process.communicate(timeout=30)
        self.wait_for(lambda: not self.members(), 10.0)
        self.wait_for(lambda: not leftovers(self.began), 10.0)
        return self.process.returncode, out, err


@pytest.fixture
def start() -> Iterator[Callable[..., Stream]]:
    started: list[Stream] = []

    def run(*arguments: object) -> Stream:
        started.append(Stream(*map(str, arguments)))
        return started[-1]

    yield run
    for stream in started:
        for pid in stream.members():
            os.kill(pid, signal.SIGKILL)
        stream.process.communicate()


def one_line(err: str) -> str:
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]


def figures(path: Path) -> dict[str, float]:
    return json.loads(path.read_text())["figures"]


def test_the_bus_and_the_fast_run_give_the_same_estimates_to_the_last_bit(start, trial, tmp_path):
    live, fast = tmp_path / "live.json", tmp_path / "fast.json"
    code, out, err = start(trial, "--domain", DOMAIN, "--json", live).end()
    assert (code, err) == (0, "")
    assert "rate kept" in out
    assert start(trial, "--fast", "--json", fast).end()[0] == 0
    on_bus, alone = figures(live), figures(fast)
    shared = ("samples", "dropped", "invalid", "estimates_digest", *(k for k in alone if k.startswith("rmse_")))
    assert len(shared) == 7
    assert [on_bus[k] for k in shared] == [alone[k] for k in shared]
    assert on_bus["samples"] == int(SECONDS * 1e9 / 3_500_000)
    assert on_bus["dropped"] == 0
    assert on_bus["rate_hz"] == pytest.approx(285.7, rel=0.05)
    assert 0.0 < on_bus["latency_p50_ms"] <= on_bus["latency_p99_ms"] <= on_bus["latency_max_ms"]


def test_a_part_without_movement_says_so_and_leaves_the_rmse_out(start, trial, tmp_path):
    path = tmp_path / "figures.json"
    code, out, _ = start(trial, "--fast", "--seconds", 1, "--json", path).end()
    assert code == 0
    assert "no movement sample" in out
    assert not [key for key in figures(path) if key.startswith("rmse_")]


def test_a_recording_that_cannot_be_read_is_one_line_and_no_file(start, trial, tmp_path):
    cut = tmp_path / "cut.mat"
    cut.write_bytes(trial.read_bytes()[:-100])
    for arguments in ([cut], [cut, "--fast"], [tmp_path / "absent.mat"]):
        code, out, err = start(*arguments, "--domain", DOMAIN, "--json", tmp_path / "f.json").end()
        assert (code, out) == (2, "")
        assert str(arguments[0]) in one_line(err)
        assert "Traceback" not in err
    assert not (tmp_path / "f.json").exists()


@pytest.mark.parametrize(("flag", "value"), [("--domain", "233"), ("--seconds", "-1"), ("--start", "nan")])
def test_a_setting_out_of_range_is_named(start, trial, flag, value):
    code, _, err = start(trial, flag, value).end()
    assert code == 2
    assert f"stream.{flag.strip('-')}" in one_line(err)


def test_figures_that_cannot_be_written_are_refused_before_anything_runs(start, trial, tmp_path):
    for path in (tmp_path, trial / "figures.json"):
        code, out, err = start(trial, "--domain", DOMAIN, "--json", path).end()
        assert (code, out) == (2, "")
        assert f"{path}: the figures cannot be written there" in one_line(err)


def test_a_start_beyond_the_end_is_refused(start, trial):
    code, _, err = start(trial, "--start", "100").end()
    assert code == 2
    assert "no samples from 100 s on" in one_line(err)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after_s", [0.0, 1.5])
def test_however_the_command_ends_nothing_is_left(start, trial, tmp_path, how, after_s):
    path = tmp_path / "figures.json"
    stream = start(trial, "--domain", DOMAIN, "--json", path)
    stream.wait_for(stream.streaming)
    time.sleep(after_s)
    stream.process.send_signal(how)
    code, _, err = stream.end()
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    assert "Traceback" not in err
    assert not path.exists()


def test_the_command_and_its_processes_killed_at_once_leave_nothing(start, trial):
    stream = start(trial, "--domain", DOMAIN)
    stream.wait_for(stream.streaming)
    time.sleep(1.5)
    for pid in [stream.process.pid, *stream.members("stream_process")]:
        os.kill(pid, signal.SIGKILL)
    assert stream.end()[0] == -9


@pytest.mark.parametrize("role", ["player", "estimator"])
@pytest.mark.parametrize("after_s", [0.0, 1.5])
def test_a_killed_process_ends_the_run_with_one_line_that_names_it(start, trial, role, after_s):
    stream = start(trial, "--domain", DOMAIN)
    stream.wait_for(stream.streaming)
    time.sleep(after_s)
    (pid,) = stream.members(f"stream_process\0{role}")
    os.kill(pid, signal.SIGKILL)
    code, out, err = stream.end()
    assert (code, out) == (1, "")
    assert f"{role}: the process ended (SIGKILL" in one_line(err)


def test_a_second_copy_on_the_domain_is_refused_and_the_first_goes_on(start, trial):
    first = start(trial, "--domain", DOMAIN)
    first.wait_for(first.streaming)
    code, _, err = start(trial, "--domain", DOMAIN).end()
    assert code == 1
    assert f"ROS domain {DOMAIN}: knuckle stream (process {first.process.pid}) runs here already" in one_line(err)
    assert first.end()[0] == 0


def test_another_source_of_the_topics_is_told_and_not_mixed_in(start, trial):
    other = (
        "import rclpy, sys; from sensor_msgs.msg import Imu; rclpy.init(); n = rclpy.create_node('other');"
        "p = n.create_publisher(Imu, 'imu', 10); print('up', flush=True); sys.stdin.read();"
        "n.destroy_node(); rclpy.shutdown()"
    )
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", other], env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"up\n"
        code, _, err = start(trial, "--domain", DOMAIN).end()
        assert code == 1
        assert "somebody else publishes it too" in one_line(err)


def test_help_and_bad_input_need_no_rclpy(trial):
    code = (
        "import sys; sys.modules['rclpy'] = None\n"
        "from knuckle_ros.commands.stream import stream\n"
        f"stream([{str(trial)!r}, '--fast', '--seconds', '0.1'])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_lock_of_a_domain_frees_itself_when_its_holder_is_killed():
    from knuckle.core.errors import BusError
    from knuckle_ros.domain_lock import domain_lock

    domain = 150
    code = (
        f"import time; from knuckle_ros.domain_lock import domain_lock\n"
        f"with domain_lock({domain}, 'test'): print('held', flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        refused = rf"knuckle test \(process {holder.pid}\) runs here already"
        with pytest.raises(BusError, match=refused), domain_lock(domain, "other"):
            pass
        holder.kill()
        holder.wait()
    with domain_lock(domain, "other"), domain_lock(domain + 1, "other"):
        assert "other" in lock_path(domain).read_text()
    assert lock_path(domain).read_text() == ""


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path, monkeypatch):
    from knuckle.core.errors import BusError
    from knuckle_ros import domain_lock as module

    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    monkeypatch.setattr(module, "lock_path", lambda domain: tmp_path / "link")
    with pytest.raises(BusError, match="cannot be opened"), module.domain_lock(7, "test"):
        pass
    assert target.read_text() == "precious"
