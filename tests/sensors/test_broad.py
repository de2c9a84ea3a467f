"""What a BROAD file must hold, and the one line said of each that does not."""

from __future__ import annotations

import contextlib
import pickle
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knuckle.core.errors import RecordingError
from knuckle.sensors import broad
from knuckle.sensors.matlab5 import MAX_ARRAY_BYTES, read_arrays

from .conftest import RATE_HZ, made_recording


def refusal(path) -> str:
    with pytest.raises(RecordingError) as caught:
        broad.load(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    assert caught.value.exit_code == 2
    return line


@pytest.mark.parametrize("compress", [True, False])
def test_a_trial_comes_back_in_si_units(write_broad, compress):
    recording = made_recording(0.5)
    loaded = broad.load(write_broad(recording, compress))
    np.testing.assert_array_equal(loaded.gyr, recording.gyr)
    np.testing.assert_array_equal(loaded.acc, recording.acc)
    np.testing.assert_allclose(loaded.mag, recording.mag, rtol=1e-14)
    np.testing.assert_array_equal(loaded.truth, recording.truth)
    np.testing.assert_array_equal(loaded.movement, recording.movement)
    np.testing.assert_array_equal(loaded.stamps_ns, np.arange(len(recording)) * 3_500_000)
    assert loaded.rate_hz == pytest.approx(RATE_HZ)


@pytest.mark.data
def test_the_reader_agrees_with_scipy_on_a_published_trial(broad_file):
    path = broad_file("01")
    theirs = scipy.io.loadmat(path)
    names = frozenset((*broad.FIELDS, "opt_pos"))
    ours = read_arrays(path, names)
    assert set(ours) == names
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_the_reader_agrees_with_scipy_on_every_number_type(tmp_path, dtype):
    for shape in ((0, 3), (1, 1), (2, 1), (5, 3), (2, 3, 4)):
        values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        path = tmp_path / "x.mat"
        scipy.io.savemat(path, {"other": ["text"], "x": values, "a_rather_long_name_of_an_array": values})
        ours = read_arrays(path, frozenset({"x"}))
        np.testing.assert_array_equal(ours["x"], scipy.io.loadmat(path)["x"])


@pytest.mark.parametrize("field", broad.FIELDS)
def test_a_missing_field_is_named(write_broad, field):
    assert f"missing field '{field}'" in refusal(write_broad(**{field: None}))


@pytest.mark.parametrize("field", ["imu_gyr", "imu_acc", "imu_mag"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_is_named_with_its_index(write_broad, field, value):
    rows = np.ones((57, 3))
    rows[23, 1] = rows[40, 0] = value
    assert f"'{field}' is not finite at sample 23" in refusal(write_broad(**{field: rows}))


def test_truth_may_be_nan_but_not_half_nan_nor_off_unit(write_broad):
    n = len(made_recording(0.2))
    truth = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    truth[5] = np.nan
    assert np.isnan(broad.load(write_broad(opt_quat=truth)).truth[5]).all()
    truth[9, 2] = np.nan
    assert "'truth' is not a unit quaternion at sample 9" in refusal(write_broad(opt_quat=truth))
    truth[9] = [0.0, 0.0, 0.0, 0.0]
    assert "'truth' is not a unit quaternion at sample 9" in refusal(write_broad(opt_quat=truth))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", [0.0, 1e-300, 0.5, -285.7, np.nan, np.inf, 1e9])
def test_a_rate_that_time_cannot_follow_is_refused(write_broad, rate):
    assert "'sampling_rate' is" in refusal(write_broad(sampling_rate=np.array([[rate]])))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("imu_gyr", np.ones((57, 4))),
        ("imu_acc", np.ones((56, 3))),
        ("imu_mag", np.ones((57, 3, 2))),
        ("opt_quat", np.ones((57, 3))),
        ("movement", np.ones((57, 2))),
        ("sampling_rate", np.ones((2, 1))),
    ],
)
def test_a_wrong_shape_is_named_with_the_right_one(write_broad, field, value):
    line = refusal(write_broad(**{field: value}))
    assert f"'{field}' has shape {value.shape}" in line


def test_text_in_place_of_numbers_is_refused(write_broad):
    assert "'imu_acc' is not an array of real numbers" in refusal(write_broad(imu_acc="text"))
    assert "'imu_acc' is not an array of real numbers" in refusal(write_broad(imu_acc=np.ones((57, 3)) * 1j))
    assert "'movement' holds more than 0 and 1" in refusal(write_broad(movement=np.full((57, 1), 2.0)))


def test_an_empty_recording_is_refused(write_broad):
    empty = {name: np.ones((0, 3)) for name in ("imu_gyr", "imu_acc", "imu_mag")}
    line = refusal(write_broad(**empty, opt_quat=np.ones((0, 4)), movement=np.ones((0, 1))))
    assert "the recording is empty" in line


@pytest.mark.parametrize("compress", [True, False])
def test_a_file_cut_anywhere_is_refused(write_broad, compress):
    path = write_broad(compress=compress)
    whole = path.read_bytes()
    cuts = sorted({*range(0, 200, 7), *range(0, len(whole), max(1, len(whole) // 97)), len(whole) - 1})
    for cut in cuts:
        path.write_bytes(whole[:cut])
        line = refusal(path)
        assert "truncated" in line or "missing field" in line or cut < 128


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(at=st.integers(0, 1 << 20), value=st.integers(1, 255), compress=st.booleans())
def test_a_flipped_byte_gives_an_error_line_or_a_recording_and_nothing_else(write_broad, at, value, compress):
    path = write_broad(made_recording(0.05), compress)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= value
    path.write_bytes(bytes(data))
    with contextlib.suppress(RecordingError):
        assert len(broad.load(path)) > 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(at=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_a_flipped_bit_in_compressed_data_never_gives_other_numbers(write_broad, at, bit):
    path = write_broad()
    whole, data = broad.load(path), bytearray(path.read_bytes())
    data[128 + at % (len(data) - 128)] ^= 1 << bit
    path.write_bytes(bytes(data))
    with contextlib.suppress(RecordingError):
        read = broad.load(path)
        for field in ("stamps_ns", "gyr", "acc", "mag", "truth", "movement"):
            np.testing.assert_array_equal(getattr(read, field), getattr(whole, field))


def test_compressed_data_that_goes_on_beyond_its_array_or_lacks_its_end_is_refused(write_broad):
    path = write_broad()
    data = path.read_bytes()
    first_ends = 136 + int.from_bytes(data[132:136], "little")
    inner = zlib.decompress(data[136:first_ends])
    for body in (zlib.compress(inner + bytes(16)), zlib.compress(inner)[:-4]):
        path.write_bytes(data[:132] + len(body).to_bytes(4, "little") + body + data[first_ends:])
        assert "the file is damaged" in refusal(path)


@pytest.mark.filterwarnings("error")
def test_a_truth_too_large_to_square_is_refused_without_a_warning(write_broad):
    truth = np.tile([1.0, 0.0, 0.0, 0.0], (len(made_recording(0.2)), 1))
    truth[3, 1] = 1e300
    assert "'truth' is not a unit quaternion at sample 3" in refusal(write_broad(opt_quat=truth))


def test_foreign_files_are_refused_and_a_pickle_is_not_run(tmp_path):
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return (canary.touch, ())

    foreign = {
        "pickle": pickle.dumps(Bomb()),
        "text": b"time,gx,gy,gz\n" * 40,
        "zip": b"PK\x03\x04" + bytes(300),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(300),
        "empty": b"",
    }
    for name, content in foreign.items():
        path = tmp_path / f"{name}.mat"
        path.write_bytes(content)
        assert "MATLAB" in refusal(path)
    assert not canary.exists()


def test_pickled_objects_in_a_matlab_file_stay_unread(write_broad, tmp_path):
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = {"a": 1.0}
    assert "'imu_gyr' is not an array of real numbers" in refusal(write_broad(imu_gyr=cell))


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "absent.mat")
    assert "there is no such file" in refusal(tmp_path)


def test_a_huge_array_in_a_small_file_is_refused_before_memory_is_taken(write_broad, tmp_path):
    path = write_broad()
    size = MAX_ARRAY_BYTES + 24
    head = np.array([6, 8, 6, 0, 5, 8, size // 24, 3, 1, 7], dtype="<u4").tobytes() + b"imu_gyr\0"
    tag = np.array([9, size], dtype="<u4").tobytes()
    inner = head + tag
    packer = zlib.compressobj()
    bomb = packer.compress(np.array([14, len(inner) + size], dtype="<u4").tobytes() + inner)
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    element = np.array([15, len(bomb)], dtype="<u4").tobytes() + bomb
    path.write_bytes(path.read_bytes()[:128] + element)
    tracemalloc.start()
    line = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "larger than" in line
    assert peak < 4 << 20
