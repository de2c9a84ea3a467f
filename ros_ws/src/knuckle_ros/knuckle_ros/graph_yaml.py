"""Reading a small YAML file of plain values, where a doubled key is an error and not the last one wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from knuckle.core.errors import InputError

MAX_BYTES = 64 * 1024


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, made strict about doubled keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of ``node``; ConstructorError where a key occurs twice."""
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> Any:
    """The plain values of the YAML file ``path``; InputError where it is absent, above 64 kB, or not YAML."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), right="a YAML file") from None
    if len(raw) > MAX_BYTES:
        raise InputError("larger than 64 kB", where=str(path), right="a graph of nodes, in one screen")
    try:
        # Only plain values: the loader is a SafeLoader.
        return yaml.load(raw.decode("utf-8"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or "not text in UTF-8"
        raise InputError(f"not YAML: {what}", where=f"{path}{line}", right="name: value lines") from None
