"""An IMU's recording from any of the files that it may be in: a trial of BROAD, a CSV file, an MCAP file of the bus.

A CSV file has the columns `COLUMNS` in SI units, and those of the field (T) where there is one; an MCAP file the topics
``imu`` and ``magnetic_field``, paired by their stamps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from knuckle.core.errors import RecordingError
from knuckle.sensors import broad
from knuckle.sensors.hiss.table_file import header_of, read_columns, stamps_of
from knuckle.sensors.recording import ImuRecording

TIMES = ("t", "t_ms", "t_us", "t_ns")
COLUMNS = ("gyr_x", "gyr_y", "gyr_z", "acc_x", "acc_y", "acc_z")
FIELD = ("mag_x", "mag_y", "mag_z")
IMU, MAG = "imu", "magnetic_field"
_SECOND = 1_000_000_000


def load(path: Path) -> ImuRecording:
    """The recording at ``path``, by the ending of its name; RecordingError in one line where it is none."""
    if path.suffix == ".csv":
        return _csv(path)
    if path.suffix == ".mcap":
        return _mcap(path)
    return broad.load(path)


def _csv(path: Path) -> ImuRecording:
    header = header_of(path)
    time = next((name for name in TIMES if name in header), TIMES[0])
    field = FIELD if FIELD[0] in header else ()
    table = read_columns(path, (time, *COLUMNS, *field))
    good = np.isfinite(table).all(axis=1)
    if not good.all():
        what = f"a cell is empty or not finite in row {int(np.argmin(good))}"
        raise RecordingError(what, where=str(path), right="numbers in every row")
    stamps = stamps_of(table[:, 0], time, where=str(path))
    return _recording(path, stamps, table[:, 1:4], table[:, 4:7], table[:, 7:] if field else None)


def _mcap(path: Path) -> ImuRecording:
    from mcap.exceptions import McapError
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    where = str(path)
    readings: dict[int, list[float]] = {}
    fields: dict[int, list[float]] = {}
    try:
        with open(path, "rb") as stream:
            reader = make_reader(stream, decoder_factories=[DecoderFactory()])
            topics = [f"/{IMU}", f"/{MAG}"]
            for _, channel, _, message in reader.iter_decoded_messages(topics=topics):
                stamp = message.header.stamp.sec * _SECOND + message.header.stamp.nanosec
                if channel.topic == topics[0]:
                    readings[stamp] = [*_vector(message.angular_velocity), *_vector(message.linear_acceleration)]
                else:
                    fields[stamp] = _vector(message.magnetic_field)
    except (OSError, McapError, ValueError, AttributeError) as error:
        raise RecordingError(f"the file cannot be read ({error})", where=where, right="an MCAP file") from error
    if not readings:
        raise RecordingError(f"no messages on /{IMU}", where=where, right="a recording of an IMU (sensor_msgs/Imu)")
    stamps = sorted(stamp for stamp in readings if not fields or stamp in fields)
    if not stamps:
        right = "the same stamp in both messages of a sample"
        raise RecordingError(f"no stamp of /{MAG} is one of /{IMU}", where=where, right=right)
    rows = np.array([readings[stamp] for stamp in stamps])
    mag = np.array([fields[stamp] for stamp in stamps]) if fields else None
    return _recording(path, np.array(stamps, dtype=np.int64) - stamps[0], rows[:, :3], rows[:, 3:], mag)


def _vector(message: Any) -> list[float]:
    return [float(message.x), float(message.y), float(message.z)]


def _recording(path: Path, stamps: Any, gyr: Any, acc: Any, mag: Any) -> ImuRecording:
    if len(stamps) < 2:
        raise RecordingError("one sample", where=str(path), right="a recording")
    step = float(np.median(np.diff(stamps)))
    whole = np.ascontiguousarray
    return ImuRecording(str(path), 1e9 / step, stamps, whole(gyr), whole(acc), None if mag is None else whole(mag))
