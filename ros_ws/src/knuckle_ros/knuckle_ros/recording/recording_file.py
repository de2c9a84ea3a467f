"""A recording opened for reading: its topics, and its messages in the order of their arrival."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosbags.rosbag2 import ReaderError

from knuckle.core.errors import RecordingError
from knuckle_ros.recording.mcap_output import MAGIC


class RecordingFile:
    """An MCAP file of ROS 2 messages; a context manager. Topics are named as on the bus, without the first slash.

    RecordingError where there is no such file, it is no MCAP, it was cut short, or a message in it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_whole(path)
        self._reader = AnyReader([path])
        try:
            self._reader.open()
        except (AnyReaderError, ReaderError, ValueError, KeyError, EOFError) as error:
            raise self._damaged(error) from error

    def __enter__(self) -> RecordingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def types(self) -> dict[str, str]:
        """The type (pkg/msg/Name) of each topic that has messages."""
        return {c.topic.lstrip("/"): c.msgtype for c in self._reader.connections if c.msgcount}

    def require(self, topics: Mapping[str, str], *, what: str) -> None:
        """Raise RecordingError naming those of ``topics``, needed for ``what``, that are absent or of another type.

        ``topics`` maps each to its type (pkg/msg/Name); an empty one stands for any.
        """
        missing = [topic for topic in topics if topic not in self.types]
        for topic, wanted in topics.items():
            if wanted and self.types.get(topic, wanted) != wanted:
                raise RecordingError(f"{topic} is {self.types[topic]}", where=str(self.path), right=wanted)
        if missing:
            right = f"a recording with all of {', '.join(topics)}"
            raise RecordingError(f"no {', '.join(missing)}, needed for {what}", where=str(self.path), right=right)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, Any]]:
        """Topic and message of each of ``topics``, in the order of arrival."""
        for connection, _, data in self._raw(topics):
            try:
                yield connection.topic.lstrip("/"), self._reader.deserialize(data, connection.msgtype)
            except Exception as error:  # whatever a decoder generated from the file's own text may raise
                raise self._damaged(error) from error

    def serialized(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of arrival in ns and bytes (CDR) of each message of ``topics``."""
        for connection, time_ns, data in self._raw(topics):
            yield connection.topic.lstrip("/"), time_ns, bytes(data)

    def latched(self, topic: str) -> bool:
        """Whether the topic's publishers latched their last message."""
        profiles = [q for c in self._reader.connections if c.topic.lstrip("/") == topic for q in _qos(c)]
        return bool(profiles) and all(q.durability.name == "TRANSIENT_LOCAL" for q in profiles)

    def _raw(self, topics: Collection[str]) -> Iterator[tuple[Connection, int, bytes]]:
        wanted = [c for c in self._reader.connections if c.topic.lstrip("/") in topics]
        if not wanted:
            return
        try:
            yield from self._reader.messages(connections=wanted)
        except (AnyReaderError, ReaderError, ValueError, KeyError, EOFError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> RecordingError:
        what = f"damaged ({type(error).__name__}: {error})"
        return RecordingError(what, where=str(self.path), right=f"try `knuckle record --recover {self.path}`")


def _qos(connection: Connection) -> list[Any]:
    return list(getattr(connection.ext, "offered_qos_profiles", []))


def _check_whole(path: Path) -> None:
    """Look at both ends of the file, so that what is wrong can be named."""
    where = str(path)
    try:
        with path.open("rb") as stream:
            first = stream.read(len(MAGIC))
            size = stream.seek(0, 2)
            stream.seek(max(0, size - len(MAGIC)))
            last = stream.read()
    except OSError as error:
        raise RecordingError(f"cannot be read ({error.strerror})", where=where, right="an MCAP recording") from error
    if first != MAGIC:
        raise RecordingError("not an MCAP file", where=where, right="a recording of `knuckle record`")
    if last != MAGIC or size < 2 * len(MAGIC):
        raise RecordingError("cut short", where=where, right=f"`knuckle record --recover {where}` saves what is there")
    if path.suffix != ".mcap":
        raise RecordingError("its name does not end in .mcap", where=where, right="rename it")
