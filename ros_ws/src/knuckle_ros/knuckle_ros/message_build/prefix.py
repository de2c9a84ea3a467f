"""A copy of the environment's CMake files with the paths of the wheels' build machine replaced by this one's.

The wheels' exported targets name the include folders of the Python they were compiled with (/opt/python/...). The
environment itself is left as pip installed it: only the copy is corrected, and libraries and headers are linked.

In the copy the generators of C++ messages are also taken out: rclpy uses the C ones alone, and the C++ ones are a third
of the build.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_PYTHON_INCLUDE = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+")
_NUMPY_INCLUDE = re.compile(r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/_?core/include")

CPP_GENERATORS = (
    "rosidl_generator_cpp",
    "rosidl_typesupport_cpp",
    "rosidl_typesupport_fastrtps_cpp",
    "rosidl_typesupport_introspection_cpp",
)
_EXTENSION_POINT = '"rosidl_generate_idl_interfaces"'
_NEVER_CALLED = '"knuckle_does_not_generate"'


def correct(text: str, python_include: str, numpy_include: str) -> str:
    """The text of an exported .cmake file with this machine's include folders."""
    text = _NUMPY_INCLUDE.sub(lambda _: numpy_include, text)
    return _PYTHON_INCLUDE.sub(lambda _: python_include, text)


def make_prefix(environment: Path, target: Path, python_include: str, numpy_include: str) -> None:
    """Make ``target`` a CMake prefix that stands for ``environment`` (its sys.prefix)."""
    target.mkdir(parents=True)
    for name in ("bin", "include", "lib"):
        (target / name).symlink_to(environment / name, target_is_directory=True)
    shutil.copytree(environment / "share", target / "share", ignore=shutil.ignore_patterns("doc", "man", "locale"))
    for path in (target / "share").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        corrected = correct(text, python_include, numpy_include)
        if path.relative_to(target / "share").parts[0] in CPP_GENERATORS:
            corrected = corrected.replace(_EXTENSION_POINT, _NEVER_CALLED)
        if corrected != text:
            path.write_text(corrected, encoding="utf-8")
