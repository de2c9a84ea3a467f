"""The Python class of a message type that is known by its name alone."""

from __future__ import annotations

import importlib
from typing import Any

from knuckle.core.errors import BusError


def message_class(type_name: str) -> Any:
    """The class of ``type_name`` (pkg/msg/Name); BusError where it is not installed."""
    try:
        package, kind, name = type_name.split("/")
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ValueError, ImportError, AttributeError) as error:
        raise BusError(f"{type_name} is not installed", right="its package (ours: `knuckle setup`)") from error
