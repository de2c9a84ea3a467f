"""Stable-Baselines3 zips of others, read without trusting them: ``policy.pth`` and the plain JSON of ``data`` alone.

A zip holds torch files and ``data``, a JSON table in which everything that JSON cannot hold is a pickle in base64 under
":serialized:". Unpickling runs whatever its author wrote, so those fields are never decoded: what Stable-Baselines3
writes beside them in plain text (a space's shape and bounds, a class's name) is read instead. ``policy.pth`` goes
through ``torch.load(weights_only=True)``, which builds tensors and nothing else. Sizes are held to before anything is
unpacked. Needs extra ``learn``.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from knuckle.core.errors import InputError

MAX_FILE_BYTES, MAX_DATA_BYTES, MAX_WEIGHT_BYTES, MAX_ENTRIES = 512 << 20, 16 << 20, 256 << 20, 64
"""Largest zip, ``data`` and ``policy.pth``, unpacked, and most files in either: an agent of 256 units has 4 MB."""
SERIALIZED = ":serialized:"
RIGHT = "a zip that Stable-Baselines3's save() wrote"


@dataclass(frozen=True)
class Sb3Zip:
    """What is taken from a zip: ``weights`` by name, float32 and finite, and the plain ``fields`` of ``data``.

    Of a serialised field only what stands beside the pickle in plain text is left.
    """

    path: Path
    weights: Mapping[str, NDArray[np.float32]]
    fields: Mapping[str, Any]

    def class_name(self, field: str) -> str:
        """The module of a class that ``field`` holds, ``stable_baselines3.sac.policies``; empty where it says none."""
        value = self.fields.get(field)
        return str(value.get("__module__", "")) if isinstance(value, dict) else ""

    def box(self, field: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Low and high (n,) of the Box space in ``field``; InputError where it is of another kind or has no bounds."""
        value, where = self.fields.get(field), f"{self.path}: {field}"
        kind = str(value.get(":type:", "")) if isinstance(value, dict) else ""
        if not isinstance(value, dict) or "Box" not in kind:
            raise InputError(f"it is {kind or 'missing'}", where=where, right="a Box of numbers, continuous")
        shape = value.get("_shape", value.get("shape"))
        if not (isinstance(shape, list) and len(shape) == 1 and isinstance(shape[0], int)):
            raise InputError(f"its shape is {shape}", where=where, right="one axis")
        bounds = []
        for side in ("low", "high"):
            try:
                numbers = np.array(str(value.get(side)).strip("[] ").split(), dtype=np.float32)
            except ValueError:
                numbers = np.zeros(0, np.float32)
            if numbers.shape != (shape[0],):
                raise InputError(f"its {side} is not {shape[0]} numbers", where=where, right="bounds in plain text")
            bounds.append(numbers)
        return bounds[0], bounds[1]


def read_zip(path: Path) -> Sb3Zip:
    """The weights and plain fields of the zip at ``path``.

    InputError in one line where it is no zip, lacks a file, is too large packed or unpacked, its weights are anything
    but tensors of finite numbers, or ``data`` is no JSON table.
    """
    where = str(path)
    content = _read_file(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            data = _entry(archive, "data", MAX_DATA_BYTES, where)
            stored = _entry(archive, "policy.pth", MAX_WEIGHT_BYTES, where)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError, OSError) as error:
        raise InputError(f"the zip cannot be read ({error})", where=where, right=RIGHT) from error
    return Sb3Zip(Path(path), _weights(stored, f"{where}: policy.pth"), _fields(data, f"{where}: data"))


def _read_file(path: Path) -> bytes:
    where = str(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError("the file is too large", where=where, right=f"{MAX_FILE_BYTES >> 20} MiB at most")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror})", where=where, right=RIGHT) from error


def _entry(archive: zipfile.ZipFile, name: str, most: int, where: str) -> bytes:
    """The file ``name`` of ``archive``, unpacked no further than ``most`` bytes whatever its header claims."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{len(entries)} files in it", where=where, right=f"{MAX_ENTRIES} at most, {RIGHT}")
    found = [entry for entry in entries if entry.filename == name]
    if len(found) != 1:
        what = f"no {name} in it" if not found else f"{len(found)} files called {name} in it"
        raise InputError(what, where=where, right=RIGHT)
    too_large = InputError(f"{name} is too large unpacked", where=where, right=f"{most >> 20} MiB at most")
    if found[0].file_size > most:
        raise too_large
    with archive.open(found[0]) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise too_large
    return content


def _fields(data: bytes, where: str) -> dict[str, Any]:
    try:
        raw = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is no JSON ({error})", where=where, right=RIGHT) from error
    if not isinstance(raw, dict):
        raise InputError(f"it is a {type(raw).__name__}", where=where, right="a JSON table")
    return {name: _plain(value) for name, value in raw.items()}


def _plain(value: Any) -> Any:
    """``value`` without the pickle in it."""
    return {key: held for key, held in value.items() if key != SERIALIZED} if isinstance(value, dict) else value


def _weights(stored: bytes, where: str) -> dict[str, NDArray[np.float32]]:
    _check_torch_file(stored, where)
    right = "tensors and nothing else, as a state_dict is"
    try:
        loaded = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no family of errors for a file of a stranger
        what = f"it holds what is no weight, and was not loaded ({str(error).splitlines()[0][:120]})"
        raise InputError(what, where=where, right=right) from error
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise InputError(f"it is a {type(loaded).__name__}", where=where, right=right)
    weights = {}
    for name, tensor in loaded.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            raise InputError(f"{name} is no tensor of floats", where=where, right=right)
        # A stride of 0 makes a small file a large tensor.
        if tensor.numel() * tensor.element_size() > min(MAX_WEIGHT_BYTES, len(stored)):
            raise InputError(f"{name} has {tensor.numel()} numbers, more than the file", where=where, right=right)
        weights[name] = np.asarray(tensor.detach().to(torch.float32).numpy())
        if not np.isfinite(weights[name]).all():
            raise InputError(f"{name} is not finite", where=where, right="weights without NaN or infinity")
    return weights


def _check_torch_file(stored: bytes, where: str) -> None:
    """A torch file is a zip again: InputError where it is not, or would unpack to more than it may."""
    right = "a file of torch.save() since torch 1.6"
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as inside:
            entries = inside.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"it is no torch file ({error})", where=where, right=right) from error
    if sum(entry.file_size for entry in entries) > MAX_WEIGHT_BYTES or len(entries) > 4096:
        raise InputError("it is too large unpacked", where=where, right=f"{MAX_WEIGHT_BYTES >> 20} MiB at most")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError("its tensors are compressed", where=where, right=right)
