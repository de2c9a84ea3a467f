"""Writing an MCAP file of ROS 2 messages in whole chunks, so that a full disk or a kill costs at most the last one.

The format is https://mcap.dev/spec (profile ros2, chunks of zstd, all indexes). Of the ``mcap`` library the records are
used, not the writer: it cannot end a chunk at a time limit, and a failed write leaves it in a state that cannot be
finished. Here a chunk and its index go to the file in one write; when that fails, the file is cut back to the chunk
before and can still be given its summary.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from pathlib import Path

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Message,
    MessageIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 1 << 20
ZSTD_LEVEL = 1


class McapOutput:
    """One MCAP file being written. OSError of the system goes to the caller; ``finish`` may be called after one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.messages = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._schemas: dict[str, Schema] = {}
        self._channels: dict[str, Channel] = {}
        self._announced: set[str] = set()
        self._indexes: list[ChunkIndex] = []
        self._counts: Counter[int] = Counter()
        self._span: tuple[int, int] = (0, 0)
        self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._start_chunk()
        self._write(MAGIC + _bytes(Header("ros2", "knuckle")))

    @property
    def pending_bytes(self) -> int:
        """Bytes, not yet compressed, that the next ``flush`` writes."""
        return self._chunk.count

    @property
    def pending_messages(self) -> int:
        """Messages that the next ``flush`` writes, and that a failing one loses."""
        return sum(len(index.records) for index in self._message_indexes.values())

    def add_channel(self, topic: str, type_name: str, definition: str, qos_yaml: str) -> None:
        """Make ``topic`` of ``type_name`` (pkg/msg/Name) known, with its definition in ros2msg form."""
        if type_name not in self._schemas:
            number = len(self._schemas) + 1
            self._schemas[type_name] = Schema(id=number, data=definition.encode(), encoding="ros2msg", name=type_name)
        self._channels[topic] = Channel(
            id=len(self._channels) + 1,
            topic=topic,
            message_encoding="cdr",
            metadata={"offered_qos_profiles": qos_yaml},
            schema_id=self._schemas[type_name].id,
        )

    def add_message(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int) -> None:
        """Take one message in CDR; the chunk is written when it has reached its size."""
        channel = self._channels[topic]
        if topic not in self._announced:
            # A schema may stand in several chunks; what is lost with a failed chunk is announced anew.
            next(s for s in self._schemas.values() if s.id == channel.schema_id).write(self._chunk)
            channel.write(self._chunk)
            self._announced.add(topic)
            self._new_topics.append(topic)
        index = self._message_indexes.setdefault(channel.id, MessageIndex(channel_id=channel.id, records=[]))
        index.records.append((log_time_ns, self._chunk.count))
        Message(channel_id=channel.id, log_time=log_time_ns, data=data, publish_time=publish_time_ns, sequence=0).write(
            self._chunk
        )
        if self._chunk.count >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the pending chunk and its index. When the system refuses, the pending messages are lost, no others."""
        if not self._message_indexes:
            return
        times = [time for index in self._message_indexes.values() for time, _ in index.records]
        indexes, topics = self._message_indexes, self._new_topics
        body = self._chunk.end()
        self._start_chunk()
        try:
            self._write_chunk(body, min(times), max(times), indexes)
        except OSError:
            self._announced.difference_update(topics)
            raise
        span = [*self._span, min(times), max(times)] if self.messages else times
        self._span = (min(span), max(span))
        self._counts.update({number: len(index.records) for number, index in indexes.items()})
        self.messages = self._counts.total()

    def finish(self) -> None:
        """Write the summary, sync and close; OSError where that fails. ``flush`` first: it is not done here."""
        start = self.size + len(_bytes(DataEnd(0)))
        summary, offsets = RecordBuilder(), RecordBuilder()
        for opcode, records in self._summary():
            group_start = summary.count
            for record in records:
                record.write(summary)
            if summary.count > group_start:
                SummaryOffset(opcode, start + group_start, summary.count - group_start).write(offsets)
        offset_start = start + summary.count
        data = summary.end() + offsets.end()
        head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offset_start)
        footer = _bytes(Footer(start, offset_start, zlib.crc32(head, zlib.crc32(data))))
        try:
            self._write(_bytes(DataEnd(0)) + data + footer + MAGIC)
            os.fsync(self._fd)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _summary(self) -> list[tuple[Opcode, list[McapRecord]]]:
        channels = [c for c in self._channels.values() if self._counts[c.id]]
        schemas = [s for s in self._schemas.values() if any(c.schema_id == s.id for c in channels)]
        statistics = Statistics(
            attachment_count=0,
            channel_count=len(channels),
            channel_message_counts=dict(self._counts),
            chunk_count=len(self._indexes),
            message_count=self.messages,
            message_end_time=self._span[1],
            message_start_time=self._span[0],
            metadata_count=0,
            schema_count=len(schemas),
        )
        return [
            (Opcode.SCHEMA, list(schemas)),
            (Opcode.CHANNEL, list(channels)),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, list(self._indexes)),
        ]

    def _start_chunk(self) -> None:
        self._chunk = RecordBuilder()
        self._message_indexes: dict[int, MessageIndex] = {}
        self._new_topics: list[str] = []

    def _write_chunk(self, body: bytes, start: int, end: int, indexes: dict[int, MessageIndex]) -> None:
        packed = self._compressor.compress(body)
        chunk = _bytes(
            Chunk(
                compression="zstd",
                data=packed,
                message_end_time=end,
                message_start_time=start,
                uncompressed_crc=zlib.crc32(body),
                uncompressed_size=len(body),
            )
        )
        offset, tail, places = self.size, b"", {}
        for number, index in indexes.items():
            places[number] = offset + len(chunk) + len(tail)
            tail += _bytes(index)
        self._write(chunk + tail)
        self._indexes.append(
            ChunkIndex(
                chunk_length=len(chunk),
                chunk_start_offset=offset,
                compression="zstd",
                compressed_size=len(packed),
                message_end_time=end,
                message_index_length=len(tail),
                message_index_offsets=places,
                message_start_time=start,
                uncompressed_size=len(body),
            )
        )

    def _write(self, data: bytes) -> None:
        """All of ``data`` or, with the file cut back to what it was, OSError."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)
            raise
        self.size += len(data)


def _bytes(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())
