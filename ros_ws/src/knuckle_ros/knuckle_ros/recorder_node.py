"""The recorder: joins a running graph and writes every topic, unparsed, to an MCAP file."""

from __future__ import annotations

import struct
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from knuckle.core.config import setting, validate
from knuckle.core.errors import BusError, InputError
from knuckle_ros.message_class import message_class
from knuckle_ros.recording.mcap_output import McapOutput
from knuckle_ros.recording.message_text import message_text
from knuckle_ros.recording.partial_file import partial_path
from knuckle_ros.recording.topic_qos import hearing_qos, qos_yaml

IGNORED_TOPICS = ("/parameter_events",)
LOOK_PERIOD_S = 0.25
FLUSH_PERIOD_S = 1.0  # what a SIGKILL can cost
SUMMARY_BYTES = 1 << 16  # room kept under the cap for the index and the definitions


@dataclass(frozen=True)
class Config:
    """What is recorded: for how long, and how large the file may grow."""

    out: str = setting("", "file to write (empty: knuckle-DATE-TIME.mcap)")
    seconds: float = setting(0.0, "stop after so long (0: when told to)", low=0.0, high=1e6, unit="s")
    max_mb: float = setting(1000.0, "stop when the file is so large", low=1.0, high=1e6, unit="MB")


class RecorderNode:
    """Writes from its construction until ``stop``, the time or size limit, or a disk that takes no more.

    ``stopped`` says why it ended, empty while it records; ``failure`` is what the system said, where that was why.
    """

    def __init__(self, name: str, config: Config) -> None:
        self.config = validate(config, where=name)
        self.path = Path(config.out or time.strftime("knuckle-%Y%m%d-%H%M%S.mcap"))
        self.counts: Counter[str] = Counter()
        self.unknown: dict[str, str] = {}
        self.lost = 0
        self.stopped = ""
        self.failure: OSError | None = None
        self._output = _open(self.path)
        self._heard: dict[str, Subscription] = {}
        self._flush_due = time.monotonic() + FLUSH_PERIOD_S
        self._end = time.monotonic() + config.seconds if config.seconds else float("inf")
        self.node = Node(name)
        self.node.create_timer(LOOK_PERIOD_S, self._look)
        self._look()

    @property
    def bytes_written(self) -> int:
        """Size of the file so far."""
        return self._output.size

    def stop(self, reason: str) -> None:
        """End the recording: what is pending is written, the file gets its summary and its final name."""
        if self.stopped:
            return
        self.stopped = reason
        try:
            self._output.flush()
        except OSError as error:
            self._fail(error)
        try:
            self._output.finish()
        except OSError as error:
            self._fail(error)
            return
        part = partial_path(self.path)
        if self._output.messages:
            part.rename(self.path)
        else:
            part.unlink()

    def close(self) -> None:
        """Stop, where nobody did, and leave the bus."""
        self.stop("closed")
        self.node.destroy_node()

    def _look(self) -> None:
        """Find new topics, write what has waited long enough, mind the limits."""
        if self.stopped:
            return
        for topic, types in self.node.get_topic_names_and_types():
            if topic not in IGNORED_TOPICS and "/_" not in topic:
                self._listen(topic, types[0])
        now = time.monotonic()
        if now >= self._flush_due:
            self._flush_due = now + FLUSH_PERIOD_S
            try:
                self._output.flush()
            except OSError as error:
                self._give_up(error)
                return
        if now >= self._end:
            self.stop(f"{self.config.seconds:g} s recorded")

    def _listen(self, topic: str, type_name: str) -> None:
        """Subscribe to a topic that has publishers, anew where one has come that the subscription would not hear."""
        offered = [info.qos_profile for info in self.node.get_publishers_info_by_topic(topic)]
        if not offered or topic in self.unknown:
            return
        qos, heard = hearing_qos(offered, type_name), self._heard.get(topic)
        if heard is not None and _same(heard.qos_profile, qos):
            return
        try:
            kind, definition = message_class(type_name), message_text(type_name)
        except BusError as error:
            self.unknown[topic] = str(error)
            self.node.get_logger().warning(f"{topic} is not recorded: {error}")
            return
        if heard is None:
            self._output.add_channel(topic, type_name, definition, qos_yaml(qos))
        else:
            self.node.destroy_subscription(heard)
        stamped = next(iter(kind.get_fields_and_field_types().items()), None) == ("header", "std_msgs/Header")

        def take(data: bytes) -> None:  # with one argument: EventsExecutor fails on callbacks that want message info
            self._take(topic, data, stamped)

        self._heard[topic] = self.node.create_subscription(kind, topic, take, qos, raw=True)

    def _take(self, topic: str, data: bytes, stamped: bool) -> None:
        """Write one message: log time is its arrival, publish time its header's stamp where it has one."""
        if self.stopped:
            return
        output = self._output
        room = self.config.max_mb * 1e6 - SUMMARY_BYTES - output.size - output.pending_bytes
        if len(data) + 64 > room:
            self.stop(f"the file has reached {self.config.max_mb:g} MB")
            return
        arrived = time.time_ns()
        self.counts[topic] += 1
        try:
            output.add_message(topic, data, arrived, _header_ns(data) if stamped else arrived)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._fail(error)
        self.stop(f"the file cannot be written: {error.strerror}")

    def _fail(self, error: OSError) -> None:
        self.failure = error
        self.lost = self.counts.total() - self._output.messages


def _open(path: Path) -> McapOutput:
    part = partial_path(path)
    for taken in (path, part):
        if taken.exists():
            raise InputError("already there", where=str(taken), right="another --out, or move it away")
    try:
        return McapOutput(part)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=str(part), right="a folder you own") from error


def _same(one: QoSProfile, other: QoSProfile) -> bool:
    return bool(one.reliability == other.reliability and one.durability == other.durability)


def _header_ns(data: bytes) -> int:
    """The stamp of a header at the beginning of a message in CDR, whose first byte but one says the byte order."""
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return max(0, int(seconds) * 1_000_000_000 + int(nanoseconds))


def build(name: str, config: Config, context: object = None) -> RecorderNode:
    """The recorder ``name``, recording from now on."""
    return RecorderNode(name, config)
