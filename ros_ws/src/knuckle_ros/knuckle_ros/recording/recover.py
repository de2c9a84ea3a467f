"""Making a whole recording of one that was cut short: by a kill, a power cut, a disk that broke."""

from __future__ import annotations

import struct
from pathlib import Path

import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

from knuckle.core.errors import RecordingError, RunError
from knuckle_ros.recording.mcap_output import MAGIC, McapOutput
from knuckle_ros.recording.partial_file import finished_path, partial_path


def recover(source: Path) -> tuple[Path, int]:
    """Copy all messages of ``source`` up to where it breaks off into a new, whole file; its path and their number.

    ``NAME.mcap.part`` becomes ``NAME.mcap``, any other name ``NAME.recovered.mcap``; ``source`` is left as it is.
    Raises RecordingError where it is no MCAP or holds no message, RunError where the new file cannot be written.
    """
    target = finished_path(source)
    if target.exists():
        raise RecordingError("already there", where=str(target), right="move it away first")
    part = partial_path(target.with_suffix(".recovering"))
    try:
        with source.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise RecordingError("not an MCAP file", where=str(source), right="a recording of `knuckle record`")
            output = McapOutput(part)
            try:
                _copy(source, output)
                if not output.messages:
                    raise RecordingError("holds no whole message", where=str(source), right="nothing can be recovered")
                output.finish()
                part.rename(target)
            finally:
                output.close()
                part.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot recover ({error})", where=str(source)) from error
    return target, output.messages


def _copy(source: Path, output: McapOutput) -> None:
    """All messages up to the first record that is not whole: the file ends there, so that is no error."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    with source.open("rb") as stream:
        records = iter(StreamReader(stream, validate_crcs=True, record_size_limit=1 << 28).records)
        while True:
            try:
                record = next(records, None)
            except (McapError, struct.error, ValueError, EOFError, zstandard.ZstdError):
                break
            if record is None:
                break
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel) and record.id not in channels:
                channels[record.id] = record
                schema = schemas[record.schema_id]
                qos = record.metadata.get("offered_qos_profiles", "")
                output.add_channel(record.topic, schema.name, schema.data.decode(), qos)
            elif isinstance(record, Message):
                topic = channels[record.channel_id].topic
                output.add_message(topic, record.data, record.log_time, record.publish_time)
    output.flush()
