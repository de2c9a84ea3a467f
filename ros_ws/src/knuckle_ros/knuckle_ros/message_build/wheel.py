"""Packing an installed tree into a wheel: modules at the top, libraries and index files beside those of ROS."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

_LICENCE = "Apache-2.0 AND BSD-3-Clause"


def pack_wheel(tree: Path, folder: Path, name: str, version: str, tag: str, requires: dict[str, str]) -> Path:
    """Write the wheel of ``tree`` (an install prefix) into ``folder`` and return its path.

    ``requires`` maps distributions to the exact versions it was compiled against. Headers and bytecode are left out.
    The same tree gives the same bytes. The caller makes the write atomic by renaming.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    wheel = folder / f"{stem}-{tag}.whl"
    info = f"{stem}.dist-info"
    members = {_archive_name(path.relative_to(tree), stem): path.read_bytes() for path in _files(tree)}
    members[f"{info}/METADATA"] = _metadata(name, version, requires).encode()
    members[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: knuckle\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    record = "".join(f"{member},sha256={_digest(data)},{len(data)}\n" for member, data in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            entry = zipfile.ZipInfo(member, date_time=(2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return wheel


def _files(tree: Path) -> list[Path]:
    wanted = []
    for path in sorted(tree.rglob("*")):
        parts = path.relative_to(tree).parts
        dropped = parts[0] == "include" or path.suffix == ".pyc" or any(part.endswith(".egg-info") for part in parts)
        if path.is_file() and not dropped:
            wanted.append(path)
    return wanted


def _archive_name(relative: Path, stem: str) -> str:
    """Modules go to the top of the wheel, all else to its data folder, which pip unpacks into sys.prefix."""
    parts = relative.parts
    if "site-packages" in parts:
        return "/".join(parts[parts.index("site-packages") + 1 :])
    return f"{stem}.data/data/{relative.as_posix()}"


def _metadata(name: str, version: str, requires: dict[str, str]) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name}",
        f"Version: {version}",
        "Summary: knuckle_msgs and tf2_msgs, compiled against the ROS wheels of one environment",
        f"License-Expression: {_LICENCE}",
        *(f"Requires-Dist: {dist}=={exact}" for dist, exact in sorted(requires.items())),
    ]
    return "\n".join(lines) + "\n"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
